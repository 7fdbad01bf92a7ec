package engine

import (
	"encoding/binary"
	"fmt"

	"farthing/journal"
)

// ResultPositions is where it stands up to where topics of results were read. It is no part of the ledger's state:
// a result that comes again is recognised by its id.
type ResultPositions struct{ e *Engine }

// ResultPositions returns the store of positions.
func (e *Engine) ResultPositions() *ResultPositions { return &ResultPositions{e} }

// resultRow begins the keys of these rows among those of the publishers; the topic and the partition follow.
const resultRow = 'r'

func resultPositionKey(topic string, partition int32) []byte {
	return binary.BigEndian.AppendUint32(append(append([]byte{resultRow}, topic...), 0), uint32(partition))
}

// Load returns the next offset of each partition of a topic that one was set for.
func (p *ResultPositions) Load(topic string) (map[int32]int64, error) {
	done, refused := p.e.read()
	if refused != nil {
		return nil, refused
	}
	defer done()
	next := map[int32]int64{}
	first := resultPositionKey(topic, 0)
	prefix := len(first) - 4
	end := append(append([]byte(nil), first[:prefix-1]...), 1) // topics have no bytes below 1
	err := p.e.store.Scan(journal.SpacePublisher, first, end, func(key, value []byte) (bool, error) {
		r := reader{p: value}
		at := r.varint()
		if r.end() != nil || len(key) != prefix+4 {
			return false, fmt.Errorf("position in %s: %w", topic, errCodec)
		}
		next[int32(binary.BigEndian.Uint32(key[prefix:]))] = at
		return true, nil
	})
	return next, err
}

// Set writes the next offset of a partition. A power cut may take it back, not what was written before it.
func (p *ResultPositions) Set(topic string, partition int32, next int64) error {
	done, refused := p.e.read()
	if refused != nil {
		return refused
	}
	defer done()
	return p.e.store.Write([]journal.Row{{Space: journal.SpacePublisher, Key: resultPositionKey(topic, partition),
		Value: binary.AppendVarint(nil, next)}}, false)
}
