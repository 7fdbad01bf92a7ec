package reconcile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"farthing/batch"
	"farthing/publish"

	"github.com/twmb/franz-go/pkg/kgo"
)

// emptyTopic has nothing.
type emptyTopic struct{}

func (emptyTopic) Topic() string                                { return "t" }
func (emptyTopic) Bounds(context.Context) (_, _ int64, _ error) { return 0, 0, nil }
func (emptyTopic) Read(context.Context, int64, int64, func(*publish.TopicRecord) error) error {
	return nil
}

func topicRecord(r *kgo.Record, offset int64) *publish.TopicRecord {
	out := &publish.TopicRecord{Offset: offset, Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, publish.Header{Key: h.Key, Value: h.Value})
	}
	return out
}

// serveLedger shows a ledger over HTTP by the contract, in small pages, behind a key. Its cursors are words that only it understands.
func serveLedger(t *testing.T, l *memLedger, requests *int) *httptest.Server {
	t.Helper()
	list := func(w http.ResponseWriter, r *http.Request, items [][]byte, size int) {
		*requests++
		if r.Header.Get("Authorization") != "Bearer secret" {
			http.Error(w, `{"code":"unauthenticated"}`, http.StatusUnauthorized)
			return
		}
		from := 0
		if c := r.URL.Query().Get("cursor"); c != "" {
			from, _ = strconv.Atoi(strings.TrimPrefix(c, "after-"))
		}
		to, next := min(from+size, len(items)), ""
		if to < len(items) {
			next = fmt.Sprintf(`,"next":"after-%d"`, to)
		}
		fmt.Fprintf(w, `{"items":[%s]%s}`, bytes.Join(items[from:to], []byte(", ")), next)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/settlements", func(w http.ResponseWriter, r *http.Request) {
		var items [][]byte
		for _, b := range l.batches {
			beside, err := json.Marshal(map[string]any{"key_id": b.KeyID, "signature": b.Signature, "published": map[string]any{
				"topic": "t", "partition": 0, "first_offset": 7, "last_offset": 8}})
			if err != nil {
				panic(err)
			}
			items = append(items, append(append(bytes.TrimSuffix(bytes.Clone(b.Manifest), []byte("}")), ','), beside[1:]...))
		}
		list(w, r, items, 2)
	})
	mux.HandleFunc("/v1/settlements/{id}/lines", func(w http.ResponseWriter, r *http.Request) { list(w, r, l.lines[r.PathValue("id")], 4) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// TestHTTP reads batches and lines as they are, in any order, and goes back by the cursors it was given.
func TestHTTP(t *testing.T) {
	l, requests := sealedLedger(t, 5, 20, nil), 0
	h := NewHTTP(serveLedger(t, l, &requests).URL+"/", "secret")
	defer h.Close()
	got, err := h.Batches(t.Context())
	if err != nil || len(got) != 5 || requests != 3 {
		t.Fatalf("%d batches in %d requests, %v", len(got), requests, err)
	}
	for i, b := range got {
		if want := l.batches[i]; !bytes.Equal(b.Manifest, want.Manifest) || b.KeyID != "k1" || b.Signature != want.Signature || *b.Published != (Place{"t", 0, 7, 8}) {
			t.Errorf("batch %d is %s %+v", i, b.Manifest, b)
		}
	}
	f := func(batchIndex int, from uint32, wantRequests int) {
		t.Helper()
		requests = 0
		m, err := batch.ParseManifest(l.batches[batchIndex].Manifest)
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("%x", m.BatchID)
		lines, err := h.Lines(t.Context(), id, from)
		if err != nil || len(lines) == 0 || len(lines) > 4 || !bytes.Equal(lines[0], l.lines[id][from-1]) || requests != wantRequests {
			t.Errorf("from %d: %d lines in %d requests, want %d; %v", from, len(lines), requests, wantRequests, err)
		}
	}
	f(0, 1, 1)
	f(0, 5, 1)
	f(0, 3, 1)
	f(0, 21, 4) // over the pages that nobody has seen yet
	f(0, 12, 1)
	f(0, 21, 1)
	f(1, 10, 3)
	f(0, 9, 1)
	f(1, 4, 1)
	m, _ := batch.ParseManifest(l.batches[0].Manifest)
	if lines, err := h.Lines(t.Context(), fmt.Sprintf("%x", m.BatchID), 22); err != nil || lines != nil {
		t.Errorf("beyond the end: %d lines, %v", len(lines), err)
	}
	wrong := NewHTTP(h.url, "guess")
	defer wrong.Close()
	if _, err := wrong.Batches(t.Context()); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("a wrong key: %v", err)
	}
}

// TestUnreadable: a side that cannot be read is an error and no report.
func TestUnreadable(t *testing.T) {
	f := func(mention string, l *memLedger) {
		t.Helper()
		if r, err := Run(t.Context(), Options{Ledger: l, Topic: emptyTopic{}}); err == nil || !strings.Contains(err.Error(), mention) {
			t.Errorf("%v, report %+v", err, r)
		}
	}
	l := sealedLedger(t, 3, 2, nil)
	f("begins at stream_seq 9", &memLedger{batches: []Batch{l.batches[0], l.batches[2]}})
	f("the ledger's batch 1", &memLedger{batches: []Batch{{Manifest: []byte("{}")}}})
}
