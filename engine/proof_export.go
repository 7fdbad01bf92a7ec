package engine

import (
	"errors"
	"fmt"

	"farthing/batch"
)

// ExportProver makes the proof of an event of exported history, the same that Engine.Proof makes while the event is stored. It is shown the
// commands in order (Command) until it has what names the leaf (Sealed). It belongs to one goroutine.
type ExportProver struct {
	source, id string
	sequence   uint64 // of the event; 0: the first one with this identity

	prover
	origin uint64 // sequence of the event
	batch  *sealedBatch
}

// ExportedHistory reads exported parts again for a proof.
type ExportedHistory interface {
	// Rows calls fn with the stored rows of the part whose last command was shown last.
	Rows(fn func(*ExportedRow) error) error
	// Commands shows the commands from a sequence on, and then those behind them, until fn fails. The error is returned as it is, or wrapped.
	Commands(from uint64, fn func(*ExportNames, *ExportedCommand) error) error
}

// ErrNotProven says that exported history does not have all that the proof of an event needs.
var ErrNotProven = errors.New("it cannot be proven from these parts")

// NewExportProver looks for an event. A sequence says which one where an id was used again after it was forgotten; 0: the first.
func NewExportProver(source, id string, sequence uint64) *ExportProver {
	return &ExportProver{source: source, id: id, sequence: sequence}
}

// Command looks at a command that names decodes right now.
func (p *ExportProver) Command(names *ExportNames, at *ExportedCommand) error {
	c := &names.p.cur
	switch {
	case c.seq != at.Sequence: // the genesis
	case p.origin == 0:
		return p.event(c)
	case p.leaf == nil:
		return p.rating(c)
	case p.batch == nil:
		return p.seal(c)
	}
	return nil
}

// event looks for the event itself.
func (p *ExportProver) event(c *cursor) error {
	is := c.isEvent() && string(c.event.source) == p.source && string(c.event.id) == p.id
	if c.seq == p.sequence && !is {
		return fmt.Errorf("%w: sequence %d is not event %s of source %s", ErrNotProven, c.seq, p.id, p.source)
	}
	if !is || p.sequence != 0 && c.seq != p.sequence {
		return nil
	}
	p.origin = c.seq
	if c.event.reason != priced {
		return nil
	}
	return p.leafAt(c)
}

// rating looks for the command that rates an event which had no price.
func (p *ExportProver) rating(c *cursor) error {
	if c.kind != kindAmend {
		return nil
	}
	a, err := c.amendment()
	if err != nil || a.origin != p.origin || a.op != amendRated {
		return err
	}
	return p.leafAt(c)
}

// seal looks for the end of the leaf's window.
func (p *ExportProver) seal(c *cursor) error {
	r := reader{p: c.payload}
	switch {
	case c.kind == kindCut && p.window == 0:
		p.window = r.cut().window
	case c.kind == kindSeal && p.window != 0:
		s := r.seal()
		for i := range s.batches {
			if s.window == p.window && s.batches[i].currency == p.currency {
				p.batch = &s.batches[i]
			}
		}
		if s.window == p.window && p.batch == nil {
			return fmt.Errorf("sequence %d: window %d has no batch in %s", c.seq, p.window, p.currency.Code())
		}
	default:
		return nil
	}
	return r.end()
}

// Sealed reports whether the commands so far have the event, its rating and the seal of its window.
func (p *ExportProver) Sealed() bool { return p.batch != nil }

// Proof makes the proof once the window is sealed, and holds it against the manifest that was sealed.
func (p *ExportProver) Proof(h ExportedHistory) (Proof, error) {
	switch {
	case p.origin == 0:
		return Proof{}, fmt.Errorf("%w: they have no event %s of source %s", ErrNotProven, p.id, p.source)
	case p.leaf == nil:
		return Proof{}, fmt.Errorf("%w: event %s of source %s, at sequence %d, has no price as far as they go", ErrNotProven, p.id, p.source, p.origin)
	case p.batch == nil:
		return Proof{}, fmt.Errorf("%w: they do not have the seal of the window of sequence %d", ErrNotProven, p.seq)
	}
	t := &exportedTree{p: p, history: h, tiles: map[string][]byte{}}
	if err := t.read(); err != nil {
		return Proof{}, err
	}
	p.tree = t
	return p.proof(p.batch)
}

// exportedTree is the tree of a window in a currency as a part has it.
type exportedTree struct {
	p       *ExportProver
	history ExportedHistory
	tiles   map[string][]byte // but for those of leaves, of which there may be many
	stored  []byte            // the manifest
}

func (t *exportedTree) read() error {
	lo, hi := evidenceKey(t.p.window, t.p.currency, 1, 0), evidenceKey(t.p.window, t.p.currency, batch.LevelPeaks, 1)
	return t.history.Rows(func(r *ExportedRow) error {
		switch key := string(r.Key); {
		case r.Space == ExportManifest && key == string(t.p.batch.id[:]) && len(r.Records) == 1:
			t.stored = r.Records[0]
		case r.Space == ExportTile && key >= string(lo) && key < string(hi):
			t.tiles[key] = r.Value
		}
		return nil
	})
}

func (t *exportedTree) manifest(b *sealedBatch) ([]byte, error) {
	if t.stored == nil {
		return nil, missing("manifest of batch "+hexID(b.id), nil)
	}
	return t.stored, nil
}

func (t *exportedTree) tile(level int, number uint64) (value []byte, there bool, err error) {
	key := string(evidenceKey(t.p.window, t.p.currency, level, number))
	if level > 0 {
		value, there = t.tiles[key]
		return value, there, nil
	}
	err = t.history.Rows(func(r *ExportedRow) error {
		if r.Space == ExportTile && string(r.Key) == key {
			value, there = r.Value, true
		}
		return nil
	})
	return value, there, err
}

// leaves hashes them again, which the commands still have.
func (t *exportedTree) leaves(first uint64, count int) (out leafHashes, err error) {
	err = t.history.Commands(first, func(names *ExportNames, at *ExportedCommand) error {
		c := &names.p.cur
		if at.Sequence < first || c.seq != at.Sequence {
			return nil
		}
		if err := out.add(c, t.p.currency); err != nil {
			return err
		}
		if len(out.hashes) == count {
			return errAllLeaves
		}
		return nil
	})
	if errors.Is(err, errAllLeaves) {
		err = nil
	}
	return out, err
}
