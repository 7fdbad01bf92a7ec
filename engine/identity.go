package engine

import (
	"encoding/binary"

	"farthing/meter"
)

// identities is the exact in-memory part of deduplication: every identity younger
// than the newest run (runs.go). It is a list of generations, the last of which
// grows; the ones before are full, immutable, and wait to become runs. It belongs
// to the sequencer; a frozen generation may be read by the indexer too.
type identities struct {
	generations []*generation // contiguous numbers; the last one is open
	max         int           // identities of a generation
}

// seen is what is known of a booked identity.
type seen struct {
	seq     uint64 // of its event
	content uint64 // hash of its content
}

// generation is an open-addressing table over an arena of entries:
//
//	hash (8) | sequence (8) | content hash (8) | length (2) | source NUL id | padding to 8
//
// The hash only finds candidates; the stored identity says yes.
type generation struct {
	number uint64 // counted over the ledger's life; the run it becomes has the same
	slots  []identitySlot
	count  int
	arena  [][]byte // chunks of arenaChunk bytes
	used   int      // bytes of the last chunk
	first  uint64   // sequence its first identity may have
	last   uint64   // set when frozen: the last sequence it covers
	newest int64    // set when frozen: the time of that
}

type identitySlot struct {
	hash uint64
	ref  uint32 // position in the arena in units of 8 bytes, + 1; 0: empty
}

const (
	arenaChunk   = 1 << 20
	arenaHeader  = 26 // hash, sequence, content, length
	slotsAtStart = 1 << 12
)

func newGeneration(number, first uint64, slots int) *generation {
	return &generation{number: number, first: first, slots: make([]identitySlot, slots)}
}

func newIdentities(number, first uint64, perGeneration int) *identities {
	return &identities{generations: []*generation{newGeneration(number, first, slotsAtStart)}, max: perGeneration}
}

func (x *identities) open() *generation { return x.generations[len(x.generations)-1] }

// oldest is the number of the oldest generation in memory: a request must have
// looked at all runs below it.
func (x *identities) oldest() uint64 { return x.generations[0].number }

// find looks the identity up in the generations that the request's view of the runs
// (runs below version) did not cover.
func (x *identities) find(hash uint64, identity []byte, version uint64) (seen, bool) {
	for i := len(x.generations) - 1; i >= 0; i-- {
		g := x.generations[i]
		if g.number < version {
			break
		}
		if s, ok := g.find(hash, identity); ok {
			return s, true
		}
	}
	return seen{}, false
}

// warm touches the slots that the look-ups of a request will need. The loads do not depend
// on each other, so their cache misses overlap; one by one each would cost the look-up
// some 100 ns. The result only keeps the loads from being optimised away.
func (x *identities) warm(events []meter.Event, version uint64) (sink uint32) {
	for i := len(x.generations) - 1; i >= 0 && x.generations[i].number >= version; i-- {
		slots := x.generations[i].slots
		mask := uint64(len(slots) - 1)
		for k := range events {
			sink += slots[events[k].Identity&mask].ref
		}
	}
	return sink
}

func (x *identities) add(hash uint64, identity []byte, s seen) { x.open().add(hash, identity, s) }

// freeze closes the open generation at a sequence if it is full and opens the next. It
// returns the frozen one, or nil.
func (x *identities) freeze(last uint64, now int64) *generation {
	if x.open().count < x.max {
		return nil
	}
	return x.freezeOpen(last, now)
}

// freezeOpen closes the open generation whatever its size, unless nothing was booked since the one before.
func (x *identities) freezeOpen(last uint64, now int64) *generation {
	g := x.open()
	if last < g.first {
		return nil
	}
	g.last, g.newest = last, now
	x.generations = append(x.generations, newGeneration(g.number+1, last+1, len(g.slots)))
	return g
}

// drop forgets the generations that have become runs below version.
func (x *identities) drop(version uint64) {
	for len(x.generations) > 1 && x.generations[0].number < version {
		x.generations[0] = nil
		x.generations = x.generations[1:]
	}
}

// find returns the newest booking: a replay from the beginning enters those that were forgotten as well.
func (g *generation) find(hash uint64, identity []byte) (found seen, ok bool) {
	mask := uint64(len(g.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		slot := &g.slots[i]
		if slot.ref == 0 {
			return found, ok
		}
		if slot.hash == hash {
			if s, id := g.entry(slot.ref); s.seq > found.seq && string(id) == string(identity) {
				found, ok = s, true
			}
		}
	}
}

// entry decodes the arena entry under ref.
func (g *generation) entry(ref uint32) (seen, []byte) {
	at := uint64(ref-1) * 8
	p := g.arena[at/arenaChunk][at%arenaChunk:]
	n := int(binary.LittleEndian.Uint16(p[24:]))
	return seen{binary.LittleEndian.Uint64(p[8:]), binary.LittleEndian.Uint64(p[16:])}, p[arenaHeader : arenaHeader+n]
}

// entries calls fn with every entry in the order they came, that is the arena front to
// back: going through the slots would miss the cache at every entry.
func (g *generation) entries(fn func(hash uint64, s seen, special bool)) {
	for i, chunk := range g.arena {
		end := arenaChunk
		if i == len(g.arena)-1 {
			end = g.used
		}
		for at := 0; at+arenaHeader <= end; {
			p := chunk[at:]
			n := int(binary.LittleEndian.Uint16(p[24:]))
			if n == 0 {
				break // the rest of the chunk was too small for the next entry
			}
			fn(binary.LittleEndian.Uint64(p), seen{binary.LittleEndian.Uint64(p[8:]), binary.LittleEndian.Uint64(p[16:])}, isSpecial(p[arenaHeader:]))
			at += entryBytes(n)
		}
	}
}

// isSpecial reports whether an identity is of no event: those of holds, their ends, extensions and of results
// begin with a byte that no source has.
func isSpecial(identity []byte) bool { return identity[0] < ' ' }

// entryBytes is what an entry with an identity of n bytes takes.
func entryBytes(n int) int { return (arenaHeader + n + 7) &^ 7 }

func (g *generation) add(hash uint64, identity []byte, s seen) {
	if 4*(g.count+1) > 3*len(g.slots) {
		g.grow()
	}
	g.put(identitySlot{hash, g.store(hash, identity, s)})
	g.count++
}

// store appends an entry to the arena. Entries do not cross chunks.
func (g *generation) store(hash uint64, identity []byte, s seen) uint32 {
	size := entryBytes(len(identity))
	if len(g.arena) == 0 || g.used+size > arenaChunk {
		g.arena = append(g.arena, make([]byte, arenaChunk))
		g.used = 0
	}
	p := g.arena[len(g.arena)-1][g.used:]
	binary.LittleEndian.PutUint64(p, hash)
	binary.LittleEndian.PutUint64(p[8:], s.seq)
	binary.LittleEndian.PutUint64(p[16:], s.content)
	binary.LittleEndian.PutUint16(p[24:], uint16(len(identity)))
	copy(p[arenaHeader:], identity)
	ref := uint32(((len(g.arena)-1)*arenaChunk+g.used)/8) + 1
	g.used += size
	return ref
}

func (g *generation) put(s identitySlot) {
	mask := uint64(len(g.slots) - 1)
	i := s.hash & mask
	for g.slots[i].ref != 0 {
		i = (i + 1) & mask
	}
	g.slots[i] = s
}

func (g *generation) grow() {
	old := g.slots
	g.slots = make([]identitySlot, 2*len(old))
	for _, s := range old {
		if s.ref != 0 {
			g.put(s)
		}
	}
}
