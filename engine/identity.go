package engine

import (
	"encoding/binary"
	"math/bits"

	"farthing/meter"
)

// identities is the exact in-memory part of deduplication: every identity younger
// than the newest run (runs.go). It is a list of generations, the last of which
// grows; the ones before are full, immutable, and wait to become runs. It belongs
// to the sequencer; a frozen generation may be read by the indexer too.
type identities struct {
	generations []*generation // contiguous numbers; the last one is open
	max         int           // identities of a generation
	spare       *generation   // was dropped; its memory is for the next one
}

// seen is what is known of a booked identity.
type seen struct {
	seq     uint64 // of its event
	content uint64 // hash of its content
}

// generation is a hash table over an arena of entries:
//
//	hash (8) | sequence (8) | content hash (8) | length (2) | source NUL id | padding to 8
//
// The hash only finds candidates; the stored identity says yes.
type generation struct {
	number  uint64 // counted over the ledger's life; the run it becomes has the same
	buckets []identityBucket
	count   int
	arena   [][]byte // chunks of arenaChunk bytes
	used    int      // bytes of the last chunk
	first   uint64   // sequence its first identity may have
	last    uint64   // set when frozen: the last sequence it covers
	newest  int64    // set when frozen: the time of that
	chunks  [][]byte // memory for further chunks
}

// identityBucket is a cache line: up to bucketEntries entries whose hashes have the same low bits, the further ones in the buckets
// behind it. To know that an identity is new, which nearly all are, mostly takes this one line. A table of one slot an entry
// was twice as large, and at three quarters full looked at eight slots in two or three lines.
type identityBucket struct {
	tags [bucketEntries]uint8 // the top byte of each hash: 1 of 256 candidates is looked at in vain
	n    uint32
	refs [bucketEntries]uint32 // positions in the arena in units of 8 bytes
}

const (
	bucketEntries = 12
	// bucketLoad is how many entries a bucket has on average when the table grows: then one in nine is full.
	bucketLoad     = 8
	bucketsAtStart = 1 << 9
)

const (
	arenaChunk  = 1 << 20
	arenaHeader = 26 // hash, sequence, content, length
)

func newGeneration(number, first uint64, buckets int) *generation {
	return &generation{number: number, first: first, buckets: make([]identityBucket, buckets)}
}

func newIdentities(number, first uint64, perGeneration int) *identities {
	return &identities{generations: []*generation{newGeneration(number, first, bucketsAtStart)}, max: perGeneration}
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

// warm touches the buckets that the look-ups of events will need. The loads do not depend
// on each other, so their cache misses overlap; one by one each would cost the look-up
// some 100 ns. The result only keeps the loads from being optimised away.
func (x *identities) warm(events []meter.Event, version uint64) (sink uint32) {
	for i := len(x.generations) - 1; i >= 0 && x.generations[i].number >= version; i-- {
		g := x.generations[i]
		for k := range events {
			sink += g.touch(events[k].Identity)
		}
	}
	return sink
}

// touch loads the bucket of a hash.
func (g *generation) touch(hash uint64) uint32 { return g.buckets[hash&uint64(len(g.buckets)-1)].n }

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
	x.generations = append(x.generations, x.next(g, last+1))
	return g
}

// next makes the generation after g, of the memory of one that was dropped if there is one: fresh memory costs a page fault for
// every few dozen identities.
func (x *identities) next(g *generation, first uint64) *generation {
	old := x.spare
	if x.spare = nil; old == nil || len(old.buckets) != len(g.buckets) {
		return newGeneration(g.number+1, first, len(g.buckets))
	}
	clear(old.buckets)
	return &generation{number: g.number + 1, first: first, buckets: old.buckets, chunks: old.arena}
}

// drop forgets the generations that have become runs below version. Nobody else reads these any more: who made the run said so
// when it was done.
func (x *identities) drop(version uint64) {
	for len(x.generations) > 1 && x.generations[0].number < version {
		x.spare, x.generations[0] = x.generations[0], nil
		x.generations = x.generations[1:]
	}
}

// find returns the newest booking: a replay from the beginning enters those that were forgotten as well.
func (g *generation) find(hash uint64, identity []byte) (found seen, ok bool) {
	mask, tag := uint64(len(g.buckets)-1), uint8(hash>>56)
	for i := hash & mask; ; i = (i + 1) & mask {
		b := &g.buckets[i]
		for m := b.match(tag); m != 0; m &= m - 1 {
			k := matchOf(bits.TrailingZeros64(m))
			if k >= b.n {
				continue
			}
			if h, s, id := g.entry(b.refs[k]); h == hash && s.seq > found.seq && string(id) == string(identity) {
				found, ok = s, true
			}
		}
		if b.n < bucketEntries {
			return found, ok
		}
	}
}

// match has a bit for each entry that may have the tag, at matchOf: all of those that have it, and rarely others. It looks at all
// entries at once: how many a bucket has is not predictable, and a loop over them would be guessed wrong at nearly every look-up.
func (b *identityBucket) match(tag uint8) uint64 {
	const each, tops = 0x0101010101010101, 0x8080808080808080
	low := binary.LittleEndian.Uint64(b.tags[:8]) ^ each*uint64(tag)
	high := uint64(binary.LittleEndian.Uint32(b.tags[8:])) ^ each*uint64(tag)
	return (low-each)&^low&tops>>7 | (high-each)&^high&(tops&0xffffffff)>>3
}

// matchOf is the entry of a bit of match: the first eight stand in the lowest bits of its bytes, the other four in the fifth.
func matchOf(bit int) uint32 { return uint32(bit>>3 | bit<<1&8) }

// entry decodes the arena entry under ref.
func (g *generation) entry(ref uint32) (hash uint64, s seen, identity []byte) {
	at := uint64(ref) * 8
	p := g.arena[at/arenaChunk][at%arenaChunk:]
	n := int(binary.LittleEndian.Uint16(p[24:]))
	return binary.LittleEndian.Uint64(p), seen{binary.LittleEndian.Uint64(p[8:]), binary.LittleEndian.Uint64(p[16:])}, p[arenaHeader : arenaHeader+n]
}

// entries calls fn with every entry in the order they came, that is the arena front to
// back: going through the buckets would miss the cache at every entry.
func (g *generation) entries(fn func(hash uint64, s seen, special bool)) {
	g.each(func(_ uint32, p []byte) {
		fn(binary.LittleEndian.Uint64(p), seen{binary.LittleEndian.Uint64(p[8:]), binary.LittleEndian.Uint64(p[16:])}, isSpecial(p[arenaHeader:]))
	})
}

// each calls fn with the place and the bytes of every entry, in the order they came.
func (g *generation) each(fn func(ref uint32, entry []byte)) {
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
			fn(uint32((i*arenaChunk+at)/8), p)
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
	if g.count >= bucketLoad*len(g.buckets) {
		g.grow()
	}
	g.put(hash, g.store(hash, identity, s))
	g.count++
}

// store appends an entry to the arena. Entries do not cross chunks.
func (g *generation) store(hash uint64, identity []byte, s seen) uint32 {
	size := entryBytes(len(identity))
	if len(g.arena) == 0 || g.used+size > arenaChunk {
		g.nextChunk()
	}
	p := g.arena[len(g.arena)-1][g.used:]
	binary.LittleEndian.PutUint64(p, hash)
	binary.LittleEndian.PutUint64(p[8:], s.seq)
	binary.LittleEndian.PutUint64(p[16:], s.content)
	binary.LittleEndian.PutUint16(p[24:], uint16(len(identity)))
	copy(p[arenaHeader:], identity)
	ref := uint32(((len(g.arena)-1)*arenaChunk + g.used) / 8)
	g.used += size
	return ref
}

// nextChunk closes the last chunk and opens another one.
func (g *generation) nextChunk() {
	if n := len(g.arena); n > 0 && g.used+arenaHeader <= arenaChunk {
		binary.LittleEndian.PutUint16(g.arena[n-1][g.used+arenaHeader-2:], 0) // a reused chunk holds what it held
	}
	var chunk []byte
	if n := len(g.chunks); n > 0 {
		chunk, g.chunks = g.chunks[n-1], g.chunks[:n-1]
	} else {
		chunk = make([]byte, arenaChunk)
	}
	g.arena, g.used = append(g.arena, chunk), 0
}

// put enters what stands in the arena.
func (g *generation) put(hash uint64, ref uint32) {
	mask := uint64(len(g.buckets) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		if b := &g.buckets[i]; b.n < bucketEntries {
			b.tags[b.n], b.refs[b.n] = uint8(hash>>56), ref
			b.n++
			return
		}
	}
}

// grow makes twice as many buckets. The entries come in the arena's order, so that only writing misses the cache.
func (g *generation) grow() {
	g.buckets = make([]identityBucket, 2*len(g.buckets))
	g.each(func(ref uint32, entry []byte) { g.put(binary.LittleEndian.Uint64(entry), ref) })
}
