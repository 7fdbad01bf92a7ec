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
	reported := struct {
		Input int `json:"input_tokens"`
	}{7}
	f(Event{ID: "1", Source: "s", Type: "llm.tokens", Subject: "acme", Model: "m", UsageFormat: "anthropic", Reported: reported},
		`{"id":"1","source":"s","type":"llm.tokens","subject":"acme","data":{"model":"m","usage_format":"anthropic","usage":{"input_tokens":7}}}`)
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
	f(ErrNotYet, true)
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

func TestVoidAndUnpriced(t *testing.T) {
	var path, body string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		path, body = r.Method+" "+r.RequestURI, string(sent)
		fmt.Fprint(w, `{"id":"v","amount":"0.25","transfers":[{"debit":"maker","debit_class":"payable","amount":"0.25"}],
			"items":[],"summary":{"events":3,"counts":[{"reason":"no_matching_price","dimensions":{"model":"m"},"events":3}]}}`)
	})
	v, err := c.Void(t.Context(), "s/1", "e@2", "v", "twice")
	if err != nil || v.Amount.String() != "0.25" || v.Transfers[0].DebitClass != "payable" {
		t.Errorf("%+v, %v", v, err)
	}
	if path != "POST /v1/events/s%2F1/e@2/void" || body != `{"id":"v","reason":"twice"}` {
		t.Errorf("%s %s", path, body)
	}
	u, err := c.Unpriced(t.Context())
	if err != nil || u.Events != 3 || u.Counts[0].Dimensions["model"] != "m" {
		t.Errorf("%+v, %v", u, err)
	}
	later := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"items":[]}`) })
	if _, err := later.Unpriced(t.Context()); !errors.Is(err, errNoSummary) || Temporary(err) {
		t.Errorf("no summary: %v", err)
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
