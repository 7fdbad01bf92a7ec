package engine

import (
	"encoding/binary"
	"fmt"

	"farthing/journal"
)

// Position is the durable progress of publication.
type Position struct {
	Confirmed  uint64 // last stream_seq known to stand in the topic; 0: none
	Topic      string // where record Confirmed stands: topic, partition, offset; zero for none
	Partition  int32
	Offset     int64
	NextOffset int64 // the topic has reached this offset: after Confirmed, or after what followed it
	Attempt    *Attempt
}

// Attempt is the triple under which records First..Last are being sent.
type Attempt struct {
	ProducerID  int64
	Epoch       int16
	Sequence    int32
	First, Last uint64
}

// Confirmation says that records First..Last stand at BaseOffset on.
type Confirmation struct {
	First, Last uint64
	Topic       string
	Partition   int32
	BaseOffset  int64
	NextOffset  int64
}

// progress is how far a stream of records is published, in rows beside the journal, because
// where a record stands in Kafka is no part of the ledger's state. One relay writes it.
type progress struct {
	store storage
	// prefix begins the keys of the stream's rows: none for settlements, which had them first.
	prefix string
}

// The rows of a stream, after its prefix.
const (
	positionRow     = 'p' // confirmed stream_seq and next offset
	attemptRow      = 'a' // the triple of a send in flight
	confirmationRow = 'c' // and a run's last stream_seq: where it stands
)

func (p progress) key(row byte) []byte { return append([]byte(p.prefix), row) }

// confirmationKey is under the run's last stream_seq, so that seeking a number finds the
// run that holds it.
func (p progress) confirmationKey(last uint64) []byte {
	return binary.BigEndian.AppendUint64(p.key(confirmationRow), last)
}

// Position returns the durable progress of publication.
func (p progress) Position() (Position, error) {
	var at Position
	value, ok, err := p.store.Get(journal.SpacePublisher, p.key(positionRow))
	if err != nil {
		return at, err
	}
	if ok {
		r := reader{p: value}
		at.Confirmed, at.NextOffset = r.uvarint(), r.varint()
		if err := r.end(); err != nil {
			return at, fmt.Errorf("publisher position: %w", err)
		}
		if err := p.place(&at); err != nil {
			return at, err
		}
	}
	value, ok, err = p.store.Get(journal.SpacePublisher, p.key(attemptRow))
	if err != nil || !ok {
		return at, err
	}
	r := reader{p: value}
	a := &Attempt{ProducerID: r.varint(), Epoch: int16(r.varint()), Sequence: int32(r.varint()), First: r.uvarint(), Last: r.uvarint()}
	if err := r.end(); err != nil {
		return at, fmt.Errorf("publisher attempt: %w", err)
	}
	at.Attempt = a
	return at, nil
}

// place fills in where the last confirmed record stands; its confirmation was written together with the position.
func (p progress) place(at *Position) error {
	found, ok, err := p.offsetOf(at.Confirmed)
	if err != nil || !ok {
		return missing(fmt.Sprintf("confirmation of record %d", at.Confirmed), err)
	}
	at.Topic, at.Partition, at.Offset = found.Topic, found.Partition, found.FirstOffset
	return nil
}

// Attempt makes the triple of a send durable.
func (p progress) Attempt(a Attempt) error {
	return p.store.Write([]journal.Row{p.attempt(&a)}, true)
}

func (p progress) attempt(a *Attempt) journal.Row {
	v := binary.AppendVarint(nil, a.ProducerID)
	v = binary.AppendVarint(v, int64(a.Epoch))
	v = binary.AppendVarint(v, int64(a.Sequence))
	v = binary.AppendUvarint(v, a.First)
	v = binary.AppendUvarint(v, a.Last)
	return journal.Row{Space: journal.SpacePublisher, Key: p.key(attemptRow), Value: v}
}

// confirm makes durable where records stand, of which so many are sealed, and ends the attempt. The next one, if there is one, is
// durable with it.
func (p progress) confirm(c Confirmation, sealed uint64, next *Attempt) error {
	if c.Last > sealed {
		return fmt.Errorf("record %d is said to be published, but only %d are sealed", c.Last, sealed)
	}
	position := binary.AppendVarint(binary.AppendUvarint(nil, c.Last), c.NextOffset)
	v := binary.AppendUvarint(nil, c.First)
	v = appendBytes(v, c.Topic)
	v = binary.AppendVarint(v, int64(c.Partition))
	v = binary.AppendVarint(v, c.BaseOffset)
	attempt := journal.Row{Space: journal.SpacePublisher, Key: p.key(attemptRow), Delete: true}
	if next != nil {
		attempt = p.attempt(next)
	}
	return p.store.Write([]journal.Row{
		{Space: journal.SpacePublisher, Key: p.confirmationKey(c.Last), Value: v},
		{Space: journal.SpacePublisher, Key: p.key(positionRow), Value: position},
		attempt,
	}, true)
}

// offsetOf finds where a record stands, as FirstOffset.
func (p progress) offsetOf(stream uint64) (at Publication, ok bool, err error) {
	err = p.store.Scan(journal.SpacePublisher, p.confirmationKey(stream), p.key(confirmationRow+1), func(_, value []byte) (bool, error) {
		r := reader{p: value}
		first := r.uvarint()
		at.Topic, at.Partition = r.str(), int32(r.varint())
		at.FirstOffset = r.varint() + int64(stream-first)
		if r.end() != nil {
			return false, fmt.Errorf("confirmation of record %d: %w", stream, errCodec)
		}
		ok = first <= stream
		return false, nil
	})
	return at, ok, err
}

// check is verify's: the confirmed records follow each other without a gap, end where the
// position says, and of them so many are sealed.
func (p progress) check(sealed uint64) error {
	at, err := p.Position()
	if err != nil {
		return err
	}
	last := uint64(0)
	err = p.store.Scan(journal.SpacePublisher, p.key(confirmationRow), p.key(confirmationRow+1), func(key, value []byte) (bool, error) {
		r := reader{p: value}
		if first := r.uvarint(); r.bad || len(key) != len(p.prefix)+9 || first != last+1 {
			return false, fmt.Errorf("published records do not go on after stream_seq %d", last)
		}
		last = binary.BigEndian.Uint64(key[len(key)-8:])
		return true, nil
	})
	if err == nil && (last != at.Confirmed || last > sealed) {
		err = fmt.Errorf("records up to %d are confirmed as published, the position says %d, sealed are %d", last, at.Confirmed, sealed)
	}
	return err
}
