package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"

	"farthing/journal"
	"farthing/ledger"
	"farthing/refusal"
)

// noticeType is what a notification tells; its numbers are stored.
type noticeType uint8

const (
	noticeAsk noticeType = 1 + iota
	noticeLimit
	noticeLow
	noticeExpiring
	noticeHold // made of kindExpire commands, one for each hold
	noticeSuspended
	numNoticeTypes
)

var noticeNames = [numNoticeTypes]string{"", "topup.requested", "limit.reached", "credit.low", "grant.expiring", "hold.expired", "account.suspended"}

// notice is a notification. It follows from the command before it: the state says what has to
// be told, so that replay and a second look at the journal tell the same.
type notice struct {
	number  uint64
	what    noticeType
	account ledger.Ref
	data    string // canonical JSON object
}

func (n *notice) kind() byte { return kindNotice }

func (n *notice) append(dst []byte) []byte {
	dst = append(binary.AppendUvarint(dst, n.number), byte(n.what))
	return appendBytes(appendRef(dst, n.account), n.data)
}

func (r *reader) notice() *notice {
	n := &notice{number: r.uvarint(), what: noticeType(r.byte()), account: r.ref(), data: r.str()}
	if n.what == 0 || n.what >= numNoticeTypes {
		r.fail()
	}
	return n
}

func (n *notice) check(*state) *refusal.Refusal { return nil } // it only ever follows
func (n *notice) transfers(*tables) []transfer  { return nil }
func (n *notice) apply(s *state)                { s.noticed(1) }

// noticeRun says where notifications stand in the journal: those from first on are of the
// command at seq. A command that expires holds has one for each.
type noticeRun struct{ first, seq uint64 }

// noticed counts the notifications of the current command.
func (s *state) noticed(n int) {
	if n > 0 {
		s.notices = append(s.notices, noticeRun{s.nextNotice, s.seq})
		s.nextNotice += uint64(n)
		s.told = s.nextNotice - 1
	}
}

// notify makes a notification follow from the current command.
func (s *state) notify(what noticeType, account ledger.Ref, data map[string]any) {
	number := s.nextNotice
	for _, b := range s.following {
		if _, ok := b.(*notice); ok {
			number++
		}
	}
	s.following = append(s.following, &notice{number, what, account, canonicalObject(data)})
}

// appendText writes a JSON string as RFC 8785 says: only what has to be is escaped.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		c := s[i]
		short := strings.IndexByte("\b\t\n\f\r\"\\", c)
		switch {
		case short >= 0:
			dst = append(dst, '\\', `btnfr"\`[short])
		case c < 0x20:
			dst = append(dst, `\u00`...)
			dst = append(dst, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// canonicalObject writes an object of texts, whole numbers and nulls as RFC 8785 says.
func canonicalObject(data map[string]any) string {
	out := []byte{'{'}
	for i, key := range slices.Sorted(maps.Keys(data)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendText(out, key), ':')
		switch v := data[key].(type) {
		case nil:
			out = append(out, "null"...)
		case string:
			out = appendText(out, v)
		case uint64:
			out = strconv.AppendUint(out, v, 10)
		default:
			panic("BUG: a notification has a value of another type")
		}
	}
	return string(append(out, '}'))
}

// Notifications returns up to limit notifications after a number, in order.
func (e *Engine) Notifications(after uint64, limit int) ([]Notification, *refusal.Refusal) {
	done, refused := e.read()
	if refused != nil {
		return nil, refused
	}
	defer done()
	t := e.published.Load()
	i := sort.Search(len(t.notices), func(i int) bool { return t.notices[i].first > after+1 })
	if i > 0 {
		i--
	}
	if dropped := e.marks.dropped.load(); i < len(t.notices) && t.notices[i].seq <= dropped {
		kept := sort.Search(len(t.notices), func(i int) bool { return t.notices[i].seq > dropped })
		if after > 0 && after < t.told && (kept == len(t.notices) || after+1 < t.notices[kept].first) {
			return nil, e.exported("notifications_exported", t.notices[i].seq)
		}
		i = kept // the list begins with what is stored
	}
	var out []Notification
	blocks, ids := blockReader{e: e}, blockReader{e: e}
	for ; i < len(t.notices) && len(out) < limit; i++ {
		c, err := blocks.at(t.notices[i].seq)
		if err != nil {
			return nil, e.damaged(err)
		}
		if out, err = appendNotices(out, c, t.notices[i].first, after, limit, &ids); err != nil {
			return nil, e.damaged(err)
		}
	}
	return out, nil
}

// LastNotification is the number of the newest durable notification.
func (e *Engine) LastNotification() uint64 { return e.published.Load().told }

// appendNotices appends the notifications of a command whose first has a number.
func appendNotices(out []Notification, c *cursor, first, after uint64, limit int, ids *blockReader) ([]Notification, error) {
	r := reader{p: c.payload}
	switch c.kind {
	case kindNotice:
		n := r.notice()
		if err := r.end(); err != nil {
			return nil, err
		}
		if n.number > after {
			out = append(out, notification(n.number, n.what, c, n.account, n.data))
		}
	case kindExpire:
		list := r.expiry()
		if err := r.end(); err != nil {
			return nil, err
		}
		for i := range list.holds {
			h := &list.holds[i]
			if number := first + uint64(i); number > after && len(out) < limit {
				id, err := ids.holdName(h.seq)
				name := any(id)
				if errors.Is(err, journal.ErrDropped) {
					name, err = nil, nil // everybody who is told was told before (noticeBound)
				}
				if err != nil {
					return nil, err
				}
				data := canonicalObject(map[string]any{"amount": h.amount.String(), "hold": name})
				out = append(out, notification(number, noticeHold, c, h.account, data))
			}
		}
	default:
		return nil, fmt.Errorf("sequence %d has no notifications", c.seq)
	}
	return out, nil
}

// holdName is the id of the hold that a command placed.
func (b *blockReader) holdName(seq uint64) (string, error) {
	c, err := b.at(seq)
	if err != nil {
		return "", err
	}
	r := reader{p: c.payload}
	if id := r.str(); c.kind == kindHold && !r.bad {
		return id, nil
	}
	return "", fmt.Errorf("sequence %d places no hold", seq)
}

// notification makes what consumers get: keys in order, so that the bytes are canonical.
func notification(number uint64, what noticeType, c *cursor, account ledger.Ref, data string) Notification {
	n := Notification{Number: number, Type: noticeNames[what], Time: timeOf(c.time), Account: c.t.people[account].ID, Data: []byte(data)}
	b := append([]byte(`{"account":"`), n.Account...)
	b = append(append(b, `","data":`...), data...)
	b = strconv.AppendUint(append(b, `,"sequence":`...), number, 10)
	b = append(append(b, `,"time":"`...), n.Time.Format("2006-01-02T15:04:05.999999999Z")...)
	b = append(append(b, `","type":"`...), n.Type...)
	n.JSON = append(b, `"}`...)
	return n
}

// NotificationsChanged returns a channel that is closed once there may be more notifications
// than at the time of the call.
func (e *Engine) NotificationsChanged() <-chan struct{} { return e.noticed.changed() }
