package apikey

import (
	"path/filepath"
	"testing"
	"time"
	"unsafe"
)

// TestClockIsSetBack sets the clock on the wall back by an hour: a revoked key is refused all the same, and nobody
// waits an hour for what he earns in a second.
func TestClockIsSetBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	stays, goes := mustKey(t, "stays", Read, 1), mustKey(t, "goes", Read, 2)
	for _, key := range []Key{stays, goes} {
		if err := Add(path, key.Entry); err != nil {
			t.Fatal(err)
		}
	}
	file, err := Open(path, func(int, error) {})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := file.Authenticate([]byte(goes.Secret)); !ok {
		t.Fatal("not let in")
	}
	limiter := newLimiter(Limits{RequestsPerSecond: 1, BytesPerSecond: 1})
	limiter.Bytes(time.Now(), 1)
	if _, limit := limiter.Request(time.Now()); limit != "" {
		t.Fatal(limit)
	}

	file.now = func() time.Time { return setBack(time.Now()) }
	if err := Revoke(path, "goes"); err != nil {
		t.Fatal(err)
	}
	<-time.After(Settled)
	if _, ok := file.Authenticate([]byte(goes.Secret)); ok {
		t.Error("a revoked key is let in")
	}
	if wait, limit := limiter.Request(setBack(time.Now())); limit == "" || wait > time.Second {
		t.Errorf("%q for %v", limit, wait)
	}
	if wait, limit := limiter.Request(setBack(time.Now().Add(time.Second))); limit != "" {
		t.Errorf("%q for %v", limit, wait)
	}
}

// setBack is what time.Now would say after the clock was set back: the wall clock's seconds are the bits above the
// nanoseconds of the first word, and the monotonic clock is in the second.
func setBack(now time.Time) time.Time {
	t := now
	*(*uint64)(unsafe.Pointer(&t)) -= 3600 << 30
	if t.Sub(now) != 0 || t.Unix() != now.Unix()-3600 {
		panic("BUG: a time is made of something else")
	}
	return t
}
