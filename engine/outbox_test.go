package engine

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"farthing/money"
)

// sealedRig has windows in two currencies, one of them empty, and the records they made.
func sealedRig(t *testing.T) (*rig, []Record) {
	r := standard(t, nil)
	for _, spec := range []AccountSpec{
		{ID: "yen", Currency: currencyOf("JPY"), Kind: "customer", Billing: "postpaid"},
		{ID: "idle", Currency: currencyOf("EUR"), Kind: "customer", Billing: "postpaid"},
	} {
		if _, _, refused := r.e.CreateAccount(spec); refused != nil {
			t.Fatal(refused)
		}
	}
	r.settle("empty")
	for window := range 3 {
		for i := range 5 {
			if got := r.post(llm(fmt.Sprintf("e%d-%d", window, i), "acme", "m1", 10000*i, 3000)); got.Accepted != 1 {
				t.Fatalf("%+v", got)
			}
		}
		if window == 1 {
			if _, _, refused := r.e.TopUp(TopUp{ID: "y", Account: "yen", Amount: amount(t, "500")}); refused != nil {
				t.Fatal(refused)
			}
		}
		r.settle(fmt.Sprint("w", window))
	}
	records, err := r.e.Outbox().Records(1, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return r, records
}

// TestOutboxRecords shows the stream: contiguous, a batch's lines in order and its
// manifest last, the same bytes that are read over the other doors.
func TestOutboxRecords(t *testing.T) {
	r, records := sealedRig(t)
	page, refused := r.e.Settlements("", 100)
	if refused != nil || len(page.Items) != 4 {
		t.Fatalf("%d batches: %v", len(page.Items), refused)
	}
	at := 0
	next := func() Record {
		t.Helper()
		if at == len(records) {
			t.Fatal("the stream ends early")
		}
		at++
		if records[at-1].StreamSeq != uint64(at) {
			t.Fatalf("record %d has stream_seq %d", at, records[at-1].StreamSeq)
		}
		return records[at-1]
	}
	for _, b := range page.Items {
		lines, refused := r.e.Lines(b.BatchID, "", 1000)
		if refused != nil || len(lines.Items) == 0 {
			t.Fatal(refused)
		}
		for n, line := range lines.Items {
			if got := next(); got.Type != TypeLine || string(got.Key) != b.BatchID || got.ID != fmt.Sprintf("%s/%d", b.BatchID, n+1) || !bytes.Equal(got.Value, line) {
				t.Fatalf("record %+v, want line %s", got, line)
			}
		}
		if got := next(); got.Type != TypeManifest || string(got.Key) != b.BatchID || got.ID != b.BatchID || !bytes.Equal(got.Value, b.Manifest) {
			t.Fatalf("record %+v, want manifest %s", got, b.Manifest)
		}
	}
	if at != len(records) || r.e.Stats().SealedStream != uint64(at) {
		t.Fatalf("%d records of %d belong to a batch; the last sealed is %d", at, len(records), r.e.Stats().SealedStream)
	}
}

// TestOutboxPages reads the stream with every small limit and from every place.
func TestOutboxPages(t *testing.T) {
	r, records := sealedRig(t)
	o := r.e.Outbox()
	for _, limit := range []int{1, 200, 400, 1000, 1001, 5000, 1 << 20} {
		for start := range records {
			got, err := o.Records(uint64(start)+1, limit)
			if err != nil || len(got) == 0 {
				t.Fatalf("from %d, %d bytes: %d records, %v", start+1, limit, len(got), err)
			}
			for i := range got {
				if fmt.Sprintf("%+v", got[i]) != fmt.Sprintf("%+v", records[start+i]) {
					t.Fatalf("from %d, %d bytes: record %d is %+v", start+1, limit, i, got[i])
				}
			}
			// The last record may pass the limit, the ones before it must not.
			if size := sizeOf(got[:len(got)-1]); size >= limit {
				t.Fatalf("from %d: %d records of %d bytes before the last, the limit is %d", start+1, len(got)-1, size, limit)
			}
			if start+len(got) < len(records) && sizeOf(got) < limit {
				t.Fatalf("from %d, %d bytes: only %d bytes came", start+1, limit, sizeOf(got))
			}
		}
	}
	for _, from := range []uint64{uint64(len(records)) + 1, 1 << 60} {
		if got, err := o.Records(from, 1000); err != nil || len(got) != 0 {
			t.Fatalf("from %d: %d records, %v", from, len(got), err)
		}
	}
	if got, err := o.Records(0, 1); err != nil || len(got) != 1 || got[0].StreamSeq != 1 {
		t.Fatalf("from 0: %+v, %v", got, err)
	}
}

// TestOutboxPosition walks a publication: an attempt, confirmations of which one ends
// inside a batch, offsets with a gap, a restart in between.
func TestOutboxPosition(t *testing.T) {
	r, records := sealedRig(t)
	position := func(want string) { t.Helper(); wantPosition(t, r, want) }
	published := func(want ...string) { t.Helper(); wantPublished(t, r, want) }
	confirm := func(first, last uint64, base, next int64) {
		t.Helper()
		err := r.e.Outbox().Confirm(Confirmation{First: first, Last: last, Topic: "t", Partition: 3, BaseOffset: base, NextOffset: next})
		if err != nil {
			t.Fatal(err)
		}
	}
	batches := lastOfBatches(records)
	if len(batches) != 4 {
		t.Fatalf("batches end at %v", batches)
	}
	position("confirmed 0, next offset 0")
	published("no", "no", "no", "no")
	a := Attempt{ProducerID: 1 << 40, Epoch: 7, Sequence: -1, First: 1, Last: 2}
	if err := r.e.Outbox().Attempt(a); err != nil {
		t.Fatal(err)
	}
	position(fmt.Sprintf("confirmed 0, next offset 0, attempt %+v", a))
	r.reopen()
	position(fmt.Sprintf("confirmed 0, next offset 0, attempt %+v", a))
	confirm(1, 2, 100, 102)
	position("confirmed 2 at t/3 101, next offset 102")
	published("no", "no", "no", "no") // its manifest does not stand there yet
	confirm(3, batches[1], 250, 300)
	first := fmt.Sprintf("t/3 100 to %d", 250+batches[0]-3)
	second := fmt.Sprintf("t/3 %d to %d", 250+batches[0]-3+1, 250+batches[1]-3)
	published(first, second, "no", "no")
	if s := r.e.Stats(); s.PublishedStream != batches[1] || s.OldestUnpublishedTime == 0 {
		t.Fatalf("%+v", s)
	}
	r.reopen()
	published(first, second, "no", "no")
	confirm(batches[1]+1, batches[3], 1000, 2000)
	third := fmt.Sprintf("confirmed %d at t/3 %d, next offset 2000", batches[3], 1000+batches[3]-batches[1]-1)
	position(third)
	if s := r.e.Stats(); s.OldestUnpublishedTime != 0 {
		t.Fatalf("%+v", s)
	}
	err := r.e.Outbox().Confirm(Confirmation{First: batches[3] + 1, Last: batches[3] + 1, Topic: "t"})
	if err == nil || !strings.Contains(err.Error(), "sealed") {
		t.Fatalf("what is not sealed was confirmed: %v", err)
	}
	r.reopen()
	position(third)
}

// wantPosition compares where the relay would begin.
func wantPosition(t *testing.T, r *rig, want string) {
	t.Helper()
	p, err := r.e.Outbox().Position()
	text := fmt.Sprintf("confirmed %d, next offset %d", p.Confirmed, p.NextOffset)
	if p.Confirmed > 0 {
		text = fmt.Sprintf("confirmed %d at %s/%d %d, next offset %d", p.Confirmed, p.Topic, p.Partition, p.Offset, p.NextOffset)
	}
	if p.Attempt != nil {
		text += fmt.Sprintf(", attempt %+v", *p.Attempt)
	}
	if err != nil || text != want {
		t.Fatalf("%s (%v), want %s", text, err, want)
	}
}

// wantPublished compares what is shown of each batch's place on Kafka.
func wantPublished(t *testing.T, r *rig, want []string) {
	t.Helper()
	page, refused := r.e.Settlements("", 100)
	if refused != nil || len(page.Items) != len(want) {
		t.Fatalf("%d batches, want %d: %v", len(page.Items), len(want), refused)
	}
	for i, b := range page.Items {
		text := "no"
		if p := b.Published; p != nil {
			text = fmt.Sprintf("%s/%d %d to %d", p.Topic, p.Partition, p.FirstOffset, p.LastOffset)
		}
		if text != want[i] {
			t.Fatalf("batch %d is published as %s, want %s", i, text, want[i])
		}
	}
}

// lastOfBatches is the stream_seq of every manifest.
func lastOfBatches(records []Record) (out []uint64) {
	for _, rec := range records {
		if rec.Type == TypeManifest {
			out = append(out, rec.StreamSeq)
		}
	}
	return out
}

// TestOutboxHandsOutOnlyWhatIsSealed follows the stream while windows are being closed by
// others: every record belongs to a window whose seal is durable.
func TestOutboxHandsOutOnlyWhatIsSealed(t *testing.T) {
	r := newRig(t, func(o *Options) { o.DedupWindow = 100 * day })
	a := newActivity(t, newWorld(r.base))
	a.found(r.e, 4)
	const windows = 25
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for range windows {
			a.run(r.e, 1, 1, 3, 4, nil)
			a.topUp(r.e, TopUp{ID: a.id("must"), Account: "c0-USD", Amount: money.FromWords(0, 1)})
			a.closeWindow(r.e, a.id("w"))
		}
	}()
	o, next := r.e.Outbox(), uint64(1)
	for finished := false; !finished; {
		changed := o.Changed()
		select {
		case <-closed:
			finished = true
		default:
		}
		records, err := o.Records(next, 700)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range records {
			if rec.StreamSeq != next {
				t.Fatalf("record %d after %d", rec.StreamSeq, next-1)
			}
			next++
			w, _, refused := r.e.findBatch(string(rec.Key))
			if refused != nil || w.sealed == 0 || w.sealed > r.e.marks.durable.load() {
				t.Fatalf("record %d of a window sealed at %+v, durable is %d (%v)", rec.StreamSeq, w, r.e.marks.durable.load(), refused)
			}
		}
		if len(records) > 0 {
			finished = false
			continue
		}
		if !finished {
			select {
			case <-changed:
			case <-closed:
			}
		}
	}
	if next-1 != r.e.Stats().SealedStream || next < windows {
		t.Fatalf("read up to %d, sealed are %d", next-1, r.e.Stats().SealedStream)
	}
}
