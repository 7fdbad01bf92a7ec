package engine

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"farthing/ledger"
)

// TestHoldTableAgainstMap opens, moves and ends holds at random and compares with a map: what is
// found, what is reserved, what the wheel gives at which time and in which order, and the same
// after a restart.
func TestHoldTableAgainstMap(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	type open struct {
		row   holdRow
		parts []ledger.Part
	}
	want := map[[2]uint64]*open{}
	now := int64(1_700_000_000e9)
	table := &holdTable{}
	table.start(now)
	seq := uint64(0)
	key := func() [2]uint64 { return [2]uint64{rng.Uint64N(1 << 8), rng.Uint64N(40)} } // many share a slot
	for step := range 60_000 {
		switch id := key(); {
		case rng.IntN(3) > 0 && want[id] == nil:
			seq++
			o := &open{row: holdRow{id: id, seq: seq, due: now + rng.Int64N(20e9)}}
			for range rng.IntN(4) {
				o.parts = append(o.parts, ledger.Part{Grant: rng.Uint32(), Amount: mustAmount("1")})
			}
			table.add(o.row, o.parts)
			want[id] = o
		case rng.IntN(2) == 0:
			n, ok := table.find(id)
			if ok != (want[id] != nil) {
				t.Fatalf("seed %d, step %d: found %v", seed, step, ok)
			}
			if ok && rng.IntN(3) > 0 {
				table.remove(n)
				delete(want, id)
			} else if ok {
				want[id].row.due = now + rng.Int64N(900e9)
				table.setDue(n, want[id].row.due)
			}
		default:
			now += rng.Int64N(50e6)
			table.wheel.advance(now, func(n uint32) dueHold { return dueHold{n, table.rows.At(n).due, table.rows.At(n).seq} })
			for _, id := range popDue(t, table, now) {
				delete(want, id)
			}
			for id, o := range want {
				if o.row.due < now-2<<wheelShift {
					t.Fatalf("seed %d, step %d: hold %v was due %d ns ago", seed, step, id, now-o.row.due)
				}
			}
		}
		if step%9973 == 0 {
			table = restoredTable(table, now)
		}
	}
	if table.open != len(want) {
		t.Fatalf("seed %d: %d open, want %d", seed, table.open, len(want))
	}
	for id, o := range want {
		n, ok := table.find(id)
		if !ok || !slices.Equal(table.reserved(table.rows.At(n), nil).Parts, o.parts) {
			t.Fatalf("seed %d: hold %v is not as it was", seed, id)
		}
	}
}

// popDue ends the holds that the wheel gives, which have to be due and in order.
func popDue(t *testing.T, table *holdTable, now int64) (ended [][2]uint64) {
	t.Helper()
	var last dueHold
	for {
		h, ok := table.wheel.pop()
		if !ok {
			return ended
		}
		row := table.rows.At(h.row)
		if row.seq != h.seq || row.due != h.due {
			continue
		}
		if row.due > now || row.due < last.due || (row.due == last.due && row.seq < last.seq) {
			t.Fatalf("%+v comes after %+v at %d", h, last, now)
		}
		last = h
		ended = append(ended, row.id)
		table.remove(h.row)
	}
}

// restoredTable is the table as a checkpoint brings it back.
func restoredTable(old *holdTable, now int64) *holdTable {
	table := &holdTable{}
	for n := range old.rows.Len() {
		table.rows.Restore(n, *old.rows.At(n))
	}
	for n := range old.parts.Len() {
		table.parts.Restore(n, *old.parts.At(n))
	}
	table.restored()
	table.start(now)
	return table
}

// TestHoldWheelFarBehind: a hold that is put on the wheel while that is more than a turn behind
// comes too early, and has to be put there again.
func TestHoldWheelFarBehind(t *testing.T) {
	w := &holdWheel{}
	w.start(0)
	now := 3*wheelSpan + 5
	due := now + int64(7*24*3600e9)
	w.add(0, due)
	for at := now; ; at += int64(3600e9) {
		w.advance(at, func(row uint32) dueHold { return dueHold{row: row, due: due} })
		h, ok := w.pop()
		if ok && h.due <= at {
			if late := at - due; late > int64(3601e9) {
				t.Fatalf("%d ns late", late)
			}
			return
		}
		if ok {
			w.add(h.row, due)
		}
		if at > due+int64(4*3600e9) {
			t.Fatal("it never came")
		}
	}
}

func TestHoldsExpireInOrder(t *testing.T) {
	list := []dueHold{{1, 5, 9}, {2, 5, 3}, {3, 1, 8}}
	w := &holdWheel{}
	w.start(1 << wheelShift)
	at := func(row uint32) dueHold { return list[row-1] }
	for _, h := range list {
		w.add(h.row, h.due+1<<wheelShift)
	}
	w.advance(4<<wheelShift, at)
	var got []uint32
	for h, ok := w.pop(); ok; h, ok = w.pop() {
		got = append(got, h.row)
	}
	slices.SortFunc(list, func(a, b dueHold) int { return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.seq, b.seq)) })
	want := []uint32{list[0].row, list[1].row, list[2].row}
	if !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
}
