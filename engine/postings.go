package engine

import (
	"encoding/binary"
	"fmt"
	"sync"

	"farthing/journal"
	"farthing/ledger"
)

// postings is the statement index of what is durable and not in a run yet: for every
// account, the sequences of the commands that moved it, ascending. The indexer appends,
// any goroutine reads under the lock.
type postings struct {
	mu     sync.RWMutex
	heads  []postingHead // by account
	chunks []postingChunk
}

// postingHead is an account's list of chunks; numbers are + 1, 0 is none.
type postingHead struct{ first, last uint32 }

// postingChunk fills one cache line.
type postingChunk struct {
	next uint32
	n    uint32
	seqs [7]uint64
}

// addLocked appends a sequence to an account's list; a sequence that touches an account
// twice is listed once.
func (p *postings) addLocked(a ledger.Ref, seq uint64) {
	for int(a) >= len(p.heads) {
		p.heads = append(p.heads, postingHead{})
	}
	h := &p.heads[a]
	if h.last != 0 {
		c := &p.chunks[h.last-1]
		if c.seqs[c.n-1] == seq {
			return
		}
		if int(c.n) < len(c.seqs) {
			c.seqs[c.n] = seq
			c.n++
			return
		}
	}
	p.chunks = append(p.chunks, postingChunk{n: 1, seqs: [7]uint64{seq}})
	n := uint32(len(p.chunks))
	if h.last != 0 {
		p.chunks[h.last-1].next = n
	} else {
		h.first = n
	}
	h.last = n
}

// postEvent lists an event with everybody it moved.
func (p *postings) postEvent(seq uint64, e *eventRecord, t *tables, x *earners) {
	who := x.of(e, t)
	p.addLocked(t.people[e.account].Root, seq)
	p.addLocked(who.payee, seq)
	if !who.price.Fee.IsZero() && who.price.Payee != "" || !e.split.Lost.IsZero() {
		p.addLocked(x.operator(t.people[e.account].Currency, t), seq)
	}
}

// postCommand lists a command that moves money and is no event.
func (p *postings) postCommand(kind byte, r *reader, seq uint64, t *tables, x *earners) {
	switch kind {
	case kindTopUp:
		top := r.topUp()
		p.addLocked(top.account, seq)
		p.addLocked(x.operator(t.people[top.account].Currency, t), seq)
	case kindClosing:
		c := r.closing()
		moved := false
		for i := range c.lines {
			if !c.lines[i].signed.IsZero() {
				p.addLocked(c.lines[i].account, seq)
				moved = true
			}
		}
		if moved {
			p.addLocked(x.operator(c.currency, t), seq)
		}
	case kindCapture:
		p.postTransfers(seq, r.amountCapture(t).transfers(t), t, x)
	default:
		if b := parseBooking(kind, r); b != nil {
			p.postTransfers(seq, b.transfers(t), t, x)
		}
	}
}

// postAmendment lists an amendment with everybody it moved.
func (p *postings) postAmendment(seq uint64, a *amendment, t *tables, x *earners) {
	if a.old.reason == priced {
		p.postEvent(seq, &a.old, t, x)
	}
	if a.op.rates() {
		p.postEvent(seq, &a.new, t, x)
	}
}

// after appends up to limit sequences of an account above seq.
func (p *postings) after(a ledger.Ref, seq uint64, limit int, out []uint64) []uint64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if int(a) >= len(p.heads) {
		return out
	}
	for i := p.heads[a].first; i != 0; {
		c := &p.chunks[i-1]
		if c.seqs[c.n-1] > seq {
			for _, s := range c.seqs[:c.n] {
				if s > seq && len(out) < limit {
					out = append(out, s)
				}
			}
			if len(out) == limit {
				break
			}
		}
		i = c.next
	}
	return out
}

// statementRowBytes is the size at which a row of the statement table is closed.
const statementRowBytes = 4 << 10

// write gives the lists as rows to a table, several accounts to a row. A row's key is its last
// (account, sequence), so that seeking an account and a sequence finds the row where the
// list goes on:
//
//	key    account (4, big-endian) | sequence (8, big-endian)
//	value  per account: uvarint account | uvarint count | uvarint first | uvarint differences
func (p *postings) write(add func(key, value []byte) error) error {
	w := statementWriter{add: add, row: make([]byte, 0, statementRowBytes+64)}
	for a := range p.heads {
		for i := p.heads[a].first; i != 0; i = p.chunks[i-1].next {
			c := &p.chunks[i-1]
			if err := w.list(uint64(a), c.seqs[:c.n]); err != nil {
				return err
			}
		}
	}
	return w.close()
}

// after appends up to limit sequences of an account above seq from a run.
func (r *statementRun) after(store storage, a ledger.Ref, seq uint64, limit int, out []uint64) ([]uint64, error) {
	var key [12]byte
	binary.BigEndian.PutUint32(key[:], uint32(a))
	binary.BigEndian.PutUint64(key[4:], seq+1)
	err := store.TableScan(journal.KindStatement, r.number, key[:], nil, func(_, value []byte) (bool, error) {
		rd := reader{p: value}
		for len(rd.p) > 0 && !rd.bad {
			account, n, at := ledger.Ref(rd.uvarint()), rd.uvarint(), uint64(0)
			for range n {
				at += rd.uvarint()
				if account == a && at > seq && len(out) < limit {
					out = append(out, at)
				}
			}
			if account > a {
				return false, nil
			}
		}
		if rd.bad {
			return false, fmt.Errorf("statement run %d: a row does not decode", r.number)
		}
		return len(out) < limit, nil
	})
	return out, err
}
