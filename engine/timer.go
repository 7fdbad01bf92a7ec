package engine

import (
	"math"
	"slices"
	"time"

	"farthing/ledger"
	"farthing/money"
)

// A window closes on request, on time, or because a position has passed its threshold. Time and
// thresholds are options of a run and no part of the history: what they ask for is queued like a
// request without an id, and the journal only says that the window was closed.

// windowTimer is what the sequencer remembers of time and thresholds.
type windowTimer struct {
	nextTick int64 // when the window closes by time; 0: not known yet
	// look goes over the positions a few at a time: whether one is above its threshold. That is done
	// at the start and after a seal during whose settlement one had passed: it may be what the
	// settlement has just closed.
	looking  bool
	looked   ledger.Ref // those below were looked at
	lookSoon bool       // look once the window is sealed
}

// never is the time of no tick.
const never = math.MaxInt64

// tickAfter is the first time after t at which a window closes.
func (s *sequencer) tickAfter(t int64) int64 {
	if every := int64(s.e.o.SettleEvery); every != 0 {
		return (t/every + 1) * every
	}
	next := s.e.o.Schedule(timeOf(t))
	if next.IsZero() {
		return never
	}
	if at := next.UnixNano(); at > t {
		return at
	}
	panic("BUG: the schedule of windows goes back from " + timeOf(t).Format(time.RFC3339Nano))
}

// timer queues a close when a tick has passed and something happened in the window. Missed ticks
// close once.
func (s *sequencer) timer() {
	if (s.e.o.SettleEvery == 0 && s.e.o.Schedule == nil) || s.e.stopping() {
		return
	}
	now := max(s.state.time, s.e.now())
	if s.nextTick == 0 {
		s.nextTick = s.tickAfter(s.lastCut())
	}
	if now < s.nextTick {
		return
	}
	s.nextTick = s.tickAfter(now)
	if s.state.moved() {
		s.closeByItself(false)
	}
}

// closeByItself queues a close that nobody asked for, unless one is queued.
func (s *sequencer) closeByItself(threshold bool) {
	if !slices.ContainsFunc(s.closing, func(w *closeWait) bool { return w.request == nil && w.window == 0 }) {
		s.closing = append(s.closing, &closeWait{threshold: threshold})
	}
}

// lastCut is when the open window began.
func (s *sequencer) lastCut() int64 {
	switch st := s.state; {
	case st.pending != nil:
		return st.pending.window.time
	case len(st.windows) > 0:
		return st.windows[len(st.windows)-1].time
	default:
		return s.e.born
	}
}

// startWatching begins to watch positions, and looks at all of them: one may have passed before a
// crash, or the threshold may be new.
func (s *sequencer) startWatching() {
	if len(s.e.o.Thresholds) == 0 {
		return
	}
	thresholds := make([]money.Amount, money.Currencies())
	for c, amount := range s.e.o.Thresholds {
		thresholds[c.Index()] = amount
	}
	s.state.ledger.Watch(thresholds)
	s.lookSoon = true
}

// watchPositions queues a close when a position has passed its threshold. While a window is being
// settled nobody can tell by the balance: it still holds what the closing transfers will take.
func (s *sequencer) watchPositions() {
	if len(s.e.o.Thresholds) == 0 || s.e.stopping() {
		return
	}
	passed := s.state.ledger.Passed()
	if s.state.pending != nil {
		s.lookSoon = s.lookSoon || passed
		return
	}
	if s.lookSoon {
		s.looking, s.looked, s.lookSoon = true, 0, false
	}
	if !passed && s.looking {
		passed = s.look(snapshotStep)
	}
	if passed {
		s.looking = false
		s.closeByItself(true)
	}
}

// look looks at up to n positions and reports whether one is above its threshold.
func (s *sequencer) look(n int) bool {
	l := s.state.ledger
	end := min(len(s.state.people), int(s.looked)+n)
	for ; int(s.looked) < end; s.looked++ {
		if !l.Rows.At(uint32(s.looked)).Due.Settled() && l.Passes(s.looked) {
			return true
		}
	}
	s.looking = end < len(s.state.people)
	return false
}

// looksOn reports whether there are positions to look at now.
func (s *sequencer) looksOn() bool { return s.looking && s.state.pending == nil && !s.stopSeen }

// positionsClosed is called when a cut, or a seal, has made all that was known of positions old.
func (s *sequencer) positionsClosed() {
	if len(s.e.o.Thresholds) == 0 {
		return
	}
	s.closing = slices.DeleteFunc(s.closing, func(w *closeWait) bool { return w.threshold && w.window == 0 })
	s.lookSoon = s.state.ledger.Passed() || s.lookSoon || s.looking
	s.looking = false
}
