package bench

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestErrands has each errand answered with success once, whatever the server does to others that were sent with it.
func TestErrands(t *testing.T) {
	const n = 2000
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch calls.Add(1) % 97 {
		case 13:
			http.Error(w, `{"code":"overloaded"}`, http.StatusTooManyRequests)
		case 41:
			panic(http.ErrAbortHandler)
		case 67:
			w.Header().Set("Connection", "close")
			fallthrough
		default:
			_, _ = fmt.Fprintf(w, "%s %s", r.URL.Path, body)
		}
	}))
	defer server.Close()
	r := &run{opts: Options{URL: server.URL}}
	var mu sync.Mutex
	got := map[int]int{}
	err := r.errands(t.Context(), n, func(i int) errand {
		return errand{http.MethodPost, fmt.Sprintf("/%d", i), fmt.Appendf(nil, "body %d", i)}
	}, func(i int, body []byte) error {
		mu.Lock()
		defer mu.Unlock()
		got[i]++
		if want := fmt.Sprintf("/%d body %d", i, i); string(body) != want {
			return fmt.Errorf("%q is answered to %d", body, i)
		}
		return nil
	})
	if err != nil || len(got) != n {
		t.Errorf("%d answered: %v", len(got), err)
	}
	for i, times := range got {
		if times != 1 {
			t.Errorf("%d was answered %d times", i, times)
		}
	}
	if calls.Load() <= n {
		t.Errorf("%d calls: nothing was sent again", calls.Load())
	}
}

// TestErrandsEnd ends with the first refusal, and with what reading an answer says.
func TestErrandsEnd(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/1234" {
			http.Error(w, `{"code":"invalid"}`, http.StatusUnprocessableEntity)
		}
	}))
	defer server.Close()
	r := &run{opts: Options{URL: server.URL}}
	ask := func(i int) errand { return errand{http.MethodGet, fmt.Sprintf("/%d", i), nil} }
	if err := r.errands(t.Context(), 2000, ask, nil); err == nil || !strings.Contains(err.Error(), "/1234") {
		t.Error(err)
	}
	err := r.errands(t.Context(), 1000, ask, func(int, []byte) error { return errStopped })
	if err != errStopped { //nolint:errorlint // that very one
		t.Error(err)
	}
}
