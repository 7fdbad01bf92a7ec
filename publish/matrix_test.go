package publish

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"farthing/publish/kafkatest"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The fault matrix of publishing, at the relay: its rows are the subtests of TestMatrixBroker (one real broker), TestMatrixNetwork (a
// real broker behind a proxy that spoils connections) and TestMatrixCluster (three real brokers). Faults that no real broker
// makes to order are answers of the one in process: TestAnsweredAfterAppend, TestProducerForgotten, TestBrokerErrors. What
// dies on the other side of the outbox is in e2e and cmd/farthing.
//
// Each row ends in world.check: whatever happened, a consumer that follows the contract has every record once.

// world is what one row of the matrix plays with.
type world struct {
	cluster
	broker *kafkatest.Broker
	o      Options
	all    []Record
	box    *memBox
	run    *run
	wire   *wire
}

// rowRecords is how many records a row publishes: three batches of three before the fault, as many after it.
const rowRecords = 18

// newWorld has the first half of the records published to a topic of the row's own.
func newWorld(t *testing.T, c cluster, change func(*Options)) *world {
	t.Helper()
	w := &world{cluster: c, all: settlement("a", 1, rowRecords), wire: &wire{}}
	w.o = c.options(t)
	w.o.Dial = w.wire.dial
	if change != nil {
		change(&w.o)
	}
	w.box = newBox(w.all[:rowRecords/2]...)
	w.run = start(t, w.o, w.box)
	w.box.awaitConfirmed(t, rowRecords/2)
	return w
}

// sealRest hands the second half over.
func (w *world) sealRest() { w.box.seal(w.all[rowRecords/2:]...) }

// finish waits for the rest to be confirmed, and checks. It wants so many records that stand a second time.
func (w *world) finish(t *testing.T, second int) Stats {
	t.Helper()
	w.box.awaitConfirmed(t, uint64(len(w.all)))
	w.run.stop(t) // the figures follow the outbox, in which it was confirmed
	s := w.run.relay.Stats()
	w.check(t, s, w.log(t), second)
	return s
}

// check reads by the contract: every record once, with the bytes that were sealed; a second copy has the first one's.
func (w *world) check(t *testing.T, s Stats, log []*kgo.Record, second int) {
	t.Helper()
	a := consume(t, log)
	t.Logf("%d records applied, %d stand a second time, %d fences; %d sent, %d found, %d resends, %d sessions, %d failures, last: %s",
		len(a.records), a.dropped, a.fences, s.Sent, s.Found, s.Resent, s.Sessions, s.Failures, s.LastError)
	if len(a.records) != len(w.all) || a.dropped != second {
		t.Fatalf("applied %d records and dropped %d, want %d and %d", len(a.records), a.dropped, len(w.all), second)
	}
	source := w.o.EnsureDefaults().Source
	for _, r := range log {
		text, ok := headers(r)[headerStreamSeq]
		if !ok {
			continue
		}
		seq, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		want := w.all[seq-1]
		wantHeaders := map[string]string{"ce_specversion": "1.0", "ce_id": want.ID, "ce_source": source, "ce_type": want.Type,
			"content-type": "application/json", "stream_seq": text}
		for _, h := range want.Headers {
			wantHeaders[h.Key] = string(h.Value)
		}
		if !bytes.Equal(r.Key, want.Key) || !bytes.Equal(r.Value, want.Value) || !maps.Equal(headers(r), wantHeaders) {
			t.Fatalf("at offset %d stands %s %s %v, not what was sealed as stream_seq %d", r.Offset, r.Key, r.Value, headers(r), seq)
		}
	}
	next := uint64(1)
	for _, cf := range w.box.confirms {
		if cf.First != next || cf.Topic != w.topic || cf.Partition != 0 {
			t.Fatalf("confirmation %+v, want one from %d", cf, next)
		}
		for ; next <= cf.Last; next++ {
			at := cf.BaseOffset + int64(next-cf.First)
			i := slices.IndexFunc(log, func(r *kgo.Record) bool { return r.Offset == at })
			if i < 0 || headers(log[i])[headerStreamSeq] != strconv.FormatUint(next, 10) {
				t.Fatalf("record %d does not stand at offset %d, as %+v says", next, at, cf)
			}
		}
	}
}

// eventually waits until cond is so.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	late := time.After(patience)
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for !cond() {
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("never: %s", what)
		}
	}
}

// awaitStats waits until the relay's figures are so.
func (w *world) awaitStats(t *testing.T, what string, cond func(Stats) bool) {
	t.Helper()
	eventually(t, what, func() bool { return cond(w.run.relay.Stats()) })
}

// must is for steps of a row that have to work.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
