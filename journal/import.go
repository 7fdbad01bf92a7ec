package journal

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Import is a ledger that is made from blocks that are there already. It belongs to one goroutine and ends with Finish or Abort. Nothing is
// durable, and nothing can be opened, before Finish.
type Import struct {
	s     *Store
	chain chainCheck
	tip   Head
	final bool
}

// NewImport begins a ledger in Options.Dir, which must be absent or empty.
func NewImport(o Options) (*Import, error) {
	if err := o.prepare(); err != nil {
		return nil, err
	}
	if err := makeDir(o.FS, o.Dir); err != nil {
		return nil, err
	}
	if err := mustBeEmpty(&o); err != nil {
		return nil, err
	}
	if err := o.FS.RemoveAll(o.path(newName)); err != nil {
		return nil, fmt.Errorf("journal: remove interrupted creation: %w", err)
	}
	if err := makeDir(o.FS, o.path(newName)); err != nil {
		return nil, err
	}
	stalls := new(stallMeter)
	p := o.pebbleOptions(false, stalls)
	p.ErrorIfNotExists, p.ErrorIfExists = false, true
	db, err := pebble.Open(o.path(newName, storeName), p)
	if err != nil {
		return nil, fmt.Errorf("journal: create store: %w", err)
	}
	return &Import{s: newStore(o, db, p, stalls), chain: chainCheck{next: 1}}, nil
}

// Block appends the next block. Its hash is made anew from everything else and has to be the one it says; so has its predecessor's. ErrCorrupt
// names the sequence that is wrong.
func (i *Import) Block(b *Block) error {
	if len(b.Body) > BodyBytesMax || b.First == 0 || b.Last < b.First {
		return atSeq(i.chain.next, errBlockRange)
	}
	hash := b.Hash
	if err := i.chain.add(b); err != nil {
		return err
	}
	batch := i.s.db.NewBatch()
	defer batch.Close()
	in := BlockInput{First: b.First, Last: b.Last, Body: b.Body}
	i.tip, i.final = appendBlock(batch, &in, b.Time, b.Final, Head{Hash: b.Prev}), b.Final
	if in.Hash != hash {
		return atSeq(b.First, errBlockHash)
	}
	return wrapWrite(i.s.db.Apply(batch, pebble.NoSync)) //nolint:forbidigo // Finish makes all of it durable at once
}

// Rows writes rows. They may come before or after the blocks they go with.
func (i *Import) Rows(rows []Row) error { return i.s.Write(rows, false) }

// Head is the end of what was appended.
func (i *Import) Head() Head { return i.tip }

// Finish makes everything durable, writes the head record and closes the ledger, which can be opened then.
func (i *Import) Finish() error {
	if i.tip.Seq == 0 || !i.final {
		return errors.Join(atSeq(i.chain.next, errors.New("history ends within a group")), i.Abort())
	}
	o := i.s.o
	if err := i.s.db.Flush(); err != nil {
		return errors.Join(fmt.Errorf("journal: flush: %w", err), i.Abort())
	}
	if err := i.close(); err != nil {
		return err
	}
	file, err := openHeadFile(o.FS, o.path(newName, headName), headRecord{head: i.tip})
	if err != nil {
		return err
	}
	if err := file.f.Close(); err != nil {
		return fmt.Errorf("journal: close head record: %w", err)
	}
	return publishLedger(&o)
}

// Abort gives the import up and removes what is there of it.
func (i *Import) Abort() error {
	return errors.Join(i.close(), i.s.o.FS.RemoveAll(i.s.o.path(newName)))
}

func (i *Import) close() error {
	if i.s.batch == nil {
		return nil
	}
	err := errors.Join(i.s.batch.Close(), i.s.db.Close())
	i.s.batch = nil
	return err
}
