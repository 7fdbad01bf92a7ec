package engine

import (
	"encoding/binary"

	"farthing/ledger"
)

// leanReader takes usual events, which the journal is full of, from their bytes into the trees and the
// postings. It decodes nothing that it need not know: id, quantities and amount are written in a leaf as they
// are in the journal. What it does not know, it leaves to the cursor.
//
// It goes over some events several times, so that the waits for memory, which many accounts cost, overlap:
// first it finds their parts, then, step by step, their participants and names, then it writes leaves.
type leanReader struct {
	events [leanEvents]leanEvent
	sink   byte // keeps loads from being optimised away
}

const (
	leanEvents = 32
	// leanBytes is more than a usual event takes: what is nearer to the block's end than that is left to the cursor.
	leanBytes = 256

	leanID         = 64 // bytes
	leanComponents = 8
)

// leanEvent says where the parts of an event are in its record.
type leanEvent struct {
	at                       int // of the record in the block
	id, quantities, amount   uint8
	quantitiesEnd, amountEnd uint8
	source, shape, version   uint32
	account                  ledger.Ref
	person                   *ledger.Participant // this and the next by leanLookUp
	who                      *earner
	time                     int64
}

// lean takes usual events from the start of what is left of the block, and leaves the cursor behind them.
func (x *indexer) lean(c *cursor) {
	for len(c.r.p) >= leanBytes {
		n, bytes := x.leanParse(c.r.p, c.time, c.t)
		x.leanLookUp(x.usual.events[:n], c.t)
		for i := range x.usual.events[:n] {
			e := &x.usual.events[i]
			c.seq++
			x.trees.lean(e, (*[leanBytes]byte)(c.r.p[e.at:]), c.seq, c.t)
			x.young.addLocked(e.person.Root, c.seq)
			x.young.addLocked(e.who.payee, c.seq)
			if e.who.operated {
				x.young.addLocked(e.who.operator, c.seq)
			}
		}
		c.r.p = c.r.p[bytes:]
		if n < leanEvents {
			return
		}
	}
}

// leanParse finds the parts of usual events, and how many bytes they take. It ends at the first other command.
func (x *indexer) leanParse(p []byte, time int64, t *tables) (n, bytes int) {
	for n < leanEvents && len(p)-bytes >= leanBytes {
		e := &x.usual.events[n]
		e.at = bytes
		size := x.leanEvent(e, (*[leanBytes]byte)(p[bytes:]), time, t)
		if size == 0 {
			break
		}
		n, bytes = n+1, bytes+size
	}
	return n, bytes
}

// leanLookUp finds the participants of events, touches what is read of them, and finds who earns. A loop waits for one thing.
func (x *indexer) leanLookUp(events []leanEvent, t *tables) {
	for i := range events {
		events[i].person = t.people[events[i].account]
	}
	for i := range events {
		x.usual.sink += byte(events[i].person.Kind)
	}
	for i := range events {
		e := &events[i]
		if id := e.person.ID; len(id) > 0 {
			x.usual.sink += id[0]
		}
		e.who = x.earners.by(earnerKey{e.version, e.shape, e.person.Currency}, t)
	}
}

// leanEvent finds the parts of an event and returns its bytes; 0: it is none, or not a usual one. No
// usual one comes near the end of p, so that places, which are bytes, do not go round.
func (x *indexer) leanEvent(e *leanEvent, p *[leanBytes]byte, time int64, t *tables) int {
	if p[0]&^(flagTime|flagPaid|flagMixed) != kindEvent {
		return 0
	}
	source, i := leanNumber(p, 1)
	if e.id = i; p[i] > leanID {
		return 0
	}
	account, i := leanNumber(p, i+1+p[i])
	e.time = time
	if p[0]&flagTime != 0 {
		var diff uint64
		diff, i = leanWide(p, i)
		e.time += int64(diff>>1) ^ -int64(diff&1)
	}
	shape, i := leanNumber(p, i)
	if source == 0 || source >= uint64(len(t.sources)) || account >= uint64(len(t.people)) || shape >= uint64(len(t.shapes)) {
		return 0
	}
	components := len(t.shapes[shape].shape.Components)
	if components > leanComponents {
		return 0
	}
	e.quantities = i
	for range components {
		for n := 0; p[i] >= 0x80; i++ {
			if n++; n == binary.MaxVarintLen64 {
				return 0
			}
		}
		i++
	}
	e.quantitiesEnd = i
	version, i := leanNumber(p, i)
	e.amount = i
	if i = leanAmount(p, i); version >= uint64(len(t.versions)) || i == 0 {
		return 0
	}
	e.amountEnd = i
	if p[0]&flagMixed != 0 {
		if i = leanAmount(p, i); i == 0 {
			return 0
		}
	}
	e.source, e.account, e.shape, e.version = uint32(source), ledger.Ref(account), uint32(shape), uint32(version)
	return int(i)
}

// leanNumber reads a number that is nearly always below 2^14. One that takes more than four bytes comes out
// larger than any table has rows.
func leanNumber(p *[leanBytes]byte, at uint8) (uint64, uint8) {
	if p[at] < 0x80 {
		return uint64(p[at]), at + 1
	}
	return leanLong(p, at)
}

func leanLong(p *[leanBytes]byte, at uint8) (uint64, uint8) {
	n := uint64(0)
	for k := range uint8(4) {
		n |= uint64(p[at+k]&0x7f) << (7 * k)
		if p[at+k] < 0x80 {
			return n, at + k + 1
		}
	}
	return 1 << 63, at
}

// leanWide reads a number of up to nine bytes; a longer one comes out cut, and what follows is at fault.
func leanWide(p *[leanBytes]byte, at uint8) (uint64, uint8) {
	n := uint64(0)
	for k := uint8(0); ; k++ {
		n |= uint64(p[at+k]&0x7f) << (7 * k)
		if p[at+k] < 0x80 || k == binary.MaxVarintLen64-1 {
			return n, at + k + 1
		}
	}
}

// leanAmount returns the end of an amount; 0: it is none.
func leanAmount(p *[leanBytes]byte, at uint8) uint8 {
	n := p[at] & 0x7f
	if n > 16 {
		return 0
	}
	return at + 1 + n
}

// lean adds the leaf of a usual event (appendLeaf), in place if there is room.
func (v *evidence) lean(e *leanEvent, p *[leanBytes]byte, seq uint64, t *tables) {
	tree := v.tree(e.person.Currency)
	source, room := t.sources[e.source], tree.Room()
	id, quantities, amount := p[e.id:e.quantities][:1+p[e.id]], p[e.quantities:e.quantitiesEnd], p[e.amount:e.amountEnd]
	const fixed = 3 + 32 + 8 + 3 + binary.MaxVarintLen64
	n := fixed + len(source) + len(id) + len(e.person.ID) + len(quantities) + len(amount) + len(e.who.version)
	if n+shortBytes > len(room) || len(source) >= 0x80 || len(e.person.ID) >= 0x80 {
		v.leaf = e.appendLeaf(v.leaf[:0], p, seq, t)
		v.add(e.person.Currency, v.leaf, seq)
		return
	}
	room[0], room[1] = leafVersion, byte(len(source))
	at := 2 + copy(room[2:], source)
	if len(id) <= 2*shortBytes {
		*(*[2 * shortBytes]byte)(room[at:]) = *(*[2 * shortBytes]byte)(p[e.id:])
	} else {
		copy(room[at:], id)
	}
	at += len(id)
	room[at] = byte(len(e.person.ID))
	at += 1 + copy(room[at+1:], e.person.ID)
	*(*[32]byte)(room[at:]) = e.who.hash
	at += 32
	at += copyShort(room[at:], p, e.quantities, e.quantitiesEnd)
	binary.BigEndian.PutUint64(room[at:], uint64(e.time))
	*(*[4]byte)(room[at+8:]) = e.who.code
	at += 11
	at += copyShort(room[at:], p, e.amount, e.amountEnd)
	at += copy(room[at:], e.who.version)
	at += binary.PutUvarint(room[at:], seq)
	tree.AppendRoom(at, seq, v.offset)
	if tree.Filled() {
		v.take(e.person.Currency, tree)
	}
}

// shortBytes are copied at once, whatever of them is wanted: a copy of so few bytes is mostly the call.
const shortBytes = 16

func copyShort(dst []byte, p *[leanBytes]byte, from, to uint8) int {
	if to-from <= shortBytes {
		*(*[shortBytes]byte)(dst) = *(*[shortBytes]byte)(p[from:])
		return int(to - from)
	}
	return copy(dst, p[from:to])
}

// appendLeaf is appendLeaf of a usual event.
func (e *leanEvent) appendLeaf(dst []byte, p *[leanBytes]byte, seq uint64, t *tables) []byte {
	dst = appendBytes(append(dst, leafVersion), t.sources[e.source])
	dst = append(dst, p[e.id:e.quantities][:1+p[e.id]]...)
	dst = appendBytes(dst, e.person.ID)
	dst = append(dst, e.who.hash[:]...)
	dst = append(dst, p[e.quantities:e.quantitiesEnd]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.time))
	dst = append(dst, e.who.code[:3]...)
	dst = append(dst, p[e.amount:e.amountEnd]...)
	dst = append(dst, e.who.version...)
	return binary.AppendUvarint(dst, seq)
}
