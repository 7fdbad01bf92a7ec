package engine

import (
	"maps"
	"testing"
)

// TestResultPositions sets positions of topics whose names begin alike, reads them back, also after a restart, and has the publishers'
// rows beside them checked.
func TestResultPositions(t *testing.T) {
	r := newRig(t, nil)
	set := func(topic string, partition int32, next int64) {
		t.Helper()
		if err := r.e.ResultPositions().Set(topic, partition, next); err != nil {
			t.Fatal(err)
		}
	}
	want := func(topic string, positions map[int32]int64) {
		t.Helper()
		if got, err := r.e.ResultPositions().Load(topic); err != nil || !maps.Equal(got, positions) {
			t.Fatalf("%s: %v, %v; want %v", topic, got, err, positions)
		}
	}
	want("results", map[int32]int64{})
	set("results", 0, 7)
	set("results", 256, 9)
	set("results", 0, 8)
	set("results2", 0, 1)
	set("result", 3, 2)
	check := func() {
		t.Helper()
		want("results", map[int32]int64{0: 8, 256: 9})
		want("results2", map[int32]int64{0: 1})
		want("result", map[int32]int64{3: 2})
		want("r", map[int32]int64{})
		if at, err := r.e.Outbox().Position(); err != nil || at.Confirmed != 0 {
			t.Fatal(at, err)
		}
		if at, err := r.e.NoticeOutbox().Position(); err != nil || at.Confirmed != 0 {
			t.Fatal(at, err)
		}
	}
	check()
	r.reopen()
	check()
}
