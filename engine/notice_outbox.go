package engine

import (
	"errors"
	"fmt"
	"slices"

	"farthing/refusal"
)

// NotificationTypes are all types of notifications, sorted.
func NotificationTypes() []string { return slices.Sorted(slices.Values(noticeNames[1:])) }

// TypeNotification and a notification's type are the CloudEvents type of its record.
const TypeNotification = "farthing.notification."

// noticePage is how many notifications are read at once for the relay: some 100 KB.
const noticePage = 256

// notices is what the outbox of notifications needs from the engine.
type notices interface {
	Notifications(after uint64, limit int) ([]Notification, *refusal.Refusal)
	NotificationsChanged() <-chan struct{}
}

// NoticeOutbox is the stream of notifications as a publisher sees it. A notification is a
// record as soon as its command is durable; its number is the stream_seq.
type NoticeOutbox struct {
	progress
	notices notices
	ledger  string
}

// NoticeOutbox returns the outbox of notifications.
func (e *Engine) NoticeOutbox() *NoticeOutbox {
	return &NoticeOutbox{e.noticeProgress(), e, e.ledgerID}
}

// noticeProgress is how far the stream of notifications is published.
func (e *Engine) noticeProgress() progress { return progress{e.store, "n"} }

// Records returns notifications from a number on.
func (o *NoticeOutbox) Records(from uint64, maxBytes int) ([]Record, error) {
	var out []Record
	after := max(from, 1) - 1
	for size := 0; size < maxBytes; {
		page, refused := o.notices.Notifications(after, noticePage)
		if refused != nil {
			return nil, refused
		}
		for i := 0; i < len(page) && size < maxBytes; i++ {
			out = append(out, o.record(&page[i]))
			size += len(page[i].Account) + len(page[i].JSON)
			after = page[i].Number
		}
		if len(page) < noticePage {
			break
		}
	}
	return out, nil
}

// record is a notification as consumers get it. Keyed by account, so that those of one
// account stay in order whatever a consumer does with the topic.
func (o *NoticeOutbox) record(n *Notification) Record {
	return Record{StreamSeq: n.Number, Type: TypeNotification + n.Type, ID: fmt.Sprintf("ntf-%s-%d", o.ledger, n.Number),
		Key: []byte(n.Account), Value: n.JSON}
}

// Confirm makes durable where records stand and ends the attempt. What there is not cannot be
// confirmed.
func (o *NoticeOutbox) Confirm(c Confirmation) error { return o.confirmed(c, nil) }

// ConfirmAttempt is Confirm and the next Attempt in one write.
func (o *NoticeOutbox) ConfirmAttempt(c Confirmation, a Attempt) error { return o.confirmed(c, &a) }

func (o *NoticeOutbox) confirmed(c Confirmation, next *Attempt) error {
	last, refused := o.notices.Notifications(c.Last-1, 1)
	if refused != nil {
		return refused
	}
	if len(last) == 0 || last[0].Number != c.Last {
		return errors.New("a notification is said to be published that there is not")
	}
	return o.confirm(c, c.Last, next)
}

// Changed returns a channel that is closed once there may be more notifications.
func (o *NoticeOutbox) Changed() <-chan struct{} { return o.notices.NotificationsChanged() }
