package engine

import (
	"errors"
	"runtime/debug"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"farthing/journal"
)

// A recording is the history of a world in which everything was done once: what the fuzz
// targets change.
type recording struct {
	genesis genesisAt
	blocks  []journal.Block // after the genesis
	chunks  [][]byte        // of its newest full checkpoint
}

// record copies the history of an engine.
func record(t testing.TB, e *Engine) *recording {
	t.Helper()
	first, err := readGenesis(e.store)
	if err != nil {
		t.Fatal(err)
	}
	r := &recording{genesis: first}
	err = e.store.Blocks(2, func(b *journal.Block) error {
		c := *b
		c.Body = append([]byte(nil), b.Body...)
		r.blocks = append(r.blocks, c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// recordCheckpoint copies the chunks of the newest checkpoint of a closed engine's store.
func (r *recording) recordCheckpoint(t testing.TB, o journal.Options) {
	t.Helper()
	opened, err := journal.OpenReadOnly(o)
	if err != nil {
		t.Fatal(err)
	}
	store := onDisk{opened}
	defer store.Close()
	markers, err := checkpointMarkers(store)
	if err != nil || len(markers) == 0 {
		t.Fatalf("%d checkpoints, %v", len(markers), err)
	}
	err = store.TableScan(journal.KindCheckpoint, markers[0].id, nil, nil, func(_, value []byte) (bool, error) {
		r.chunks = append(r.chunks, append([]byte(nil), value...))
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fuzzWorlds plays two worlds: one of metering and settlement, one of prepaid credit.
func fuzzWorlds(f *testing.F) []*recording {
	f.Helper()
	base := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	r := newRig(f, func(o *Options) {
		o.Journal.FS, o.Journal.Dir, o.DedupWindow = vfs.NewMem(), "d", 100*day
		o.Now = func() int64 { return base.UnixNano() }
	})
	a := newActivity(f, newWorld(base))
	a.found(r.e, 3)
	a.run(r.e, 1, 1, 150, 3, nil)
	settled(f, r.e)
	r.e.repriced()
	settled(f, r.e)
	metering := record(f, r.e)
	r.close()
	metering.recordCheckpoint(f, r.o.Journal)

	w := newCreditWorld(f, 1, false)
	for range 250 {
		w.step()
	}
	if w.e == nil {
		w.restart()
	}
	credit := record(f, w.e)
	o := w.options(w.fs).Journal
	if err := w.e.Close(); err != nil {
		f.Fatal(err)
	}
	credit.recordCheckpoint(f, o)
	return []*recording{metering, credit}
}

// replayTo is a replayer whose state is as of the start of a block.
func (r *recording) replayTo(t testing.TB, block int) *replayer {
	t.Helper()
	p := &replayer{state: newState(r.genesis.genesis), after: func(*cursor) error { return nil }}
	p.identity = func(uint64, []byte, seen) error { return nil }
	p.state.time, p.state.seq = r.genesis.time, 1
	for i := range block {
		if err := p.block(&r.blocks[i]); err != nil {
			t.Fatalf("the recorded block %d: %v", i, err)
		}
	}
	return p
}

// FuzzReplay gives the replayer a block that no sequencer wrote, where a recorded one stood:
// it is refused, or it leaves books that balance.
func FuzzReplay(f *testing.F) {
	worlds := fuzzWorlds(f)
	for n, w := range worlds {
		for i, b := range w.blocks {
			f.Add(uint8(n), uint16(i), b.Body)
		}
	}
	f.Fuzz(func(t *testing.T, world uint8, block uint16, body []byte) {
		defer notForEver().Stop()
		w := worlds[int(world)%len(worlds)]
		at := int(block) % len(w.blocks)
		p := w.replayTo(t, at)
		b := w.blocks[at]
		b.Body = body
		if p.block(&b) != nil {
			return
		}
		if err := balancedAt(p.state.ledger, b.Last); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzCheckpoint gives the loader a checkpoint one of whose chunks nobody wrote: it is refused,
// or it makes a state that a checkpoint can be taken of.
func FuzzCheckpoint(f *testing.F) {
	worlds := fuzzWorlds(f)
	for n, w := range worlds {
		for i, c := range w.chunks {
			f.Add(uint8(n), uint16(i), c)
		}
	}
	for n, w := range worlds {
		if _, err := w.restore(0, w.chunks[0]); err != nil {
			f.Fatalf("world %d: the recorded checkpoint: %v", n, err)
		}
	}
	f.Fuzz(func(t *testing.T, world uint8, chunk uint16, value []byte) {
		if claimsTooMuch(value) {
			return
		}
		defer notForEver().Stop()
		w := worlds[int(world)%len(worlds)]
		if s, err := w.restore(int(chunk)%len(w.chunks), value); err == nil {
			s.appendHeader(nil)
		}
	})
}

// claimsTooMuch tells a header of more rows than the target has memory for: room for all rows is made before they are read.
func claimsTooMuch(chunk []byte) bool {
	if len(chunk) == 0 || chunk[0] != chunkHeader {
		return false
	}
	_, rest, err := cutGenesis(chunk[1:])
	if err != nil {
		return false
	}
	r := reader{p: rest}
	r.position()
	for range numRowTables {
		if r.uvarint() > 1<<16 {
			return true
		}
	}
	return false
}

// restore loads the recorded checkpoint with one chunk replaced, guarded as package code is.
func (r *recording) restore(chunk int, value []byte) (s *state, err error) {
	defer func() { refuseBroken(recover(), &err, "chunk %d", chunk) }()
	l := loader{evidence: newEvidence(), aborted: func() error { return nil }, work: newRowWork()}
	for i, c := range r.chunks {
		if i == chunk {
			c = value
		}
		if len(c) == 0 {
			err = errCodec
		}
		if err == nil {
			err = l.chunk(c[0], c[1:])
		}
	}
	if err := errors.Join(err, l.work.wait()); err != nil {
		return nil, err
	}
	if err := l.counted(false); err != nil {
		return nil, err
	}
	return l.finish()
}

// notForEver ends the process if an input takes longer than any machine needs: the fuzzer itself would wait.
func notForEver() *time.Timer {
	return time.AfterFunc(20*time.Second, func() {
		debug.SetTraceback("all")
		panic("an input is not done after 20 s")
	})
}
