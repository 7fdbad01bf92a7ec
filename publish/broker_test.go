package publish

import (
	"errors"
	"testing"

	"farthing/publish/kafkatest"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kadm"
)

// TestFacts checks against the real broker what the relay relies on.
func TestFacts(t *testing.T) {
	c := realCluster(t)
	o := c.options(t).EnsureDefaults()
	b := newBroker(o)
	defer b.close()
	old := initProducerSoon(t, b)
	send := func(p producer, sequence int32, n int) (int64, error) {
		set := encodeRecords(settlement("a", 1, uint64(n)), o.Source, o.Now(), triple{p, sequence})
		client := newBroker(o) // each send is another process
		defer client.close()
		return client.produce(t.Context(), set)
	}
	want := func(what string, base int64, err error, wantBase int64, wantErr error) {
		t.Helper()
		if !errors.Is(err, wantErr) || (wantErr == nil && (err != nil || base != wantBase)) {
			t.Fatalf("%s: offset %d, %v; want %d, %v", what, base, err, wantBase, wantErr)
		}
	}
	for i := range int32(7) {
		base, err := send(old, i, 1)
		want("a batch", base, err, int64(i), nil)
	}
	for _, i := range []int32{6, 2} {
		base, err := send(old, i, 1)
		want("one of the last five again", base, err, int64(i), nil)
	}
	base, err := send(old, 1, 1)
	want("an older one again", base, err, 0, kafka.OutOfOrderSequenceNumber)
	base, err = send(old, 6, 2)
	want("the same sequence with another number of records", base, err, 0, kafka.OutOfOrderSequenceNumber)
	base, err = send(old, 20, 1)
	want("a gap", base, err, 0, kafka.OutOfOrderSequenceNumber)

	next, err := b.initProducer(t.Context(), noProducer)
	if err != nil || next.id != old.id || next.epoch != old.epoch+1 {
		t.Fatalf("after %+v came %+v, %v", old, next, err)
	}
	base, err = send(old, 7, 1)
	want("the old epoch before the fence", base, err, 7, nil)
	base, err = send(next, 0, 1)
	want("the fence", base, err, 8, nil)
	base, err = send(old, 8, 1)
	want("the old epoch after the fence", base, err, 0, kafka.InvalidProducerEpoch)
	base, err = send(old, 7, 1)
	want("the old epoch's last batch again", base, err, 0, kafka.InvalidProducerEpoch)
	if stale, err := b.initProducer(t.Context(), old); classify(err) != fenced || err == nil {
		t.Fatalf("the claim of the replaced epoch gave %+v, %v", stale, err)
	}
	renewed, err := b.initProducer(t.Context(), next)
	if err != nil || renewed.id != next.id || renewed.epoch != next.epoch+1 {
		t.Fatalf("the claim of the present epoch %+v gave %+v, %v", next, renewed, err)
	}
	if again, err := b.initProducer(t.Context(), next); err != nil || again != renewed {
		t.Fatalf("the same claim again, as after a lost answer, gave %+v, %v", again, err)
	}

	unknown := producer{old.id + 1_000_000, 3}
	base, err = send(unknown, 1<<31-2, 4)
	want("an unknown producer across the end of the sequences", base, err, 9, nil)
	base, err = send(unknown, nextSequence(1<<31-2, 4), 1)
	want("and on", base, err, 13, nil)
}

// TestOwnBroker does what the shared broker must not see: forget transactional ids within a second, and restart.
func TestOwnBroker(t *testing.T) {
	own := kafkatest.StartOwn(t, "transactional.id.expiration.ms=1000", "transaction.remove.expired.transaction.cleanup.interval.ms=200")
	t.Run("forgotten transactional id", func(t *testing.T) { takeOverForgotten(t, own) })
	t.Run("restart", func(t *testing.T) { restartBroker(t, own) })
}

// takeOverForgotten has the coordinator forget the relay's transactional id while the relay works, and another relay
// take over under the new producer id that it is given. The old one is fenced all the same.
func takeOverForgotten(t *testing.T, own *kafkatest.Broker) {
	c := cluster{addr: own.Addr, topic: topicName(t)}
	c.createTopic(t)
	all := settlement("a", 1, 9)
	box := newBox(all[:3]...)
	o := c.options(t)
	old := start(t, o, box)
	box.awaitConfirmed(t, 3)
	admin := kadm.NewClient(c.admin(t))
	for id := o.EnsureDefaults().transactionalID(); ; {
		known, err := admin.ListTransactions(t.Context(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := known[id]; !ok {
			break
		}
	}
	box.seal(all[3:6]...)
	box.awaitConfirmed(t, 6)
	twin := box.copy()
	twin.seal(all[6:]...)
	successor := start(t, o, twin)
	twin.awaitConfirmed(t, 9)
	if was, is := old.relay.Stats(), successor.relay.Stats(); is.ProducerID == was.ProducerID || is.Epoch != 0 {
		t.Fatalf("the coordinator has not forgotten: %+v, then %+v", was, is)
	}
	box.seal(all[6:]...)
	if err := old.ended(t); !errors.Is(err, ErrFenced) {
		t.Fatalf("the old relay ended with %v", err)
	}
	successor.stop(t)
	checkApplied(t, c, o, twin, all)
}

// restartBroker has the broker go away and come back while the relay works.
func restartBroker(t *testing.T, own *kafkatest.Broker) {
	c := cluster{addr: own.Addr, topic: topicName(t)}
	all := settlement("a", 1, 6)
	box := newBox(all[:3]...)
	o := c.options(t)
	o.CreateTopics = true
	r := start(t, o, box)
	box.awaitConfirmed(t, 3)
	if err := own.Down(); err != nil {
		t.Fatal(err)
	}
	box.seal(all[3:]...)
	if err := own.Up(); err != nil {
		t.Fatal(err)
	}
	box.awaitConfirmed(t, 6)
	r.stop(t)
	checkApplied(t, c, o, box, all)
}
