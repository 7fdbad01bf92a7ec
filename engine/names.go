package engine

import (
	"encoding/binary"
	"strings"

	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
)

// nameIndex finds a participant by its id: open addressing on the id's hash, which
// the request brings along, over an arena of entries:
//
//	root (4) | currency (1) | kind (1) | length of the id (2) | id | padding to 8
//
// An entry repeats what never changes of a participant, so that an event of one among millions misses the cache
// for it once, and not for its pointer, what that points to, and its id. The participant's own id becomes the entry's.
// It belongs to the sequencer.
type nameIndex struct {
	slots []nameSlot
	count int
	arena []string        // chunks of at most nameChunk bytes
	last  strings.Builder // of the last chunk, whose memory it never moves
}

type nameSlot struct {
	hash uint64
	ref  uint32 // ledger.Ref + 1; 0: empty
	at   uint32 // its entry in the arena, in units of 8 bytes
}

const (
	nameChunk  = 1 << 16
	nameHeader = 8
)

// payer is what an event has to know of the account that it names, and that never changes.
type payer struct {
	ref, root ledger.Ref
	currency  money.Currency
	kind      ledger.Kind
}

// payerOf is the payer with a participant's number.
func (t *tables) payerOf(ref ledger.Ref) payer {
	p := t.people[ref]
	return payer{ref, p.Root, p.Currency, p.Kind}
}

// payer is what is known of an event's account.
func (t *tables) payer(e *eventRecord) payer {
	if e.payer.ref == e.account && e.account != 0 { // 0 is an operator, and what a record has at first
		return e.payer
	}
	return t.payerOf(e.account)
}

// find returns the participant with the given id.
func (x *nameIndex) find(hash uint64, id []byte) (payer, bool) {
	if x.count == 0 {
		return payer{}, false
	}
	mask := uint64(len(x.slots) - 1)
	for i := hash & mask; x.slots[i].ref != 0; i = (i + 1) & mask {
		if x.slots[i].hash != hash {
			continue
		}
		if e := x.entry(x.slots[i].at); e[nameHeader:nameHeader+int(e[6])+int(e[7])<<8] == string(id) {
			root := uint32(e[0]) | uint32(e[1])<<8 | uint32(e[2])<<16 | uint32(e[3])<<24
			return payer{ledger.Ref(x.slots[i].ref - 1), ledger.Ref(root), money.CurrencyAt(int(e[4])), ledger.Kind(e[5])}, true
		}
	}
	return payer{}, false
}

// entry is the arena from an entry on.
func (x *nameIndex) entry(at uint32) string {
	place := uint64(at) * 8
	return x.arena[place/nameChunk][place%nameChunk:]
}

// warm touches the slots of the subjects of events, then the entries that these have.
func (x *nameIndex) warm(events []meter.Event) (sink uint64) {
	if x.count == 0 {
		return 0
	}
	for i := range events {
		sink += x.slot(events[i].SubjectHash).hash
	}
	for i := range events {
		sink += x.touch(events[i].SubjectHash)
	}
	return sink
}

// slot is where to begin to look for a hash; there has to be a participant.
func (x *nameIndex) slot(hash uint64) *nameSlot { return &x.slots[hash&uint64(len(x.slots)-1)] }

// touch loads the entry of a hash, unless it stands further on than its slot.
func (x *nameIndex) touch(hash uint64) uint64 {
	slot := x.slot(hash)
	if slot.ref == 0 {
		return 0
	}
	return uint64(x.entry(slot.at)[0])
}

// add enters a participant that is not in the index.
func (x *nameIndex) add(hash uint64, ref ledger.Ref, p *ledger.Participant) {
	if 2*(x.count+1) > len(x.slots) {
		x.grow()
	}
	x.put(nameSlot{hash, uint32(ref) + 1, x.store(p)})
	x.count++
}

// store appends a participant's entry to the arena. Entries do not cross chunks.
func (x *nameIndex) store(p *ledger.Participant) uint32 {
	if n := (nameHeader + len(p.ID) + 7) &^ 7; len(x.arena) == 0 || x.last.Len()+n > nameChunk {
		x.last = strings.Builder{}
		x.last.Grow(nameChunk)
		x.arena = append(x.arena, "")
	}
	chunk, from := &x.arena[len(x.arena)-1], x.last.Len()
	var header [nameHeader]byte
	binary.LittleEndian.PutUint32(header[:], uint32(p.Root))
	header[4], header[5] = byte(p.Currency.Index()), byte(p.Kind)
	binary.LittleEndian.PutUint16(header[6:], uint16(len(p.ID)))
	x.last.Write(header[:])
	x.last.WriteString(p.ID)
	x.last.WriteString("\x00\x00\x00\x00\x00\x00\x00"[:-len(p.ID)&7])
	*chunk = x.last.String()
	p.ID = (*chunk)[from+nameHeader : from+nameHeader+len(p.ID)]
	return uint32(((len(x.arena)-1)*nameChunk + from) / 8)
}

func (x *nameIndex) grow() {
	old := x.slots
	x.slots = make([]nameSlot, max(1024, 2*len(old)))
	for _, s := range old {
		if s.ref != 0 {
			x.put(s)
		}
	}
}

func (x *nameIndex) put(s nameSlot) {
	mask := uint64(len(x.slots) - 1)
	i := s.hash & mask
	for x.slots[i].ref != 0 {
		i = (i + 1) & mask
	}
	x.slots[i] = s
}
