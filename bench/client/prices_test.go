package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// lines answers with lines of a stream.
func lines(text ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Join(text, "\n")+"\n") }
}

func TestSimulateReadsTheStream(t *testing.T) {
	const result = `{"version":"v/1","from":"2026-11-01T00:00:00Z","to":null,"sequence":7,"events":3,"unpriced":1,"totals":[{"currency":"USD","was":"1","would":"0.5","difference":"-0.5"}],` +
		`"rows":[{"currency":"USD","account":"a","model":"m","component":"input","events":3,"was":"1","would":"0.5","difference":"-0.5"}]}`
	var asked string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.URL.String() + " " + r.Header.Get("Authorization")
		lines(`{"progress":{"done":1,"total":9}}`, `{"progress":{"done":5,"total":9}}`, `{"result":`+result+`}`)(w, r)
	})
	var told []string
	r, err := c.Simulate(t.Context(), "v/1", "2026-11-01", "", func(done, total uint64) { told = append(told, fmt.Sprint(done, "/", total)) })
	if err != nil || string(r.Raw) != result || r.From != "2026-11-01T00:00:00Z" || r.To != "" || r.Rows[0].Difference.String() != "-0.5" {
		t.Errorf("%+v, %v", r, err)
	}
	if got := strings.Join(told, " "); got != "1/9 5/9" {
		t.Error(got)
	}
	if asked != "GET /v1/prices/v%2F1/simulation?from=2026-11-01 Bearer secret" {
		t.Error(asked)
	}
	if _, err := c.PreviewRerate(t.Context(), "v/1", "", "2026-12-01", nil); err != nil || asked != "GET /v1/prices/v%2F1/rerate?to=2026-12-01 Bearer secret" {
		t.Error(asked, err)
	}
}

func TestSimulateFails(t *testing.T) {
	f := func(answer http.HandlerFunc, code, mention string) {
		t.Helper()
		_, err := serve(t, answer).Simulate(t.Context(), "v", "", "", nil)
		if err == nil || CodeOf(err) != code || !strings.Contains(err.Error(), mention) {
			t.Errorf("%v: want %q, %q", err, code, mention)
		}
	}
	f(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"code":"overloaded","detail":"two run"}`)
	}, "overloaded", "429")
	f(lines(`{"progress":{"done":1,"total":9}}`, `{"problem":{"status":503,"code":"not_ready","detail":"it stops"}}`), "not_ready", "503 not_ready: it stops")
	f(lines(`{"progress":{"done":1,"total":9}}`), "", "broke off")
	f(lines(`{"result":{"rows":[{"was":1.5}]}}`), "", "not a decimal string")
	f(lines(`{"result":`), "", "broke off")
}

// TestSimulateOfASilentServer gives up when nothing comes for the time of a request.
func TestSimulateOfASilentServer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"progress":{"done":1,"total":9}}`+"\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	c := New(At(server.URL), Options{Timeout: 50 * time.Millisecond})
	defer c.Close()
	if _, err := c.Simulate(t.Context(), "v", "", "", nil); !errors.Is(err, errSilent) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.Simulate(ctx, "v", "", "", func(uint64, uint64) { cancel() })
	if !errors.Is(err, context.Canceled) || errors.Is(err, errSilent) {
		t.Error(err)
	}
}
