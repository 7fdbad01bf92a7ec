package publish

import (
	"errors"
	"fmt"
	"testing"
)

// notifications returns records from..to of the other stream.
func notifications(from, to uint64) []Record {
	var out []Record
	for seq := from; seq <= to; seq++ {
		out = append(out, Record{StreamSeq: seq, Type: "farthing.notification.credit.low", ID: fmt.Sprint("ntf-l-", seq), Key: fmt.Append(nil, "acme", seq%3),
			Value: fmt.Appendf(nil, `{"sequence":%d}`, seq)})
	}
	return out
}

// TestTwoStreams publishes both streams of a ledger side by side. A second relay of one of them fences the first, and
// the other stream goes on as if nothing had happened.
func TestTwoStreams(t *testing.T) {
	onBoth(t, func(t *testing.T, c cluster) {
		n := c
		n.topic += ".n"
		settled, noted := settlement("a", 1, 60), notifications(1, 90)
		lines, notes := newBox(settled[:30]...), newBox(noted[:30]...)
		of := func(c cluster, stream string) Options {
			o := c.options(t)
			o.Ledger, o.Stream, o.MaxBatchBytes, o.CreateTopics = "streams-"+t.Name(), stream, 2<<10, true
			return o
		}
		first, second := of(c, ""), of(n, "notification")
		a, b := start(t, first, lines), start(t, second, notes)
		lines.awaitConfirmed(t, 30)
		notes.awaitConfirmed(t, 30)
		lines.seal(settled[30:45]...)
		notes.seal(noted[30:60]...)
		lines.awaitConfirmed(t, 45)
		notes.awaitConfirmed(t, 60)

		successor := notes.copy()
		d := start(t, second, successor)
		successor.seal(noted[60:75]...)
		successor.awaitConfirmed(t, 75)
		notes.seal(noted[60:75]...)
		if err := b.ended(t); !errors.Is(err, ErrFenced) {
			t.Fatalf("the first relay of notifications ended with %v", err)
		}
		lines.seal(settled[45:]...)
		lines.awaitConfirmed(t, 60)
		successor.seal(noted[75:]...)
		successor.awaitConfirmed(t, 90)
		if s := a.relay.Stats(); s.Sessions != 1 {
			t.Fatalf("the relay of settlements opened %d sessions", s.Sessions)
		}
		a.stop(t)
		d.stop(t)
		checkApplied(t, c, first, lines, settled)
		checkApplied(t, n, second, successor, noted)
		for _, r := range n.log(t) {
			if h := headers(r); h[headerStreamSeq] == "" && h[headerType] != "farthing.notification.fence.v1" {
				t.Errorf("a control record of type %q", h[headerType])
			}
		}
	})
}

// TestWrongStream: a topic that holds the other stream is none to publish to.
func TestWrongStream(t *testing.T) {
	c := fakeCluster(t)
	o := c.options(t)
	box := newBox(settlement("a", 1, 3)...)
	r := start(t, o, box)
	box.awaitConfirmed(t, 3)
	r.stop(t)
	o.Stream = "notification"
	if err := start(t, o, newBox(notifications(1, 3)...)).ended(t); !errors.Is(err, ErrForked) {
		t.Fatalf("ended with %v", err)
	}
}
