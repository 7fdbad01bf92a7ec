package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestMoneyIsStrict(t *testing.T) {
	f := func(in, want string, wantErr bool) {
		t.Helper()
		var m Money
		err := json.Unmarshal([]byte(in), &m)
		if (err != nil) != wantErr || err == nil && m.String() != want {
			t.Errorf("%s: got %s, %v", in, m, err)
		}
	}
	f(`"0.000000000000000001"`, "0.000000000000000001", false)
	f(`"-170141183460469231731.687303715884105727"`, "-170141183460469231731.687303715884105727", false)
	f(`1.5`, "", true)
	f(`1`, "", true)
	f(`"ten"`, "", true)
	f(`null`, "0", false)
	out, err := json.Marshal(M("0.10"))
	if err != nil || string(out) != `"0.1"` {
		t.Errorf("%s, %v", out, err)
	}
}

func TestEventJSON(t *testing.T) {
	f := func(e Event, want string) {
		t.Helper()
		got, err := json.Marshal(e)
		if err != nil || string(got) != want {
			t.Errorf("got %s, %v", got, err)
		}
	}
	at := time.Date(2026, 11, 23, 11, 0, 0, 500_000_000, time.FixedZone("", 3600))
	f(Event{ID: "1", Source: "s", Type: "llm.tokens", Subject: "acme", Time: at, Model: "m", Usage: map[string]uint64{"input": 3}},
		`{"id":"1","source":"s","type":"llm.tokens","subject":"acme","time":"2026-11-23T10:00:00.5Z","data":{"model":"m","usage":{"input":3}}}`)
	f(Event{ID: "1", Source: "s", Type: "api.calls", Subject: "acme"}, `{"id":"1","source":"s","type":"api.calls","subject":"acme","data":{}}`)
}

func TestTemporary(t *testing.T) {
	f := func(err error, want bool) {
		t.Helper()
		if got := Temporary(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
	f(&Problem{Status: 429}, true)
	f(&Problem{Status: 503}, true)
	f(&Problem{Status: 409}, false)
	f(&Problem{Status: 500}, false)
	f(io.ErrUnexpectedEOF, true)
	f(context.Canceled, false)
	f(&decodeError{err: io.EOF}, false)
	if Temporary(nil) {
		t.Error("nil")
	}
}

// serve answers with f and returns a client of it.
func serve(t *testing.T, f http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	c := New(At(server.URL), Options{Key: "secret"})
	t.Cleanup(c.Close)
	return c
}

func TestListFollowsTheCursor(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		next := map[string]string{"": "a", "a": "b", "b": ""}[r.URL.Query().Get("cursor")]
		fmt.Fprintf(w, `{"items":[{"batch_id":"after-%s"}],"next":%q}`, r.URL.Query().Get("cursor"), next)
	})
	all, err := c.Settlements(t.Context())
	if err != nil || len(all) != 3 || all[2].BatchID != "after-b" {
		t.Errorf("%+v, %v", all, err)
	}
	stuck := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"items":[],"next":"same"}`) })
	if _, err := stuck.Settlements(t.Context()); err == nil || Temporary(err) {
		t.Errorf("a cursor that repeats: %v", err)
	}
}

func TestProblem(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusConflict)
		fmt.Fprint(w, `{"code":"id_conflict","detail":"other content"}`)
	})
	err := c.Open(t.Context(), Account{ID: "a/b"})
	var p *Problem
	if !errors.As(err, &p) || p.Status != 409 || CodeOf(err) != "id_conflict" || p.Request != "POST /v1/accounts" {
		t.Errorf("%+v", err)
	}
	if CodeOf(io.EOF) != "" {
		t.Error("a code of something that is no refusal")
	}
}

func TestIDsAreOneSegment(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"id":%q,"posted":"1","held":"0"}`, r.RequestURI)
	})
	b, err := c.Balance(t.Context(), "team/a@b:c")
	if err != nil || b.ID != "/v1/accounts/team%2Fa@b:c" || b.Posted.String() != "1" {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestRetry(t *testing.T) {
	calls := 0
	err := Retry(t.Context(), time.Microsecond, func(context.Context) error {
		if calls++; calls < 3 {
			return &Problem{Status: 503}
		}
		return nil
	})
	if err != nil || calls != 3 {
		t.Errorf("%d calls, %v", calls, err)
	}
	calls = 0
	err = Retry(t.Context(), time.Hour, func(context.Context) error { calls++; return &Problem{Status: 422, Code: "invalid"} })
	if CodeOf(err) != "invalid" || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err = Retry(ended, time.Hour, func(context.Context) error { return io.ErrUnexpectedEOF })
	if !errors.Is(err, context.Canceled) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}
