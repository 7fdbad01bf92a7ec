package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"farthing/compact"
)

// served answers each request with the next of some answers: a status, and a body.
func served(t *testing.T, answers ...any) (c *Client, bodies *[]string) {
	t.Helper()
	bodies = &[]string{}
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*bodies = append(*bodies, string(body))
		if r.URL.Path != "/v1/events" || r.Header.Get("Content-Type") != compact.MediaType || r.Header.Get("Authorization") != "Bearer k" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		status, answer := answers[n].(int), answers[n+1].(string)
		n += 2
		if status == 0 { // the connection breaks
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
			return
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	return New(server.URL, Options{Key: "k", Pause: time.Microsecond}), bodies
}

func oneEvent(t *testing.T) *compact.Batch {
	t.Helper()
	var b compact.Batch
	if err := b.Add(&compact.Event{Source: "gw", ID: "1", Subject: "acme", Type: "api.calls"}); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestSendTriesAgain(t *testing.T) {
	b := oneEvent(t)
	c, bodies := served(t, 429, `{"code":"overloaded"}`, 503, `{"code":"not_ready"}`, 0, "", 502, "bad gateway", 408, `{"code":"timeout"}`, 200,
		`{"accepted":1,"duplicates":2,"unpriced":3,"rejected":[{"index":4,"id":"x","code":"invalid","reason":"r","detail":"d"}],"rejected_more":5,"sequence":6}`)
	got, err := c.Send(t.Context(), b)
	if err != nil || got.Accepted != 1 || got.Duplicates != 2 || got.Unpriced != 3 || got.Unlisted != 5 || got.Sequence != 6 ||
		len(got.Rejected) != 1 || got.Rejected[0] != (Rejected{4, "x", "invalid", "r", "d"}) {
		t.Errorf("%+v %v", got, err)
	}
	if want := string(b.Append(nil)); len(*bodies) < 6 || (*bodies)[0] != want || (*bodies)[5] != want {
		t.Errorf("%q were sent", *bodies)
	}
}

func TestSendGivesUp(t *testing.T) {
	f := func(status int, answer, want string) {
		t.Helper()
		c, _ := served(t, status, answer)
		_, err := c.Send(t.Context(), oneEvent(t))
		var refused *Refused
		if !errors.As(err, &refused) || refused.Status != status || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v", status, err)
		}
	}
	f(400, `{"code":"malformed","reason":"syntax","detail":"no batch","status":400}`, "400 malformed (syntax): no batch")
	f(404, `not found`, "404  (): not found")
	var none *Refused
	c, _ := served(t, 200, `{"accepted":"1"}`)
	if _, err := c.Send(t.Context(), oneEvent(t)); err == nil || errors.As(err, &none) || !strings.Contains(err.Error(), "not what the contract says") {
		t.Errorf("%v", err) // the events may be booked: it is no refusal
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	c, _ = served(t, 429, `{"code":"overloaded"}`)
	c.o.Pause, c.o.PauseMax = time.Hour, time.Hour
	time.AfterFunc(10*time.Millisecond, func() { cancel(stop) })
	var refused *Refused
	if _, err := c.Send(ctx, oneEvent(t)); !errors.Is(err, stop) || !strings.Contains(err.Error(), "overloaded") || errors.As(err, &refused) {
		t.Errorf("%v", err)
	}
	if _, err := New("http://\x00", Options{}).Send(t.Context(), oneEvent(t)); err == nil || errors.As(err, &none) {
		t.Error("no such address")
	}
}
