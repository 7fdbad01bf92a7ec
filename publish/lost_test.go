package publish

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// restarts is how often a relay that must not publish is started again: often enough for a fence at each start to have made the
// topic as long as the one that was lost.
const restarts = 8

// published has records 1 to 4 confirmed: the outbox's next offset is 5.
func published(t *testing.T, c cluster) *memBox {
	t.Helper()
	box := newBox(settlement("a", 1, 4)...)
	r := start(t, c.options(t), box)
	box.awaitConfirmed(t, 4)
	r.stop(t)
	if box.pos.Offset != 4 || box.pos.NextOffset != 5 || box.pos.Topic != c.topic {
		t.Fatalf("position %+v", box.pos)
	}
	box.seal(settlement("a", 5, 8)...)
	return box
}

// staysLost starts a relay with o over and over. It must end in ErrLost and leave outbox and topic as they are.
func staysLost(t *testing.T, c cluster, o Options, box *memBox) {
	t.Helper()
	end, pos, attempts := c.end(t), box.pos, len(box.attempts)
	for range restarts {
		r := start(t, o, box)
		if err := r.ended(t); !errors.Is(err, ErrLost) {
			t.Fatalf("ended with %v", err)
		}
		if s := r.relay.Stats(); s.State != StateLost || s.LastError == "" || s.Sessions != 0 {
			t.Fatalf("stats %+v", s)
		}
	}
	if now := c.end(t); now != end || box.pos != pos || len(box.attempts) != attempts {
		t.Fatalf("the topic ended at %d and ends at %d, the position was %+v and is %+v", end, now, pos, box.pos)
	}
}

// fill has somebody else append records.
func (c cluster) fill(t *testing.T, records ...*kgo.Record) {
	t.Helper()
	own := make([]*kgo.Record, len(records)) // the client keeps things in them
	for i, r := range records {
		own[i] = &kgo.Record{Topic: c.topic, Key: r.Key, Value: r.Value, Headers: r.Headers}
	}
	if err := c.admin(t).ProduceSync(t.Context(), own...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// asRecords is what the relay makes of sealed records.
func asRecords(sealed []Record) (out []*kgo.Record) {
	for _, s := range sealed {
		r := &kgo.Record{Key: s.Key, Value: s.Value}
		for _, h := range append([]Header{{headerSpecVersion, []byte(specVersion)}, {headerID, []byte(s.ID)}, {headerSource, []byte("s")},
			{headerType, []byte(s.Type)}, {headerContentType, []byte(contentType)}, {headerStreamSeq, []byte{byte('0' + s.StreamSeq)}}}, s.Headers...) {
			r.Headers = append(r.Headers, kgo.RecordHeader(h))
		}
		out = append(out, r)
	}
	return out
}

// TestLost has the topic created again, empty or with something in it.
func TestLost(t *testing.T) {
	plain := func(n int) (out []*kgo.Record) {
		for range n {
			out = append(out, &kgo.Record{Key: []byte("x"), Value: []byte("y")})
		}
		return out
	}
	for _, f := range []struct {
		name    string
		records []*kgo.Record
	}{
		{"empty", nil},
		{"one short", plain(4)},
		{"as long", plain(5)},
		{"longer", plain(20)},
		{"another ledger", asRecords(settlement("b", 1, 6))},
		{"moved by one", append(plain(2), asRecords(settlement("a", 1, 4))...)},
		{"other content", slices.Concat(plain(1), asRecords(settlement("a", 1, 3)), asRecords(settlement("b", 4, 4)))},
	} {
		t.Run(f.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, c cluster) {
				box := published(t, c)
				c.recreateTopic(t)
				if f.records != nil {
					c.fill(t, f.records...)
				}
				staysLost(t, c, c.options(t), box)
			})
		})
	}
}

// TestLostToAnotherCluster has an empty cluster in the place of the one published to.
func TestLostToAnotherCluster(t *testing.T) {
	c := fakeCluster(t)
	box := published(t, c)
	empty := fakeCluster(t)
	empty.topic = c.topic
	empty.createTopic(t)
	staysLost(t, empty, empty.options(t), box)
}

// TestLostToAnotherTopic has the options name another topic, whatever that one holds, and another partition.
func TestLostToAnotherTopic(t *testing.T) {
	onBoth(t, func(t *testing.T, c cluster) {
		box := published(t, c)
		other := c
		other.topic += ".other"
		other.createTopic(t)
		other.fill(t, slices.Concat([]*kgo.Record{{Value: []byte("y")}}, asRecords(settlement("a", 1, 4)))...)
		o := c.options(t)
		o.Topic = other.topic
		staysLost(t, other, o, box)
		o = c.options(t)
		o.Partition = 1
		staysLost(t, c, o, box)
	})
}

// TestRestored has the topic created again with everything where it was: nothing is missing, so nothing is lost.
func TestRestored(t *testing.T) {
	onBoth(t, func(t *testing.T, c cluster) {
		box := published(t, c)
		c.recreateTopic(t)
		c.fill(t, slices.Concat([]*kgo.Record{{Value: []byte("y")}}, asRecords(settlement("a", 1, 4)))...)
		r := start(t, c.options(t), box)
		box.awaitConfirmed(t, 8)
		r.stop(t)
		if a := consume(t, c.log(t)); len(a.records) != 8 || a.dropped != 0 {
			t.Fatalf("applied %d, dropped %d", len(a.records), a.dropped)
		}
	})
}

// TestKeptNoMore has an outbox that has dropped what was confirmed: the number at the offset has to do, and is looked at.
func TestKeptNoMore(t *testing.T) {
	onBoth(t, func(t *testing.T, c cluster) {
		box := published(t, c)
		box.records = box.records[4:]
		r := start(t, c.options(t), box)
		box.awaitConfirmed(t, 8)
		r.stop(t)
		checkApplied(t, c, c.options(t), box, settlement("a", 1, 8))

		box.records = nil
		c.recreateTopic(t)
		c.fill(t, asRecords(settlement("a", 1, 9))...)
		c.fill(t, &kgo.Record{Value: []byte("y")}, &kgo.Record{Value: []byte("y")})
		staysLost(t, c, c.options(t), box)
	})
}

// TestRetention has the confirmed records removed from the topic's beginning, which is no loss.
func TestRetention(t *testing.T) {
	onBoth(t, func(t *testing.T, c cluster) {
		box := published(t, c)
		admin := kadm.NewClient(c.admin(t))
		upTo := kadm.Offsets{}
		upTo.AddOffset(c.topic, 0, box.pos.NextOffset, -1)
		res, err := admin.DeleteRecords(t.Context(), upTo)
		if err = errors.Join(err, res.Error()); err != nil {
			t.Fatal(err)
		}
		r := start(t, c.options(t), box)
		box.awaitConfirmed(t, 8)
		r.stop(t)
		log := c.log(t)
		if len(log) != 5 || log[0].Offset != 5 || headers(log[1])[headerStreamSeq] != "5" {
			t.Fatalf("%d records are left, the first at %d", len(log), log[0].Offset)
		}
	})
}

// failures is a log handler that tells of the first failure.
type failures struct {
	slog.Handler
	once *sync.Once
	seen chan struct{}
}

func (f failures) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "publishing waits" {
		f.once.Do(func() { close(f.seen) })
	}
	return f.Handler.Handle(ctx, r)
}

func (f failures) WithAttrs(attrs []slog.Attr) slog.Handler {
	f.Handler = f.Handler.WithAttrs(attrs)
	return f
}

// TestMissingTopic has the topic gone: what was confirmed is not in a new one, so the relay creates none, and waits.
func TestMissingTopic(t *testing.T) {
	onBoth(t, func(t *testing.T, c cluster) {
		box := published(t, c)
		c.deleteTopic(t)
		seen := failures{slog.NewTextHandler(t.Output(), nil), new(sync.Once), make(chan struct{})}
		o := c.options(t)
		o.CreateTopics = true
		o.Logger = slog.New(seen)
		r := start(t, o, box)
		select {
		case <-seen.seen:
		case <-time.After(patience):
			t.Fatalf("no failure: %+v", r.relay.Stats())
		}
		c.createTopic(t) // fails if it is there
		if err := r.ended(t); !errors.Is(err, ErrLost) {
			t.Fatalf("ended with %v", err)
		}
		if end := c.end(t); end != 0 {
			t.Fatalf("the new topic ends at %d", end)
		}
	})
}

// TestStaleEnd has a broker answer with an end of the past, as one does that is the leader no more and does not know: the
// relay looks again before it calls anything lost.
func TestStaleEnd(t *testing.T) {
	c := fakeCluster(t)
	box := published(t, c)
	stale := 3
	c.fake.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		ask := req.(*kmsg.ListOffsetsRequest)
		if ask.Topics[0].Partitions[0].Timestamp != -1 || stale == 0 {
			return nil, nil, false
		}
		stale--
		res := ask.ResponseKind().(*kmsg.ListOffsetsResponse)
		part := kmsg.NewListOffsetsResponseTopicPartition()
		part.Offset = 4
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic, topic.Partitions = c.topic, append(topic.Partitions, part)
		res.Topics = append(res.Topics, topic)
		return res, nil, true
	})
	o := c.options(t)
	o.LostAfter = patience
	r := start(t, o, box)
	box.awaitConfirmed(t, 8)
	if s := r.relay.Stats(); s.Failures < 3 || s.Sessions != 1 {
		t.Fatalf("stats %+v", s)
	}
	r.stop(t)
	checkApplied(t, c, o, box, settlement("a", 1, 8))
}
