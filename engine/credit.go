package engine

import (
	"farthing/cow"
	"farthing/ledger"
	"farthing/limit"
)

// credit is the part of the state that prepaid credit adds: what accounts of a tree are, limits,
// open holds, settings, requests, subscriptions, and what was told of them.
type credit struct {
	nodes       cow.Table[nodeRow]
	nodeOf      []uint32 // by account, node + 1; derived
	children    map[ledger.Ref][]ledger.Ref
	limitRows   cow.Table[limit.Row] // limitInfo of the same number is in tables
	nodeLimits  [][]uint32           // by node: the limits in force; derived of limitLog
	over        chainLimits          // of the account of the operation under way
	limitDocs   map[ledger.Ref]string
	limitMeta   []limitMeta           // by row; derived
	limitsNamed map[limitKey][]uint32 // rows, the newest last; derived
	limitLog    []string              // what limits were put, in order
	settings    map[ledger.Ref]*settings
	setDocs     map[ledger.Ref]string
	setLog      []string // what settings were put, in order
	scopeID     map[string]uint32
	grantID     map[string]uint32
	holds       holdTable
	booked      map[string]*bookedID
	bookedLog   []*bookedID
	asks        []*topUpAsk
	askID       map[string]*topUpAsk
	asksOf      map[ledger.Ref][]*topUpAsk
	askLog      []string             // requests as they became, in order
	lookAt      map[ledger.Ref]int64 // when an account that waits is looked at; derived
	warnAgain   map[uint32]int64     // what rewarn put on the agenda; derived
	planID      map[string]uint32
	plansOf     map[ledger.Ref][]uint32
	planRows    cow.Table[planRow]
	nextNotice  uint64
	following   []booking // what has to follow from the last command
	agenda      agenda
}

func newCredit() credit {
	return credit{children: map[ledger.Ref][]ledger.Ref{}, limitDocs: map[ledger.Ref]string{}, limitsNamed: map[limitKey][]uint32{}, settings: map[ledger.Ref]*settings{}, setDocs: map[ledger.Ref]string{},
		scopeID: map[string]uint32{}, grantID: map[string]uint32{}, booked: map[string]*bookedID{},
		askID: map[string]*topUpAsk{}, asksOf: map[ledger.Ref][]*topUpAsk{}, lookAt: map[ledger.Ref]int64{}, warnAgain: map[uint32]int64{}, planID: map[string]uint32{}, plansOf: map[ledger.Ref][]uint32{}, nextNotice: 1}
}

// clock is the time of the next command, or of the current one.
func (s *state) clock() int64 { return max(s.time, s.now) }

// toCapture reports whether a due hold is to be captured as it was reported.
func (s *state) toCapture(n uint32) bool {
	row := s.holds.rows.At(n)
	return row.report != 0 && s.settingsOf(s.people[row.account].Root).Capture
}

// expireHolds does a bounded part of the holds that are due, in order.
func (s *sequencer) expireHolds(now int64) {
	if s.g.bytes >= s.e.o.GroupBytes {
		return
	}
	t := &s.state.holds
	t.wheel.advance(now, func(n uint32) dueHold { return dueHold{n, t.rows.At(n).due, t.rows.At(n).seq} })
	rows := s.dueRows[:0]
	for len(rows) < expireStep {
		h, ok := t.wheel.pop()
		if !ok {
			break
		}
		row := t.rows.At(h.row)
		switch {
		case row.seq != h.seq || row.due != h.due:
			continue // it ended, or goes on
		case row.due > now: // the wheel had fallen behind by more than a turn when it was put there
			t.wheel.add(h.row, row.due)
			continue
		}
		if s.state.toCapture(h.row) {
			s.abandoned = append(s.abandoned, h)
			continue
		}
		rows = append(rows, h.row)
	}
	if len(s.abandoned) > 0 {
		s.e.pokeAbandoned()
	}
	s.dueRows = rows
	if len(rows) > 0 {
		s.expire(rows)
	}
}

// expireStep is how many holds expire by one command: some milliseconds of the sequencer at most.
const expireStep = 1000

// expire ends due holds. It is called between commands.
func (s *sequencer) expire(rows []uint32) {
	st := s.state
	x := &holdExpiry{holds: make([]expiredHold, 0, len(rows))}
	for _, n := range rows {
		row := st.holds.rows.At(n)
		x.holds = append(x.holds, expiredHold{row.id, row.seq, row.last, row.amount, row.account})
	}
	s.command(kindExpire, x.append(nil))
	st.now = st.time
	st.applyExpiry(x)
	for i := range x.holds {
		s.endHold(x.holds[i].id)
	}
	s.follow()
}

func (s *state) applyExpiry(x *holdExpiry) {
	s.noticed(len(x.holds))
	for i := range x.holds {
		n, ok := s.holds.find(x.holds[i].id)
		if !ok {
			panic("BUG: a hold that expires is not open")
		}
		s.release(n)
	}
}
