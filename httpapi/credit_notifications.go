package httpapi

import (
	"encoding/json"
	"strconv"
	"time"

	"farthing/engine"
	"farthing/refusal"
)

// notificationWaitMax bounds how long an answer may wait for a notification: less than the
// minute after which proxies give up on a connection that is silent.
const notificationWaitMax = 30 * time.Second

// drainEvery is how often an answer that waits asks whether the server stops. It is well
// within drainGrace, so that waiting does not hold a stop up.
const drainEvery = 250 * time.Millisecond

func (s *Server) getNotifications(c *call) (answer, *refusal.Refusal) {
	q := c.query("after", "limit", "wait")
	_, limit := q.page()
	after, wait := q.after(), q.wait()
	if q.no != nil {
		return answer{}, q.no
	}
	if no := s.awaitNotification(after, wait); no != nil {
		return answer{}, no
	}
	if no := s.renders.enter(); no != nil {
		return answer{}, no
	}
	defer s.renders.leave()
	items, no := s.engine.Notifications(after, limit)
	if no != nil {
		return answer{}, no
	}
	next := ""
	if len(items) == limit {
		last := items[limit-1].Number
		more, no := s.engine.Notifications(last, 1)
		if no != nil {
			return answer{}, no
		}
		if len(more) > 0 {
			next = strconv.FormatUint(last, 10)
		}
	}
	return answer{}, s.writeJSON(c, answer{200, notificationsView(items, next)})
}

// after returns the number of the last notification that the client has.
func (q *query) after() uint64 {
	if !q.values.Has("after") {
		return 0
	}
	n, err := strconv.ParseUint(q.values.Get("after"), 10, 64)
	if err != nil {
		q.refuse("invalid_after", "after must be the number of a notification, or 0")
	}
	return n
}

// wait returns how long the answer may wait.
func (q *query) wait() time.Duration {
	if !q.values.Has("wait") {
		return 0
	}
	d, err := time.ParseDuration(q.values.Get("wait"))
	if err != nil || d < 0 || d > notificationWaitMax {
		q.refuse("invalid_wait", `wait must be a duration like "10s", at most %s`, notificationWaitMax)
	}
	return d
}

// awaitNotification returns once there is a notification after a number, the time is over or
// the server stops.
func (s *Server) awaitNotification(after uint64, wait time.Duration) *refusal.Refusal {
	if wait == 0 {
		return nil
	}
	over, drain := time.NewTimer(wait), time.NewTicker(drainEvery)
	defer over.Stop()
	defer drain.Stop()
	for !s.conns.draining() {
		changed := s.engine.NotificationsChanged() // before looking, so that none is missed
		items, no := s.engine.Notifications(after, 1)
		if no != nil || len(items) > 0 {
			return no
		}
		for waiting := true; waiting && !s.conns.draining(); {
			select {
			case <-changed:
				waiting = false
			case <-over.C:
				return nil
			case <-drain.C:
			}
		}
	}
	return nil
}

func notificationsView(items []engine.Notification, next string) list {
	v := list{Items: make([]any, 0, len(items)), Next: next}
	for i := range items {
		v.Items = append(v.Items, json.RawMessage(items[i].JSON))
	}
	return v
}
