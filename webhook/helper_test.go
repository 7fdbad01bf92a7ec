package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait of a test; none is expected to come near it.
const patience = 30 * time.Second

const someSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// memSource is a stream in memory.
type memSource struct {
	mu      sync.Mutex
	all     []Notification
	failed  error
	changed chan struct{}
}

func newSource(n int) *memSource {
	s := &memSource{changed: make(chan struct{})}
	s.add(n, "credit.low")
	return s
}

// add appends n notifications of a type.
func (s *memSource) add(n int, kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		number := uint64(len(s.all) + 1)
		s.all = append(s.all, Notification{Number: number, Type: kind, JSON: fmt.Appendf(nil, `{"sequence":%d,"type":%q}`, number, kind)})
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *memSource) Notifications(after uint64, limit int) ([]Notification, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if after >= uint64(len(s.all)) || s.failed != nil {
		return nil, s.failed
	}
	page := s.all[after:]
	return page[:min(limit, len(page))], nil
}

func (s *memSource) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = err
}

func (s *memSource) Last() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.all))
}

func (s *memSource) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// memStore is a store in memory. What was only advanced is lost in a crash, the newest first.
type memStore struct {
	mu      sync.Mutex
	rows    map[string][2]string
	states  []map[string][2]string // after the last durable write and after each write since
	failing error
}

func newStore() *memStore {
	return &memStore{rows: map[string][2]string{}, states: []map[string][2]string{{}}}
}

func (s *memStore) Load(fn func(id string, registry, progress []byte) error) error {
	for id, rows := range s.rows {
		if err := fn(id, []byte(rows[0]), []byte(rows[1])); err != nil {
			return err
		}
	}
	return s.failing
}

func (s *memStore) write(durable bool, change func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing != nil {
		return s.failing
	}
	change()
	if durable {
		s.states = nil
	}
	s.states = append(s.states, maps.Clone(s.rows))
	return nil
}

func (s *memStore) Save(id string, registry, progress []byte) error {
	return s.write(true, func() { s.rows[id] = [2]string{string(registry), string(progress)} })
}

func (s *memStore) Advance(id string, progress []byte) error {
	return s.write(false, func() { s.rows[id] = [2]string{s.rows[id][0], string(progress)} })
}

func (s *memStore) Delete(id string) error {
	return s.write(true, func() { delete(s.rows, id) })
}

// crash is the store as a power cut leaves it: with some of the writes since the last durable one.
func (s *memStore) crash(random *rand.Rand) *memStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.states[random.IntN(len(s.states))]
	return &memStore{rows: maps.Clone(kept), states: []map[string][2]string{maps.Clone(kept)}}
}

func (s *memStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = err
}

// options deliver to loopback without long waits.
func options() Options {
	return Options{Ledger: "l", AllowPrivate: true, Timeout: 5 * time.Second, Logger: slog.New(slog.DiscardHandler),
		Schedule: slices.Repeat([]time.Duration{time.Millisecond}, 1000), Jitter: func(d time.Duration) time.Duration { return d }}
}

func newDispatcher(t *testing.T, o Options, store Store, source Source) *Dispatcher {
	t.Helper()
	d, err := New(o, store, source)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// start runs the dispatcher until the returned function is called.
func start(d *Dispatcher) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.Run(ctx)
	}()
	return func() { cancel(); <-done }
}

func from(n uint64) *uint64 { return &n }

// create makes an endpoint that gets everything.
func create(t *testing.T, d *Dispatcher, id, url string, types ...string) {
	t.Helper()
	secret, no := ParseSecret(someSecret)
	if no != nil {
		t.Fatal(no)
	}
	if _, created, no := d.Create(Spec{ID: id, URL: url, Types: types, Secret: secret, From: from(0)}); no != nil || !created {
		t.Fatalf("%v %v", created, no)
	}
}

// await waits until an endpoint stands as it should.
func await(t *testing.T, d *Dispatcher, id, what string, is func(*Endpoint) bool) Endpoint {
	t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		e, no := d.Endpoint(id)
		if no != nil {
			t.Fatal(no)
		}
		if is(&e) {
			return e
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: not %s: %+v", id, what, e)
		}
	}
}

func awaitDelivered(t *testing.T, d *Dispatcher, id string, n uint64) {
	t.Helper()
	await(t, d, id, fmt.Sprintf("delivered up to %d", n), func(e *Endpoint) bool { return e.Delivered == n })
}

func awaitDisabled(t *testing.T, d *Dispatcher, id string) Endpoint {
	t.Helper()
	return await(t, d, id, "disabled", func(e *Endpoint) bool { return e.Disabled })
}

// verify is a consumer's check of a delivery, written from the specification and without crypto/hmac. It returns the
// number that the id names.
func verify(h http.Header, body []byte, secret string, now time.Time) (uint64, error) {
	id, stamp := h.Get("webhook-id"), h.Get("webhook-timestamp")
	sent, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || now.Sub(time.Unix(sent, 0)).Abs() > 5*time.Minute {
		return 0, fmt.Errorf("timestamp %q", stamp)
	}
	coded, ok := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(coded)
	if !ok || err != nil {
		return 0, errors.New("secret")
	}
	var inner, outer [64]byte // RFC 2104
	copy(inner[:], key)
	copy(outer[:], key)
	for i := range inner {
		inner[i] ^= 0x36
		outer[i] ^= 0x5c
	}
	first := sha256.Sum256(append(inner[:], id+"."+stamp+"."+string(body)...))
	second := sha256.Sum256(append(outer[:], first[:]...))
	if want := "v1," + base64.StdEncoding.EncodeToString(second[:]); h.Get("webhook-signature") != want {
		return 0, fmt.Errorf("signature %q, want %q", h.Get("webhook-signature"), want)
	}
	number, ok := strings.CutPrefix(id, "ntf-l-")
	if !ok || h.Get("Content-Type") != "application/json" {
		return 0, fmt.Errorf("headers %v", h)
	}
	return strconv.ParseUint(number, 10, 64)
}
