package export

import (
	"context"
	"fmt"
	"path/filepath"
	"sort"

	"farthing/engine"
)

// ProveOptions names an event of an export.
type ProveOptions struct {
	Dir        string
	Source, ID string
	// Sequence of the event, if it is known: reading begins with its part. It also says which event is meant where an id was used again; 0 is the first.
	Sequence uint64
	// Progress is told up to which command of how many was read; may be nil.
	Progress func(done, total uint64)
}

// Prove makes the proof of an event, the same that the ledger gave before the event was dropped. It reads the parts from the event to the seal of its
// window, checking them as Check does, and then those of the leaves beside it once more.
func Prove(ctx context.Context, o ProveOptions) (engine.Proof, error) {
	parts, err := list(o.Dir)
	if err != nil {
		return engine.Proof{}, err
	}
	if len(parts) == 0 {
		return engine.Proof{}, fmt.Errorf("%s holds no part of an export", o.Dir)
	}
	p := &partsProver{ctx: ctx, o: o, parts: parts, event: engine.NewExportProver(o.Source, o.ID, o.Sequence)}
	i := 0
	if o.Sequence > 0 {
		if i, err = p.partOf(o.Sequence); err != nil {
			return engine.Proof{}, err
		}
	}
	err = p.read(i, p.event.Command, func(m *Manifest) bool {
		p.last = m
		return !p.event.Sealed()
	})
	if err != nil {
		return engine.Proof{}, err
	}
	return p.event.Proof(p)
}

// partsProver is the engine.ExportedHistory of the parts.
type partsProver struct {
	ctx   context.Context
	o     ProveOptions
	parts []*Manifest
	event *engine.ExportProver
	last  *Manifest // the part that was read last to look for the event
}

// partOf finds the part that has a sequence.
func (p *partsProver) partOf(seq uint64) (int, error) {
	i := sort.Search(len(p.parts), func(i int) bool { return p.parts[i].Last >= seq })
	if i == len(p.parts) || p.parts[i].First > seq {
		return 0, fmt.Errorf("%w: the part with sequence %d is missing", engine.ErrNotProven, seq)
	}
	return i, nil
}

// read reads parts from the ith on, and shows their commands, as long as more says so.
func (p *partsProver) read(i int, see func(*engine.ExportNames, *engine.ExportedCommand) error, more func(*Manifest) bool) error {
	r := &reader{ctx: p.ctx, dir: p.o.Dir, progress: p.o.Progress, see: see, total: p.parts[len(p.parts)-1].Last, report: Report{First: p.parts[i].First}}
	for n, m := range p.parts[i:] {
		if n > 0 {
			if err := cmpFollows(p.parts[i+n-1], m); err != nil {
				return err
			}
		}
		if err := r.part(m); err != nil {
			return err
		}
		if !more(m) {
			return nil
		}
	}
	return nil
}

// Rows implements engine.ExportedHistory.
func (p *partsProver) Rows(fn func(*engine.ExportedRow) error) error {
	name := p.last.fileName(roleRows)
	_, err := eachLine(filepath.Join(p.o.Dir, name), func(line []byte) error {
		row, err := parseRow(line)
		if err != nil {
			return err
		}
		return fn(row)
	})
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return err
}

// Commands implements engine.ExportedHistory.
func (p *partsProver) Commands(from uint64, fn func(*engine.ExportNames, *engine.ExportedCommand) error) error {
	i, err := p.partOf(from)
	if err != nil {
		return err
	}
	return p.read(i, fn, func(*Manifest) bool { return true })
}
