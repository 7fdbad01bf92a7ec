package engine

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sync"

	"farthing/journal"
	"farthing/ledger"
)

// postings is the statement index of what is durable and not in a run yet: the accounts that each
// command moved. The indexer appends, any goroutine reads under the lock.
//
// Entries come in the order of the journal, which costs an append. Each time a part is full it is
// sorted by account, in the processor's cache: so a reader searches each part, and scans only the open
// one, and a run is written by walking the parts in order. Lists by account would cost a cache miss or
// two for each entry, there and again when the run is written.
type postings struct {
	mu    sync.RWMutex
	parts []postingPart // full ones, by account, oldest first
	open  postingPart   // by sequence
	last  uint64        // sequence of the newest entry
	other []uint64      // scratch of sorting
}

// postingPart is entries of neighbouring sequences: account << 32 | sequence − base.
type postingPart struct {
	base    uint64
	entries []uint64
}

// postingPartSize fills half of a second-level cache, together with as much to sort into.
const postingPartSize = 1 << 15

// addLocked appends a sequence to what moved an account; a sequence that touches an account
// twice is listed once.
func (p *postings) addLocked(a ledger.Ref, seq uint64) {
	if seq != p.last || len(p.open.entries) == 0 {
		p.beginLocked(seq)
	}
	entry := uint64(a)<<32 | uint64(uint32(seq-p.open.base))
	for i := len(p.open.entries) - 1; i >= 0 && uint32(p.open.entries[i]) == uint32(entry); i-- {
		if p.open.entries[i] == entry {
			return
		}
	}
	p.open.entries = append(p.open.entries, entry)
}

// beginLocked begins a sequence: parts end between two.
func (p *postings) beginLocked(seq uint64) {
	if len(p.open.entries) >= postingPartSize || seq-p.open.base > math.MaxUint32 && len(p.open.entries) > 0 {
		var sorted []uint64
		sorted, p.other = byAccount(p.open.entries, p.other)
		p.parts = append(p.parts, postingPart{p.open.base, sorted})
		p.open.entries = p.open.entries[:0]
	}
	if len(p.open.entries) == 0 {
		p.open.base = seq
	}
	p.last = seq
}

// byAccount returns the entries of a part in order, in memory of their own: a radix sort of the accounts,
// since the sequences are in order already. The scratch comes back.
func byAccount(entries, scratch []uint64) (sorted, other []uint64) {
	const digit = 11
	most := uint64(0)
	for _, e := range entries {
		most |= e >> 32
	}
	from, to := entries, make([]uint64, len(entries))
	if passes := (bits.Len64(most) + digit - 1) / digit; passes > 1 {
		scratch = slices.Grow(scratch[:0], len(entries))[:len(entries)]
	}
	for shift := 0; shift == 0 || most>>shift != 0; shift += digit {
		var start [1 << digit]uint32
		for _, e := range from {
			start[e>>(32+shift)&(1<<digit-1)]++
		}
		sum := uint32(0)
		for i, n := range start {
			start[i], sum = sum, sum+n
		}
		for _, e := range from {
			k := e >> (32 + shift) & (1<<digit - 1)
			to[start[k]] = e
			start[k]++
		}
		if shift == 0 {
			from, to = to, scratch
		} else {
			from, to = to, from
		}
	}
	return from, to
}

// count is how many entries there are.
func (p *postings) count() int {
	n := len(p.open.entries)
	for i := range p.parts {
		n += len(p.parts[i].entries)
	}
	return n
}

// each calls fn with every entry.
func (p *postings) each(fn func(account, seq uint64)) {
	for _, part := range append(slices.Clip(p.parts), p.open) {
		for _, e := range part.entries {
			fn(e>>32, part.base+uint64(uint32(e)))
		}
	}
}

// reset forgets the entries.
func (p *postings) reset() { p.parts, p.open.entries = nil, p.open.entries[:0] }

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
	for i := range p.parts {
		part := &p.parts[i]
		key := uint64(a) << 32
		if seq >= part.base {
			key += min(seq+1-part.base, math.MaxUint32) // the last of so many is none
		}
		at, _ := slices.BinarySearch(part.entries, key)
		out = part.take(part.entries[at:], a, seq, limit, out)
	}
	for i, e := range p.open.entries {
		if ledger.Ref(e>>32) == a {
			out = p.open.take(p.open.entries[i:i+1], a, seq, limit, out)
		}
	}
	return out
}

// take appends up to limit sequences above seq of the entries as long as they are of the account.
func (part *postingPart) take(entries []uint64, a ledger.Ref, seq uint64, limit int, out []uint64) []uint64 {
	for _, e := range entries {
		if ledger.Ref(e>>32) != a || len(out) >= limit {
			break
		}
		if s := part.base + uint64(uint32(e)); s > seq {
			out = append(out, s)
		}
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
	m := newPostingMerge(p)
	var seqs []uint64
	for len(m.heads) > 0 {
		account := m.heads[0] >> 32
		for len(m.heads) > 0 && m.heads[0]>>32 == account {
			seqs = m.take(seqs)
			if err := w.lists(account, &seqs, mergedList); err != nil {
				return err
			}
		}
		if err := w.lists(account, &seqs, 1); err != nil {
			return err
		}
	}
	return w.close()
}

// postingMerge goes over the entries of parts by account, then sequence. It reads what others read.
type postingMerge struct {
	parts []postingPart // what is left of them
	heads []uint64      // a heap: account << 32 | part
}

func newPostingMerge(p *postings) *postingMerge {
	m := &postingMerge{parts: slices.Clone(p.parts)}
	if len(p.open.entries) > 0 {
		sorted, _ := byAccount(p.open.entries, nil)
		m.parts = append(m.parts, postingPart{p.open.base, sorted})
	}
	for i := range m.parts {
		m.heads = append(m.heads, m.parts[i].entries[0]>>32<<32|uint64(i))
	}
	slices.Sort(m.heads) // is a heap
	return m
}

// take appends the sequences of the first part's first account.
func (m *postingMerge) take(out []uint64) []uint64 {
	part := &m.parts[uint32(m.heads[0])]
	account, n := part.entries[0]>>32, 0
	for n < len(part.entries) && part.entries[n]>>32 == account {
		out = append(out, part.base+uint64(uint32(part.entries[n])))
		n++
	}
	if part.entries = part.entries[n:]; len(part.entries) > 0 {
		m.heads[0] = part.entries[0]>>32<<32 | m.heads[0]&math.MaxUint32
	} else {
		last := len(m.heads) - 1
		m.heads[0] = m.heads[last]
		m.heads = m.heads[:last]
	}
	m.down()
	return out
}

// down puts the first head in its place.
func (m *postingMerge) down() {
	for i := 0; ; {
		k := 2*i + 1
		if k >= len(m.heads) {
			return
		}
		if k+1 < len(m.heads) && m.heads[k+1] < m.heads[k] {
			k++
		}
		if m.heads[i] <= m.heads[k] {
			return
		}
		m.heads[i], m.heads[k] = m.heads[k], m.heads[i]
		i = k
	}
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
