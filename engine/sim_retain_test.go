package engine

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"farthing/journal"
	"farthing/refusal"
)

// Old history is exported and dropped in some of the worlds. What was exported is kept beside the disk, so that the twins, which
// begin with the first command, and the checks of what was answered know the whole history.

// simArchive is the place that exports go to.
type simArchive struct {
	blocks []journal.Block
	kept   int // planted: of blocks, what a crash leaves
}

// retaining makes a world drop what is older than some days.
func (s *sim) retaining(seed uint64) {
	draw := rand.New(rand.NewPCG(seed, 7))
	s.o.DedupWindow = []time.Duration{time.Hour, 10 * time.Hour, 48 * time.Hour}[draw.IntN(3)]
	s.o.SettleEvery = []time.Duration{0, 6 * time.Hour, day}[draw.IntN(3)]
	s.o.Retention, s.o.Export = time.Hour, s.export
	s.o.RunIdentities, s.o.CheckpointBytes = 10+draw.IntN(15), 1000+draw.Int64N(3000)
}

// backMax is how long the relay waits at most: where days go by, it would ask many times.
func (s *sim) backMax() time.Duration {
	if s.retain {
		return time.Hour
	}
	return time.Minute
}

// export keeps a part. It may be asked again for what it has, after a crash also for more or less of it.
func (s *sim) export(p ExportPart) (manifest [32]byte, err error) {
	if base := s.store.Base().Seq; p.After < base || p.After > s.archive.last() || p.Through < p.After || p.Through <= base || p.Through > s.store.Head().Seq {
		s.failf("%d to %d are exported of a history from %d to %d", p.After+1, p.Through, base+1, s.store.Head().Seq)
	}
	s.sleep(s.between(time.Millisecond, 20*time.Millisecond)) // a good moment for a crash
	if manifest, err = s.archive.take(p); err != nil {
		s.failf("%v", err)
	}
	s.say("exported %d to %d", p.After+1, p.Through)
	s.sleep(s.between(time.Millisecond, 20*time.Millisecond))
	return manifest, nil
}

// take keeps a part. Of what is there it has to be the same.
func (a *simArchive) take(p ExportPart) (manifest [32]byte, err error) {
	sum := sha256.New()
	err = p.Source.Blocks(p.Through, func(b *journal.Block) error {
		sum.Write(b.Hash[:])
		switch there := a.last(); {
		case b.First == there+1:
			own := *b
			own.Body = slices.Clone(b.Body)
			a.blocks = append(a.blocks, own)
		case b.Last > there || a.at(b.First).Hash != b.Hash:
			return fmt.Errorf("the block of %d to %d is exported, which does not go on from %d, or is another than before", b.First, b.Last, there)
		}
		return nil
	})
	if err == nil && a.last() < p.Through {
		err = fmt.Errorf("%d are asked for and exported up to %d", p.Through, a.last())
	}
	sum.Sum(manifest[:0])
	return manifest, err
}

func (a *simArchive) last() uint64 {
	if n := len(a.blocks); n > 0 {
		return a.blocks[n-1].Last
	}
	return 0
}

func (a *simArchive) at(seq uint64) *journal.Block {
	return &a.blocks[sort.Search(len(a.blocks), func(i int) bool { return a.blocks[i].Last >= seq })]
}

// crashed keeps everything. Planted: not what was exported last.
func (a *simArchive) crashed(s *sim) {
	if s.bug == "hasty" {
		a.blocks = a.blocks[:a.kept]
	}
	a.kept = len(a.blocks) / 2
}

// wholeHistory is a store's history from its beginning: what was exported, and what is stored.
type wholeHistory struct {
	storage
	archive *simArchive
}

// wholeOf joins a store and what was exported of it.
func wholeOf(store storage, a *simArchive) (wholeHistory, error) {
	if base := store.Base().Seq; base > a.last() {
		return wholeHistory{}, fmt.Errorf("lost: the history is dropped up to %d and was exported up to %d", base, a.last())
	}
	return wholeHistory{store, a}, nil
}

func (s *sim) whole() wholeHistory {
	h, err := wholeOf(s.store, &s.archive)
	if err != nil {
		s.failf("%v", err)
	}
	return h
}

// Base says that nothing was dropped.
func (wholeHistory) Base() journal.Base { return journal.Base{} }

// BlockAt finds a block.
func (h wholeHistory) BlockAt(seq uint64) (*journal.Block, error) {
	if seq > h.storage.Base().Seq {
		return h.storage.BlockAt(seq)
	}
	return h.archive.at(seq), nil
}

// Blocks walks from a sequence on.
func (h wholeHistory) Blocks(from uint64, fn func(*journal.Block) error) error {
	base := h.storage.Base()
	for i := range h.archive.blocks {
		switch b := &h.archive.blocks[i]; {
		case b.Last > base.Seq:
		case b.Last == base.Seq && b.Hash != base.Hash:
			return fmt.Errorf("sequence %d was exported with another hash than the stored history goes on from", base.Seq)
		case b.Last >= from:
			if err := fn(b); err != nil {
				return err
			}
		}
	}
	return h.storage.Blocks(max(from, base.Seq+1), fn)
}

// dropped checks how far the history is dropped: what went was exported and journaled, and durable before it went.
func (s *sim) dropped() {
	c, base := &s.check, s.store.Base().Seq
	if base == c.base {
		return
	}
	if base < c.base {
		s.failf("the history begins after %d and began after %d", base, c.base)
	}
	if _, p := s.seq.state.partOf(base); p == nil || p.through != base || p.seq > s.store.Head().Seq {
		s.failf("the history is dropped up to %d, where no durable command says that it was exported", base)
	}
	s.whole()
	s.say("dropped to %d", base)
	s.count.drops++
	s.count.exported += int(base - c.base)
	c.base = base
}

// exportedSince reports whether something that was answered once may be refused now: it is not stored any more. Of a void under another id
// the event is enough.
func (s *sim) exportedSince(id string, no *refusal.Refusal) bool {
	return (s.check.acked[id] <= s.store.Base().Seq || strings.HasPrefix(id, "void of ")) && no.Code == refusal.NotFound && (strings.HasSuffix(no.Reason, "_exported") || no.Reason == "unknown_event")
}

// tooOld reports whether an event is refused for its age rightly.
func (s *sim) tooOld(c *call, why string) bool {
	return s.retain && why == "event_too_old" && c.time != 0 && c.time < s.now-int64(s.o.DedupWindow)
}

// forgot reports whether an identity may be booked again.
func (s *sim) forgot(id string) bool { return s.check.acked[id] <= s.seq.state.forgotten }

// mayReturn reports whether what was booked at a sequence may be booked again, as far as was forgotten before.
func (c *simCheck) mayReturn(id string, at uint64) bool {
	if event, void := strings.CutPrefix(id, "void of "); void {
		return c.returned["event "+event] // each of the two may be voided, the older one also after the newer came
	}
	for _, prefix := range []string{"event ", "hold ", "extend "} {
		if strings.HasPrefix(id, prefix) {
			return at <= c.forgotten
		}
	}
	return false
}

// longSpan is some time of a world that drops history: now and then more than what has to be kept.
func (g *simGenerator) longSpan() time.Duration {
	return 1 + time.Duration(g.rng.Int64N(int64([]time.Duration{time.Second, time.Minute, 3 * time.Hour, 20 * time.Hour, 4 * day, 12 * day}[g.rng.IntN(6)])))
}

// unneeded does something about what keeps history from being dropped.
func (g *simGenerator) unneeded() simLine {
	if g.s.e == nil || g.s.seq == nil {
		return line("calm")
	}
	rows := &g.s.seq.state.unpriced.rows
	for n := range rows.Len() {
		row := rows.At(n)
		if !row.open || row.seq > g.s.store.Head().Seq {
			continue
		}
		blocks := blockReader{e: g.s.e}
		c, err := blocks.at(row.seq)
		if err != nil {
			g.s.failf("the event without a price of sequence %d: %v", row.seq, err)
		}
		return line("void", string(c.event.source)+"/"+string(c.event.id), g.id("void"))
	}
	if g.rng.IntN(2) == 0 {
		return line("wait", 8*day+g.longSpan())
	}
	return line("close", g.id("w"))
}

// agoMax is how old a new event may be.
func (g *simGenerator) agoMax() int64 {
	if g.s.retain {
		return int64(g.s.o.DedupWindow) * 9 / 10
	}
	return int64(90 * day)
}

// simLog is what the engine logs: what could not be done fails a simulation, whose store has no faults that it could be excused with.
type simLog struct{ s *sim }

// Enabled wants what may be said of retention, and errors.
func (simLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle fails.
func (l simLog) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	if r.Level < slog.LevelError {
		if text == "history is kept" {
			r.Attrs(func(a slog.Attr) bool {
				if a.Key == "because_of" {
					l.s.kept[a.Value.String()]++
				}
				return true
			})
		}
		return nil
	}
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	l.s.failf("the log says: %s", text)
	return nil
}

// WithAttrs changes nothing.
func (l simLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup changes nothing.
func (l simLog) WithGroup(string) slog.Handler { return l }

// TestSimulationFindsHastyExports plants an export that is answered before it is durable: once history was dropped after it, a crash loses
// that.
func TestSimulationFindsHastyExports(t *testing.T) {
	for seed := range uint64(50) {
		y := simulate(t, seed, simKind{retain: true, bug: "hasty"}, 200)
		if y.failed != nil {
			if !strings.Contains(y.failed.text, "lost: the history is dropped up to") {
				t.Fatal(y.failed.text)
			}
			t.Logf("seed %d, line %d: %s", seed, len(y.lines), y.failed.text)
			return
		}
	}
	t.Fatal("it is not found")
}
