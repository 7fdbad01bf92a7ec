package peers

import (
	"context"
	"errors"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// book is a peer that keeps maps, and can be made to do wrong.
type book struct {
	mu       sync.Mutex
	ids      map[string]bool
	balances []int64
	wrong    func(b *book)
}

func (b *book) Name() string    { return "a map" }
func (b *book) Notes() []string { return nil }
func (b *book) Open(_ context.Context, accounts int) error {
	b.ids, b.balances = map[string]bool{}, make([]int64, accounts)
	return nil
}
func (b *book) Connect(context.Context) (Connection, error) { return b, nil }
func (b *book) Close() error                                { return nil }
func (b *book) Stop() error                                 { return nil }

func (b *book) Book(_ context.Context, events []Event) (fresh int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range events {
		if !b.ids[e.ID] {
			b.ids[e.ID] = true
			b.balances[e.Payer] -= e.Amount
			b.balances[e.Payee] += e.Amount
			fresh++
		}
	}
	return fresh, nil
}

func (b *book) Balances(context.Context) (int64, []int64, error) {
	if b.wrong != nil {
		b.wrong(b)
	}
	return int64(len(b.ids)), b.balances, nil
}

// TestTigerBeetle runs the program that FARTHING_TIGERBEETLE names, in a build with its client.
func TestTigerBeetle(t *testing.T) {
	p, err := NewTigerBeetle(t.Context(), os.Getenv("FARTHING_TIGERBEETLE"), t.TempDir())
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Run(t.Context(), p, tiny(50)); err != nil || got.Events == 0 {
		t.Errorf("%+v %v", got, err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

func tiny(batch int) Options {
	return Options{Batch: batch, Connections: 4, Accounts: 20, Warmup: 10 * time.Millisecond, Duration: 100 * time.Millisecond, Seed: 1}
}

// TestCheckNoticesDifferences has peers that lose an event, or count a balance wrong.
func TestCheckNoticesDifferences(t *testing.T) {
	f := func(wrong func(b *book), want string) {
		t.Helper()
		_, err := Run(t.Context(), &book{wrong: wrong}, tiny(10))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f(nil, "")
	f(func(b *book) {
		for id := range maps.Keys(b.ids) {
			delete(b.ids, id)
			return
		}
	}, "events are booked")
	f(func(b *book) { b.balances[3]++ }, "account 3 has")
}

// TestPeers runs what is installed, one by one and in batches.
func TestPeers(t *testing.T) {
	for _, start := range []func(context.Context, string) (Peer, error){NewPostgres, NewRedis} {
		for _, batch := range []int{1, 50} {
			// A socket's path has at most 107 bytes.
			dir, err := os.MkdirTemp("", "p")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = os.RemoveAll(dir) }()
			if err := os.Chmod(dir, 0o755); err != nil { // the server's user may not be ours
				t.Fatal(err)
			}
			p, err := start(t.Context(), dir)
			if errors.Is(err, ErrMissing) {
				t.Log(err)
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := Run(t.Context(), p, tiny(batch))
			if err != nil || got.Events == 0 || got.P50 <= 0 || got.P99 < got.P50 || len(got.Notes) == 0 {
				t.Errorf("%s, %d at once: %+v %v", p.Name(), batch, got, err)
			}
			t.Logf("%s, %d at once: %d events/s", got.Peer, batch, got.EventsPerSecond)
			if err := p.Stop(); err != nil {
				t.Error(err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
				t.Errorf("%s leaves %v behind: %v", p.Name(), left, err)
			}
		}
	}
}
