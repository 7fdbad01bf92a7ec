package engine

import (
	"fmt"
	"strings"
	"testing"

	"farthing/journal"
	"farthing/refusal"
)

// someNotices are notifications that no ledger made.
type someNotices struct {
	all     []Notification
	refused *refusal.Refusal
}

func (n *someNotices) Notifications(after uint64, limit int) ([]Notification, *refusal.Refusal) {
	if after >= uint64(len(n.all)) || n.refused != nil {
		return nil, n.refused
	}
	page := n.all[after:]
	return page[:min(limit, len(page))], nil
}

func (n *someNotices) NotificationsChanged() <-chan struct{} { return nil }

func noticesOf(count int) *someNotices {
	n := &someNotices{}
	for i := range count {
		account := fmt.Sprint("acme", i%3)
		n.all = append(n.all, Notification{Number: uint64(i + 1), Type: "credit.low", Account: account,
			JSON: fmt.Appendf(nil, `{"account":%q,"pad":%q,"sequence":%d}`, account, strings.Repeat("x", i%40), i+1)})
	}
	return n
}

// TestNoticeRecords reads the stream in every size of page and from every place.
func TestNoticeRecords(t *testing.T) {
	n := noticesOf(3*noticePage + 7)
	o := &NoticeOutbox{notices: n, ledger: "l"}
	all, err := o.Records(1, 1<<30)
	if err != nil || len(all) != len(n.all) {
		t.Fatalf("%d records: %v", len(all), err)
	}
	for i, r := range all {
		want := Record{StreamSeq: uint64(i + 1), Type: "farthing.notification.credit.low", ID: fmt.Sprint("ntf-l-", i+1), Key: []byte(n.all[i].Account), Value: n.all[i].JSON}
		if fmt.Sprintf("%+v", r) != fmt.Sprintf("%+v", want) {
			t.Fatalf("record %+v, want %+v", r, want)
		}
	}
	for _, limit := range []int{1, 100, 4000, 1 << 20} {
		for start := 0; start < len(all); start += 1 + start/3 {
			got, err := o.Records(uint64(start)+1, limit)
			if err != nil || len(got) == 0 || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", all[start:start+len(got)]) {
				t.Fatalf("from %d, %d bytes: %d records, %v", start+1, limit, len(got), err)
			}
			if size := sizeOf(got[:len(got)-1]); size >= limit || (start+len(got) < len(all) && sizeOf(got) < limit) {
				t.Fatalf("from %d, %d bytes: %d records of %d bytes", start+1, limit, len(got), sizeOf(got))
			}
		}
	}
	if got, err := o.Records(0, 1); err != nil || len(got) != 1 || got[0].StreamSeq != 1 {
		t.Errorf("from 0: %+v, %v", got, err)
	}
	if got, err := o.Records(uint64(len(all))+1, 100); err != nil || len(got) != 0 {
		t.Errorf("beyond the end: %+v, %v", got, err)
	}
	n.refused = draining()
	if _, err := o.Records(1, 100); err == nil {
		t.Error("no error")
	}
}

// TestStreamsAreApart publishes settlements and notifications side by side: neither sees the
// other's progress, and both outlive a restart.
func TestStreamsAreApart(t *testing.T) {
	r, _ := sealedRig(t)
	n := noticesOf(5)
	box := func() *NoticeOutbox { o := r.e.NoticeOutbox(); o.notices = n; return o }
	confirm := func(o interface{ Confirm(Confirmation) error }, first, last uint64, topic string) {
		t.Helper()
		if err := o.Confirm(Confirmation{First: first, Last: last, Topic: topic, BaseOffset: int64(100 + first), NextOffset: int64(101 + last)}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(settlements, notifications string) {
		t.Helper()
		for text, at := range map[string]interface{ Position() (Position, error) }{settlements: r.e.Outbox(), notifications: box()} {
			p, err := at.Position()
			if got := fmt.Sprintf("%d %s %d %v", p.Confirmed, p.Topic, p.Offset, p.Attempt); err != nil || got != text {
				t.Errorf("%s, want %s: %v", got, text, err)
			}
		}
	}
	want("0  0 <nil>", "0  0 <nil>")
	if err := box().Attempt(Attempt{ProducerID: 7, First: 1, Last: 2}); err != nil {
		t.Fatal(err)
	}
	want("0  0 <nil>", "0  0 &{7 0 0 1 2}")
	confirm(r.e.Outbox(), 1, 2, "s")
	confirm(box(), 1, 3, "n")
	confirm(box(), 4, 4, "n")
	want("2 s 102 <nil>", "4 n 104 <nil>")
	if s := r.e.Stats(); s.PublishedStream != 2 {
		t.Errorf("%d settlement records count as published", s.PublishedStream)
	}
	if err := box().Confirm(Confirmation{First: 5, Last: 6}); err == nil {
		t.Error("what there is not was confirmed")
	}
	r.reopen()
	want("2 s 102 <nil>", "4 n 104 <nil>")
	if r.e.Stats().PublishedStream != 2 {
		t.Error("after a restart")
	}
	for sealed, ok := range map[uint64]bool{3: false, 4: true, 9: true} {
		if err := r.e.noticeProgress().check(sealed); (err == nil) != ok {
			t.Errorf("of %d: %v", sealed, err)
		}
	}
	// A row that is missing in the middle is a gap.
	if err := r.e.store.Write([]journal.Row{{Space: journal.SpacePublisher, Key: box().confirmationKey(3), Delete: true}}, true); err != nil {
		t.Fatal(err)
	}
	if err := r.e.noticeProgress().check(9); err == nil || !strings.Contains(err.Error(), "do not go on after stream_seq 0") {
		t.Error(err)
	}
	if err := r.e.settlementProgress().check(9); err != nil {
		t.Error(err)
	}
}
