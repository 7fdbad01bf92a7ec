package publish

import (
	"errors"
	"strings"
	"testing"

	"farthing/publish/kafkatest"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestMatrixBroker is what one real broker does: it is killed, forgets, refuses, and loses its topic.
func TestMatrixBroker(t *testing.T) {
	own := kafkatest.StartOwn(t, "producer.id.expiration.check.interval.ms=50",
		"broker.session.timeout.ms=1500", "broker.heartbeat.interval.ms=300") // a killed broker may come back once its session has ended
	for _, row := range []struct {
		name string
		run  func(t *testing.T, w *world)
	}{
		{"killed before the append", killedBefore},
		{"killed with the request in its socket", killedDuring},
		{"killed after the append", killedAfter},
		{"killed amid a stream of batches", killedAmid},
		{"producer id expired", producerExpired},
		{"producer id expired with a send in doubt", producerExpiredInDoubt},
		{"records deleted under the producer", recordsDeleted},
		{"message too large", messageTooLarge},
		{"batch too large", batchTooLarge},
		{"batch too large with a send in doubt", batchTooLargeInDoubt},
		{"topic deleted and restored", topicDeleted},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := cluster{addr: own.Addr, topic: strings.ReplaceAll(topicName(t), " ", "-")}
			c.createTopic(t)
			w := newWorld(t, c, func(o *Options) { o.Compression = NoCompression })
			w.broker = own
			row.run(t, w)
		})
	}
}

func killedBefore(t *testing.T, w *world) {
	must(t, w.broker.Kill())
	w.sealRest()
	w.awaitStats(t, "a failed send", func(s Stats) bool { return s.State == StateFailing && s.Resent > 0 })
	must(t, w.broker.Up())
	if s := w.finish(t, 0); s.Sessions != 1 {
		t.Errorf("stats %+v", s)
	}
}

// killedDuring kills the broker when the kernel has taken the request for it, and it has not read it.
func killedDuring(t *testing.T, w *world) {
	g := newGate()
	w.wire.gate.Store(g)
	sent := make(chan struct{}, 1)
	w.wire.onSent.Store(ptr(func() {
		select {
		case sent <- struct{}{}:
		default:
		}
	}))
	w.sealRest()
	<-g.come
	must(t, w.broker.Freeze())
	close(g.open)
	<-sent
	must(t, w.broker.Kill())
	must(t, w.broker.Up())
	if s := w.finish(t, 0); s.Resent == 0 || s.Sessions != 1 {
		t.Errorf("stats %+v", s)
	}
}

func ptr[T any](v T) *T { return &v }

// killedAfter kills the broker between its append and the relay's hearing of it.
func killedAfter(t *testing.T, w *world) {
	w.wire.onCut = func() {
		if err := w.broker.Kill(); err != nil {
			t.Error(err)
		}
		if err := w.broker.Up(); err != nil {
			t.Error(err)
		}
	}
	w.wire.cutAnswers.Store(1)
	w.sealRest()
	if s := w.finish(t, 0); s.Resent == 0 || s.Sessions != 1 {
		t.Errorf("stats %+v", s)
	}
}

// killedAmid sends many batches and kills the broker wherever it then is.
func killedAmid(t *testing.T, w *world) {
	w.run.stop(t)
	w.all = settlement("a", 1, 3000)
	w.o.MaxBatchBytes = maxBatchBytesMin
	w.box.seal(w.all[rowRecords/2:]...)
	w.run = start(t, w.o, w.box)
	w.box.awaitConfirmed(t, 600)
	must(t, w.broker.Kill())
	must(t, w.broker.Up())
	if s := w.finish(t, 0); s.Failures < 1 || s.Batches < 100 {
		t.Errorf("stats %+v", s)
	}
}

// expireProducers has the broker forget silent producers at once, and waits until it has forgotten the relay's.
func (w *world) expireProducers(t *testing.T) {
	t.Helper()
	admin := kadm.NewClient(w.admin(t))
	set := func(value string) {
		res, err := admin.AlterBrokerConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "producer.id.expiration.ms", Value: &value}})
		must(t, err)
		for _, r := range res {
			must(t, r.Err)
		}
	}
	set("1")
	eventually(t, "the producer is forgotten", func() bool {
		known, err := admin.DescribeProducers(t.Context(), kadm.TopicsSet{w.topic: {0: {}}})
		must(t, err)
		return len(known[w.topic].Partitions[0].ActiveProducers) == 0
	})
	set("86400000")
}

// producerExpired: an id that the broker does not know may go on at any sequence.
func producerExpired(t *testing.T, w *world) {
	w.expireProducers(t)
	w.sealRest()
	if s := w.finish(t, 0); s.Sessions != 1 {
		t.Errorf("stats %+v", s)
	}
}

// producerExpiredInDoubt is the one case with a second copy: the broker appended, the answer was lost, and when the relay can ask
// again the broker remembers nothing. Consumers drop the copy.
func producerExpiredInDoubt(t *testing.T, w *world) {
	w.wire.cutAnswers.Store(1)
	w.wire.onCut = func() { w.expireProducers(t) }
	w.sealRest()
	if s := w.finish(t, rowRecords/2); s.Resent != 1 || s.Sessions != 1 {
		t.Errorf("stats %+v", s)
	}
}

// recordsDeleted deletes what was appended while its answer is lost. Retention does so, only later.
func recordsDeleted(t *testing.T, w *world) {
	var before []*kgo.Record
	var end int64
	w.wire.cutAnswers.Store(1)
	w.wire.onCut = func() {
		before, end = w.log(t), w.end(t)
		upTo := kadm.Offsets{}
		upTo.AddOffset(w.topic, 0, end, -1)
		res, err := kadm.NewClient(w.admin(t)).DeleteRecords(t.Context(), upTo)
		if err = errors.Join(err, res.Error()); err != nil {
			t.Error(err)
		}
	}
	w.sealRest()
	w.box.awaitConfirmed(t, rowRecords)
	s := w.run.relay.Stats()
	w.run.stop(t)
	w.check(t, s, before, 0)
	if now := w.end(t); s.Resent != 1 || s.Sessions != 1 || now != end {
		t.Errorf("the topic ended at %d and ends at %d, stats %+v", end, now, s)
	}
}

// messageTooLarge: the relay waits, saying why, until the topic takes its records again.
func messageTooLarge(t *testing.T, w *world) {
	w.alterTopic(t, "max.message.bytes", "200")
	w.sealRest()
	w.awaitStats(t, "refused again and again", func(s Stats) bool {
		return s.State == StateFailing && s.Failures > 5 && strings.Contains(s.LastError, "Message Size Too Large")
	})
	w.alterTopic(t, "max.message.bytes", "1048588")
	w.finish(t, 0)
}

// batchTooLarge: each record fits and the batch of them does not. It goes in smaller ones, under another epoch.
func batchTooLarge(t *testing.T, w *world) {
	w.alterTopic(t, "max.message.bytes", "700")
	w.sealRest()
	if s := w.finish(t, 0); s.Sessions < 2 || s.Batches < 4 {
		t.Errorf("stats %+v", s)
	}
}

// batchTooLargeInDoubt: the batch was appended, and its repetition is refused as too large: a refusal does not say that it is not there.
func batchTooLargeInDoubt(t *testing.T, w *world) {
	w.wire.cutAnswers.Store(1)
	w.wire.onCut = func() { w.alterTopic(t, "max.message.bytes", "700") }
	w.sealRest()
	w.awaitStats(t, "found by the next session", func(s Stats) bool { return s.Sessions == 2 && s.Found == rowRecords/2 })
	w.finish(t, 0)
}

// topicDeleted: the relay is lost, a consumer that had read before has nothing twice and no gap; when the operator has put back what
// was in the topic, the relay goes on.
func topicDeleted(t *testing.T, w *world) {
	before := w.log(t)
	w.recreateTopic(t)
	w.sealRest()
	if err := w.run.ended(t); !errors.Is(err, ErrLost) {
		t.Fatalf("ended with %v", err)
	}
	if w.box.pos.Confirmed != rowRecords/2 {
		t.Fatalf("confirmed up to %d", w.box.pos.Confirmed)
	}
	stranded := w.log(t)
	if a := consume(t, append(before[:len(before):len(before)], stranded...)); len(a.records) > rowRecords || a.dropped != 0 {
		t.Fatalf("a consumer has %d records and dropped %d", len(a.records), a.dropped)
	}
	t.Logf("lost with %d records in the new topic", len(stranded))
	w.recreateTopic(t)
	restored := make([]*kgo.Record, len(before))
	for i, r := range before {
		restored[i] = &kgo.Record{Key: r.Key, Value: r.Value, Headers: r.Headers}
	}
	w.fill(t, restored...)
	w.run = start(t, w.o, w.box)
	w.finish(t, 0)
}
