package publish

import (
	"bytes"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestBrokerErrors has the broker refuse each kind of request a few times, before and after it did what was asked.
func TestBrokerErrors(t *testing.T) {
	for _, f := range []struct {
		name string
		key  kmsg.Key
		errs []*kerr.Error
	}{
		{"produce", kmsg.Produce, []*kerr.Error{kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.NotLeaderForPartition,
			kerr.RequestTimedOut, kerr.UnknownTopicOrPartition, kerr.KafkaStorageError, kerr.MessageTooLarge, kerr.CorruptMessage}},
		{"producer id", kmsg.InitProducerID, []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable,
			kerr.NotCoordinator, kerr.ConcurrentTransactions, kerr.InvalidProducerIDMapping}},
		{"offsets", kmsg.ListOffsets, []*kerr.Error{kerr.NotLeaderForPartition, kerr.UnknownServerError}},
		{"fetch", kmsg.Fetch, []*kerr.Error{kerr.NotLeaderForPartition, kerr.OffsetNotAvailable}},
	} {
		t.Run(f.name, func(t *testing.T) {
			c := fakeCluster(t)
			all := settlement("a", 1, 6)
			box := newBox(all[:3]...)
			first := start(t, c.options(t), box) // so that there is something to read back
			box.awaitConfirmed(t, 3)
			first.stop(t)
			for _, err := range f.errs {
				c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{f.key}, Err: err, Count: 2})
			}
			box.seal(all[3:]...)
			r := start(t, c.options(t), box)
			box.awaitConfirmed(t, 6)
			if s := r.relay.Stats(); s.Failures < 2 {
				t.Fatalf("stats %+v", s)
			}
			r.stop(t)
			checkApplied(t, c, c.options(t), box, all)
		})
	}
}

// TestAnsweredAfterAppend has the records appended and an error answered: nothing may be appended twice.
func TestAnsweredAfterAppend(t *testing.T) {
	c := fakeCluster(t)
	all := settlement("a", 1, 6)
	box := newBox(all...)
	c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicasAfterAppend, Count: 3})
	r := start(t, c.options(t), box)
	box.awaitConfirmed(t, 6)
	if s := r.relay.Stats(); s.Resent != 3 || s.Sessions != 1 {
		t.Fatalf("stats %+v", s)
	}
	r.stop(t)
	checkApplied(t, c, c.options(t), box, all)
}

// notTheFence picks the produce requests with records.
func notTheFence(req kmsg.Request) bool {
	return !bytes.Contains(req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records, []byte(".fence.v1"))
}

// TestProducerForgotten has the broker say that it does not know the producer: a new epoch, nothing twice.
func TestProducerForgotten(t *testing.T) {
	for _, code := range []*kerr.Error{kerr.UnknownProducerID, kerr.OutOfOrderSequenceNumber, kerr.InvalidTimestamp, kerr.DuplicateSequenceNumber} {
		t.Run(code.Message, func(t *testing.T) {
			c := fakeCluster(t)
			all := settlement("a", 1, 6)
			box := newBox(all...)
			c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: code, Count: 1, When: notTheFence})
			r := start(t, c.options(t), box)
			box.awaitConfirmed(t, 6)
			if s := r.relay.Stats(); s.Sessions != 2 || s.Epoch != 1 {
				t.Fatalf("stats %+v", s)
			}
			r.stop(t)
			checkApplied(t, c, c.options(t), box, all)
		})
	}
}

// TestDuplicateAnswer has the answer to an append lost and the repetition answered with "duplicate" and no offset: the
// offset is found by reading.
func TestDuplicateAnswer(t *testing.T) {
	c := fakeCluster(t)
	all := settlement("a", 1, 6)
	box, w := newBox(all...), &wire{}
	w.skip.Store(1)
	w.cutAnswers.Store(1)
	w.onCut = func() {
		c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.DuplicateSequenceNumber, Count: -1})
	}
	o := c.options(t)
	o.Dial = w.dial
	r := start(t, o, box)
	box.awaitConfirmed(t, 6)
	if s := r.relay.Stats(); s.Sessions != 1 || s.Sent != 6 {
		t.Fatalf("stats %+v", s)
	}
	r.stop(t)
	checkApplied(t, c, o, box, all)
}

// TestLeaderMoves has the partition's leader change between batches.
func TestLeaderMoves(t *testing.T) {
	c := fakeCluster(t, kfake.NumBrokers(3))
	all := settlement("a", 1, 12)
	box := newBox(all[:3]...)
	r := start(t, c.options(t), box)
	for i := uint64(1); i <= 3; i++ {
		box.awaitConfirmed(t, 3*i)
		if err := c.fake.MoveTopicPartition(c.topic, 0, (c.fake.LeaderFor(c.topic, 0)+1)%3); err != nil {
			t.Fatal(err)
		}
		box.seal(all[3*i : 3*i+3]...)
	}
	box.awaitConfirmed(t, 12)
	r.stop(t)
	checkApplied(t, c, c.options(t), box, all)
}

// TestOutboxFails has each outbox call fail once without ending the relay.
func TestOutboxFails(t *testing.T) {
	once := func() func() error {
		var seen atomic.Bool
		return func() error {
			if seen.Swap(true) {
				return nil
			}
			return errors.New("disk says no")
		}
	}
	for name, arm := range map[string]func(*memBox){
		"records":       func(b *memBox) { b.onRecords = once() },
		"attempt":       func(b *memBox) { b.onAttempt = once() },
		"after attempt": func(b *memBox) { b.afterAttempt = once() },
		"confirm":       func(b *memBox) { b.onConfirm = once() },
		"after confirm": func(b *memBox) { b.afterConfirm = once() },
	} {
		t.Run(name, func(t *testing.T) {
			c := fakeCluster(t)
			all := settlement("a", 1, 6)
			box := newBox(all...)
			arm(box)
			r := start(t, c.options(t), box)
			box.awaitConfirmed(t, 6)
			if s := r.relay.Stats(); s.Failures == 0 && name != "after confirm" {
				t.Fatalf("stats %+v", s)
			}
			r.stop(t)
			checkApplied(t, c, c.options(t), box, all)
		})
	}
}

// TestStrangers has others append to the partition while the relay waits.
func TestStrangers(t *testing.T) {
	foreign := func(topic string, headers ...kgo.RecordHeader) *kgo.Record {
		return &kgo.Record{Topic: topic, Key: []byte("x"), Value: []byte("y"), Headers: headers}
	}
	onBoth(t, func(t *testing.T, c cluster) {
		all := settlement("a", 1, 9)
		box := newBox(all[:3]...)
		o := c.options(t)
		r := start(t, o, box)
		box.awaitConfirmed(t, 3)
		producer := c.admin(t)
		if err := producer.ProduceSync(t.Context(), foreign(c.topic)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		box.seal(all[3:6]...)
		box.awaitConfirmed(t, 6)
		checkApplied(t, c, o, box, all[:6])

		forged := foreign(c.topic, kgo.RecordHeader{Key: headerStreamSeq, Value: []byte("7")})
		if err := producer.ProduceSync(t.Context(), forged).FirstErr(); err != nil {
			t.Fatal(err)
		}
		box.seal(all[6:]...)
		if err := r.ended(t); !errors.Is(err, ErrForked) {
			t.Fatalf("ended with %v", err)
		}
		if box.pos.Confirmed != 6 {
			t.Fatalf("confirmed %d", box.pos.Confirmed)
		}
	})
}

// TestStray has a relay of this ledger under another producer id, as there is after the coordinator has forgotten the
// transactional id: it is fenced all the same, and what it appended is found.
func TestStray(t *testing.T) {
	onBoth(t, func(t *testing.T, c cluster) {
		all := settlement("a", 1, 9)
		o := c.options(t).EnsureDefaults()
		other := o
		other.Ledger += "-other" // only to be given another producer id
		stray := newBroker(other)
		defer stray.close()
		held := initProducerSoon(t, stray)
		sequence := int32(0)
		send := func(set []byte) error {
			_, err := stray.produce(t.Context(), set)
			sequence++
			return err
		}
		if err := send(encodeFence(&o, o.Now(), triple{held, sequence})); err != nil {
			t.Fatal(err)
		}
		if err := send(encodeRecords(all[:1], o.Source, o.Now(), triple{held, sequence})); err != nil {
			t.Fatal(err)
		}
		box := newBox(all...)
		r := start(t, o, box)
		box.awaitConfirmed(t, 9)
		if s := r.relay.Stats(); s.Found != 1 || s.Sent != 8 || s.ProducerID == held.id {
			t.Fatalf("stats %+v, stray %+v", s, held)
		}
		err := send(encodeRecords(all[1:2], o.Source, o.Now(), triple{held, sequence}))
		if classify(err) != fenced {
			t.Fatalf("the stray's next batch: %v", err)
		}
		r.stop(t)
		checkApplied(t, c, o, box, all)
	})
}

// initProducerSoon asks until the coordinator is up.
func initProducerSoon(t *testing.T, b *broker) producer {
	t.Helper()
	for {
		p, err := b.initProducer(t.Context(), noProducer)
		if err == nil {
			return p
		}
		if !isComingUp(err) {
			t.Fatal(err)
		}
		b.reset()
	}
}

// TestCreateTopics creates a topic twice and publishes to it.
func TestCreateTopics(t *testing.T) {
	onBoth(t, func(t *testing.T, c cluster) {
		c.topic += ".created"
		o := c.options(t)
		o.CreatePartitions = 3
		for range 2 {
			if err := CreateTopics(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		all := settlement("a", 1, 3)
		box := newBox(slices.Clone(all)...)
		o.CreateTopics = true
		r := start(t, o, box)
		box.awaitConfirmed(t, 3)
		r.stop(t)
		checkApplied(t, c, o, box, all)
	})
}
