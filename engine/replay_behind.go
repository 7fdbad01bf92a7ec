package engine

import (
	"fmt"

	"github.com/zeebo/xxh3"

	"farthing/journal"
)

// behind takes replayed blocks once more, on a goroutine of its own: identities, evidence and statement entries
// follow from the journal and the tables alone, so the state, which is most of the work, does not wait for them.
type behind struct {
	s                  *sequencer // its identities alone
	x                  *indexer
	indexed, evidenced uint64 // what runs cover; what the trees have

	cur     cursor
	scratch []byte
	todo    chan behindBlock // nil: take does the work
	free    chan []byte      // bodies, to be filled again
	done    chan struct{}
	failed  error // the goroutine's until done
}

// behindBlock is a block that the state has taken, with the tables right after it.
type behindBlock struct {
	body   []byte
	first  uint64
	time   int64
	final  bool // of its group
	tables tables
}

// behindBlocks bounds the blocks between: a megabyte.
const behindBlocks = 16

// newBehind starts it. A store that is not on disk is a model for one goroutine.
func newBehind(s *sequencer, x *indexer, indexed, evidenced uint64) *behind {
	h := &behind{s: s, x: x, indexed: indexed, evidenced: evidenced}
	if _, ok := s.e.store.(onDisk); ok {
		h.todo, h.free, h.done = make(chan behindBlock, behindBlocks), make(chan []byte, behindBlocks), make(chan struct{})
		go h.run()
	}
	return h
}

func (h *behind) run() {
	defer close(h.done)
	for b := range h.todo {
		if h.failed == nil {
			h.failed = h.block(&b)
		}
		select {
		case h.free <- b.body:
		default:
		}
	}
}

// take hands a block over, or does its work.
func (h *behind) take(b *journal.Block, t *tables) error {
	next := behindBlock{body: b.Body, first: b.First, time: b.Time, final: b.Final, tables: *t}
	if h.todo == nil {
		return h.block(&next)
	}
	var body []byte
	select {
	case body = <-h.free:
	default:
	}
	next.body = append(body[:0], b.Body...)
	h.todo <- next
	return nil
}

// finish waits for what is under way and returns what went wrong.
func (h *behind) finish() error {
	if h.todo != nil {
		close(h.todo)
		<-h.done
	}
	return h.failed
}

func (h *behind) block(b *behindBlock) (err error) {
	defer func() { refuseBroken(recover(), &err, "sequence %d", h.cur.seq) }()
	if b.first > h.evidenced {
		h.x.trees.block(b.body)
	}
	h.cur.reset(b.body, b.first, b.time, &b.tables)
	for h.cur.next() {
		if h.cur.seq > h.indexed {
			if err := h.identities(); err != nil {
				return err
			}
		}
		h.x.replayed(&h.cur, h.cur.seq > h.evidenced, h.cur.seq > h.indexed)
	}
	if err := h.cur.err(); err != nil {
		return err
	}
	if b.final {
		if err := h.freeze(); err != nil {
			return err
		}
	}
	return h.x.trees.write(h.x.e.store)
}

// replayedGenerations is how many generations of identities a replay keeps in memory, as one: more than wait to become runs when
// a process is killed, so that only a start without runs, of an imported ledger, takes the time to write some.
const replayedGenerations = 4

// freeze makes a run of the identities at the end of a group, if there are too many to keep.
func (h *behind) freeze() error {
	ids := h.s.ids
	if ids.open().count < replayedGenerations*ids.max {
		return nil
	}
	g := ids.freezeOpen(h.cur.seq, h.cur.time)
	if err := h.x.e.runs.write(g, h.x.young); err != nil {
		return fmt.Errorf("identity run %d: %w", g.number, err)
	}
	h.x.young = &postings{}
	ids.drop(g.number + 1)
	return nil
}

// identities enters those of the current command.
func (h *behind) identities() error {
	seed := h.s.e.seed
	return h.cur.identities(seed, &h.scratch, func(id []byte, content uint64) error {
		h.s.ids.add(xxh3.HashSeed(id, seed), id, seen{h.cur.seq, content})
		return nil
	})
}
