package engine

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"farthing/journal"
)

// keptRun is what stays of the forgotten runs: the ids of results, which are kept for ever, and those of
// holds and extensions whose hold had not ended by then. There is one such table, the next one
// takes its entries over. It needs no journal to say yes:
//
//	key    hash (8, big-endian) | sequence (8, big-endian)
//	value  content (8, little-endian) | hold (16), zero for a result | identity
type keptRun struct {
	id      uint64 // of its tables
	through uint64 // what was forgotten when it was written
	count   int
	blocks  int
	filter  filter
}

// keptEntry is an identity that is kept.
type keptEntry struct {
	hash, seq, content uint64
	hold               [2]uint64 // zero: it is of a result
	identity           []byte
}

const keptHeader = 8 + holdIDBytes

func (k *keptRun) marker() journal.Row {
	v := binary.AppendUvarint(nil, k.through)
	v = binary.AppendUvarint(v, uint64(k.count))
	v = binary.AppendUvarint(v, uint64(k.blocks))
	return journal.Row{Space: journal.SpaceMarker, Key: keptKey(k.id), Value: v}
}

func keptKey(id uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'k'}, id) }

// readKept reads the marker of the kept run; nil: there is none.
func readKept(store storage) (k *keptRun, err error) {
	err = store.Scan(journal.SpaceMarker, []byte{'k'}, []byte{'k' + 1}, func(key, value []byte) (bool, error) {
		r := reader{p: value}
		if k != nil {
			return false, fmt.Errorf("there are two runs of kept identities")
		}
		k = &keptRun{through: r.uvarint(), count: int(r.uvarint()), blocks: int(r.uvarint())}
		if len(key) != 9 || r.end() != nil || k.blocks <= 0 || k.blocks > filterBlocksMax {
			return false, fmt.Errorf("run %x of kept identities: its marker does not decode", key[1:])
		}
		k.id = binary.BigEndian.Uint64(key[1:])
		return true, nil
	})
	return k, err
}

func (n *keptEntry) key() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, n.hash), n.seq)
}

func (n *keptEntry) value() []byte {
	v := binary.LittleEndian.AppendUint64(nil, n.content)
	return append(appendHoldID(v, n.hold), n.identity...)
}

// parseKept decodes an entry; its identity is part of the input.
func parseKept(key, value []byte) (n keptEntry, err error) {
	if len(key) != 16 || len(value) <= keptHeader {
		return n, fmt.Errorf("a kept identity does not decode")
	}
	r := reader{p: value[8:]}
	n = keptEntry{hash: binary.BigEndian.Uint64(key), seq: binary.BigEndian.Uint64(key[8:]), content: binary.LittleEndian.Uint64(value), hold: r.holdID()}
	n.identity = r.p
	return n, nil
}

// find looks an identity up.
func (k *keptRun) find(store storage, hash uint64, identity []byte) (found seen, ok bool, err error) {
	var lo [8]byte
	binary.BigEndian.PutUint64(lo[:], hash)
	err = store.TableScan(journal.KindKept, k.id, lo[:], nil, func(key, value []byte) (bool, error) {
		n, err := parseKept(key, value)
		if err != nil || n.hash != hash {
			return false, err
		}
		if bytes.Equal(n.identity, identity) {
			found, ok = seen{n.seq, n.content}, true
		}
		return true, nil
	})
	return found, ok, err
}

// scan calls fn with all entries by hash and sequence; an identity is valid only during fn.
func (k *keptRun) scan(store storage, fn func(*keptEntry) error) error {
	return store.TableScan(journal.KindKept, k.id, nil, nil, func(key, value []byte) (bool, error) {
		n, err := parseKept(key, value)
		if err != nil {
			return false, err
		}
		return true, fn(&n)
	})
}

// keeper finds what is to be kept when the history up to a sequence is forgotten: it goes over the
// journal from what was forgotten before, with what was kept then. Memory: the ids of the
// holds that were open at one time, and of the results of the stretch.
type keeper struct {
	seed    uint64
	open    map[[2]uint64][]keptEntry // by hold
	results []keptEntry
	scratch []byte
}

// take takes a hold's kept entry over.
func (p *keeper) take(n *keptEntry) error {
	if n.hold != ([2]uint64{}) {
		own := *n
		own.identity = bytes.Clone(n.identity)
		p.open[n.hold] = append(p.open[n.hold], own)
	}
	return nil
}

// command looks at the next command of the journal.
func (p *keeper) command(c *cursor) error {
	if c.isEvent() {
		if id := c.event.hold.id; len(id) > 0 {
			delete(p.open, holdID(id, p.seed))
		}
		return nil
	}
	r := reader{p: c.payload}
	switch c.kind {
	case kindHold:
		plan := r.holdPlan(c.t)
		if plan.denied != nil || r.bad { // a refused one has ended as it began
			return r.end()
		}
		return p.keep(c, holdID(plan.id, p.seed))
	case kindExtend:
		return p.keep(c, holdID(r.extension(c.t).plan.id, p.seed))
	case kindCapture, kindRelease:
		delete(p.open, holdID(r.heldRef().id, p.seed))
	case kindExpire:
		for _, h := range r.expiry().holds {
			delete(p.open, h.id)
		}
	case kindResult:
		return p.keep(c, [2]uint64{})
	default:
		return nil
	}
	if r.bad {
		return errCodec
	}
	return nil
}

// keep notes the identity of the current command.
func (p *keeper) keep(c *cursor, hold [2]uint64) error {
	return c.identities(p.seed, &p.scratch, func(id []byte, content uint64) error {
		n := keptEntry{hash: hashIdentity(id, p.seed), seq: c.seq, content: content, hold: hold, identity: bytes.Clone(id)}
		if hold == ([2]uint64{}) {
			p.results = append(p.results, n)
		} else {
			p.open[hold] = append(p.open[hold], n)
		}
		return nil
	})
}

// entries is what is kept beside the results of before, in the table's order.
func (p *keeper) entries() []keptEntry {
	out := p.results
	for _, list := range p.open {
		out = append(out, list...)
	}
	slices.SortFunc(out, compareKept)
	return out
}

func compareKept(a, b keptEntry) int {
	return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.seq, b.seq))
}

// writeKept writes a table of entries, merged with the results of the kept run before.
func writeKept(store storage, before *keptRun, entries []keptEntry, out table, k *keptRun) error {
	add := func(n *keptEntry) error {
		k.filter.add(n.hash)
		k.count++
		return out.Add(n.key(), n.value())
	}
	until := func(limit *keptEntry) error {
		for len(entries) > 0 && (limit == nil || compareKept(entries[0], *limit) < 0) {
			if err := add(&entries[0]); err != nil {
				return err
			}
			entries = entries[1:]
		}
		return nil
	}
	if before != nil {
		err := before.scan(store, func(n *keptEntry) error {
			if n.hold != ([2]uint64{}) {
				return nil // decided anew
			}
			return errorOr(until(n), func() error { return add(n) })
		})
		if err != nil {
			return err
		}
	}
	return until(nil)
}
