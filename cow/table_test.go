package cow

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// TestSnapshotAgainstCopy compares the snapshot with a plain copy taken at Begin,
// under random changes, growth and step sizes, full and incremental.
func TestSnapshotAgainstCopy(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			var table Table[int64]
			var since uint32
			changed := map[uint32]bool{} // since the last Begin
			for range 4 {
				for range rng.IntN(3000) {
					changed[table.Append(rng.Int64())] = true
				}
				mutate(rng, &table, changed, rng.IntN(2000))
				if int(table.Changed()) != len(changed) {
					t.Fatalf("%d rows are said to have changed, want %d", table.Changed(), len(changed))
				}
				want := map[uint32]int64{}
				full := rng.IntN(3) == 0
				for i := range table.Len() {
					if full || changed[i] {
						want[i] = *table.At(i)
					}
				}
				got := map[uint32]int64{}
				take := func(i uint32, r *int64) {
					if _, twice := got[i]; twice {
						t.Fatalf("row %d came twice", i)
					}
					got[i] = *r
				}
				switch {
				case full && rng.IntN(2) == 0:
					table.Stream(take)
					since, take = table.Epoch(), nil
				case full:
					since = table.Begin(0)
				default:
					since = table.Begin(since)
				}
				clear(changed)
				for {
					done := table.Step(rng.IntN(300), take)
					if done {
						break
					}
					mutate(rng, &table, changed, rng.IntN(200))
					changed[table.Append(1)] = true
				}
				if len(got) != len(want) {
					t.Fatalf("%d rows, want %d", len(got), len(want))
				}
				for i, v := range want {
					if got[i] != v {
						t.Fatalf("row %d is %d, want %d", i, got[i], v)
					}
				}
			}
		})
	}
}

func mutate(rng *rand.Rand, table *Table[int64], changed map[uint32]bool, n int) {
	if table.Len() == 0 {
		return
	}
	for range n {
		i := uint32(rng.IntN(int(table.Len())))
		*table.Mut(i) = rng.Int64()
		changed[i] = true
	}
}

func TestRestore(t *testing.T) {
	var a, b Table[int64]
	for i := range int64(5000) {
		a.Append(i * i)
	}
	order := rand.New(rand.NewPCG(1, 1)).Perm(5000)
	b.Grow(4000) // rows below may come from several goroutines
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for _, i := range order {
				if i < 4000 && i%4 == worker {
					b.Restore(uint32(i), *a.At(uint32(i)))
				}
			}
		})
	}
	wg.Wait()
	for _, i := range order {
		if i >= 4000 {
			b.Restore(uint32(i), *a.At(uint32(i)))
		}
	}
	for i := range b.Len() {
		if *a.At(i) != *b.At(i) || b.Len() != a.Len() {
			t.Fatalf("row %d of %d is %d, want %d", i, b.Len(), *b.At(i), *a.At(i))
		}
	}
	since := b.Restored()
	*b.Mut(17) = 1
	if b.Changed() != 1 {
		t.Fatalf("%d rows changed after loading, want 1", b.Changed())
	}
	var got []uint32
	b.Begin(since)
	for !b.Step(100, func(i uint32, _ *int64) { got = append(got, i) }) {
	}
	if !slices.Equal(got, []uint32{17}) {
		t.Fatalf("rows changed after loading: %v", got)
	}
}

func TestBeginTwicePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("a second Begin went through")
		}
	}()
	var table Table[int64]
	table.Append(1)
	table.Begin(0)
	table.Begin(0)
}

// TestOldPagesAreSkipped has a few rows of a large table change: a later snapshot emits these and goes past pages without one in a single visit.
func TestOldPagesAreSkipped(t *testing.T) {
	const rows = 10*pageRows + 7
	for _, restored := range []bool{false, true} {
		var table Table[int]
		var since uint32
		if restored {
			for i := range uint32(rows) {
				table.Restore(i, int(i))
			}
			since = table.Restored()
		} else {
			for i := range rows {
				table.Append(i)
			}
			since = table.Begin(0)
			if n := emitted(&table, rows); len(n) != rows {
				t.Fatalf("%d rows", len(n))
			}
		}
		changed := []uint32{5, 2*pageRows + 1, rows - 1}
		for _, i := range changed {
			*table.Mut(i) = -1
		}
		table.Begin(since)
		*table.Mut(2*pageRows + 2) = -2 // after it: not a part of it
		*table.Mut(7 * pageRows) = -2
		got := emitted(&table, 3*pageRows+14) // three pages, seven that are passed, seven rows of the last
		if len(got) != len(changed) {
			t.Errorf("restored %v: %v", restored, got)
		}
		for _, i := range changed {
			if got[i] != -1 {
				t.Errorf("restored %v: row %d is %d", restored, i, got[i])
			}
		}
	}
}

// emitted steps a snapshot to its end within so many visits.
func emitted(table *Table[int], visits int) map[uint32]int {
	got := map[uint32]int{}
	for ; visits > 0 && !table.Step(1, func(i uint32, row *int) { got[i] = *row }); visits-- {
	}
	if table.Active() {
		return nil
	}
	return got
}
