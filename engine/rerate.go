package engine

import (
	"encoding/binary"
	"time"

	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// A rerate posts the difference that a price version put for the past makes: every event of a
// stretch of time that another version rated, and that the book gives to this one, is taken
// back and rated anew in one command. What periods count is kept by terms (counter.go), so in
// the end months cost what they would if the version had been there from the start, whatever
// the order and whatever came in between; what settlement windows count, counts in the open one.
//
// It begins with a command and goes on by itself, after a crash as well, until its last
// command; which events are left is seen from the events, so nothing is posted twice. Which
// events are its own is decided by the book as it was when it began.

// rerateJob is a rerate and what came of it.
type rerateJob struct {
	id        string
	version   uint32
	from, to  int64 // event times, to exclusive
	begun     uint64
	beganTime int64
	events    uint64 // rated anew
	totals    []rerateTotal
	done      uint64 // sequence of its end; 0: under way
	doneTime  int64
	// book is the versions there were when it began. Derived.
	book meter.Book
}

// rerateTotal is what a rerate moved in one currency: both sums are at least 0 as a rule, but
// signed where prices made ratings negative.
type rerateTotal struct {
	currency          money.Currency
	returned, charged money.Amount
}

// add counts an amendment.
func (j *rerateJob) add(c money.Currency, a *amendment) {
	var t *rerateTotal
	for i := range j.totals {
		if j.totals[i].currency == c {
			t = &j.totals[i]
		}
	}
	if t == nil {
		j.totals = append(j.totals, rerateTotal{currency: c})
		t = &j.totals[len(j.totals)-1]
	}
	j.events++
	t.returned = t.returned.MustSub(a.old.amount)
	t.charged = t.charged.MustAdd(a.new.amount)
}

func (j *rerateJob) append(dst []byte) []byte {
	dst = appendBytes(dst, j.id)
	dst = binary.AppendUvarint(dst, uint64(j.version))
	dst = binary.AppendUvarint(dst, uint64(j.from))
	return binary.AppendUvarint(dst, uint64(j.to))
}

func (r *reader) rerate() *rerateJob {
	return &rerateJob{id: r.str(), version: uint32(r.uvarint()), from: int64(r.uvarint()), to: int64(r.uvarint())}
}

// same reports whether two commands ask for the same.
func (j *rerateJob) same(o *rerateJob) bool {
	return j.id == o.id && j.version == o.version && j.from == o.from && j.to == o.to
}

// appendState writes a job with its progress for a checkpoint.
func (j *rerateJob) appendState(dst []byte) []byte {
	dst = j.append(dst)
	for _, n := range [...]uint64{j.begun, uint64(j.beganTime), j.events, j.done, uint64(j.doneTime), uint64(len(j.totals))} {
		dst = binary.AppendUvarint(dst, n)
	}
	for i := range j.totals {
		t := &j.totals[i]
		dst = append(dst, t.currency.Code()...)
		dst = t.charged.AppendBinary(t.returned.AppendBinary(dst))
	}
	return dst
}

func (r *reader) rerateState() *rerateJob {
	j := r.rerate()
	j.begun, j.beganTime, j.events, j.done, j.doneTime = r.uvarint(), int64(r.uvarint()), r.uvarint(), r.uvarint(), int64(r.uvarint())
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		j.totals = append(j.totals, rerateTotal{currency: r.currency(), returned: r.amount(), charged: r.amount()})
	}
	return j
}

// reratesMax bounds the rerates of a ledger: each stays in memory and in every checkpoint.
const reratesMax = 10_000

// checkRerate says whether a rerate may begin.
func (s *state) checkRerate(j *rerateJob) *refusal.Refusal {
	switch {
	case !meter.ValidID([]byte(j.id)):
		return refusal.New(refusal.Invalid, "invalid_id", "id must be 1 to 128 of A-Z a-z 0-9 . _ : - / @")
	case j.from < 0 || j.to <= j.from:
		return refusal.New(refusal.Invalid, "invalid_time", "from must be before to, and not before 1970")
	case s.keptFrom(j.from) != nil:
		return s.keptFrom(j.from)
	case len(s.rerates) >= reratesMax:
		return refusal.New(refusal.Invalid, "too_many_rerates", "a ledger keeps at most %d rerates", reratesMax)
	case len(s.rerates) > 0 && s.rerates[len(s.rerates)-1].done == 0:
		return refusal.New(refusal.Overloaded, "rerate_running", "rerate %s is under way; retry when it is done", s.rerates[len(s.rerates)-1].id)
	}
	return nil
}

// applyRerate begins a rerate that was checked.
func (s *state) applyRerate(j *rerateJob) {
	j.begun, j.beganTime = s.seq, s.time
	s.enterRerate(j)
}

func (s *state) enterRerate(j *rerateJob) {
	s.rerateID[j.id] = uint32(len(s.rerates))
	s.rerates = append(s.rerates, j)
	s.bindRerate(j)
}

// bindRerate gives a rerate the book as it was when it began.
func (s *state) bindRerate(j *rerateJob) {
	j.book = meter.Book{}
	for _, v := range s.versions {
		if v.Sequence < j.begun {
			j.book.Add(v.Version)
		}
	}
}

// Rerate begins to post the difference that a version makes for past events, and returns as
// soon as that is durable; RerateStatus tells how far it is. The same id with the same
// content gives the rerate as it is.
func (e *Engine) Rerate(r RerateSpec) (answer Rerate, created bool, refused *refusal.Refusal) {
	from, to, refused := timeRange(r.From, r.To)
	if refused != nil {
		return answer, false, refused
	}
	unavailable := e.do(func(s *sequencer) bool {
		st := s.state
		v := st.byVersion[r.Version]
		n, there := st.rerateID[r.ID]
		switch {
		case there && (v == nil || !st.rerates[n].same(&rerateJob{id: r.ID, version: v.Version.Index, from: from, to: to})):
			refused = refusal.New(refusal.IDConflict, "id_conflict", "rerate %s was begun with other content", r.ID)
			return false
		case there:
			answer = st.rerateView(st.rerates[n])
			return false
		case v == nil:
			refused = unknownVersion(r.Version)
			return false
		}
		job := &rerateJob{id: r.ID, version: v.Version.Index, from: from, to: to}
		if refused = st.checkRerate(job); refused != nil {
			return false
		}
		s.command(kindRerate, job.append(nil))
		st.applyRerate(job)
		answer, created = st.rerateView(job), true
		return false
	})
	if unavailable == nil && created {
		e.pokeRepricer()
	}
	return answer, created, firstOf(unavailable, refused)
}

// RerateStatus shows a rerate.
func (e *Engine) RerateStatus(id string) (answer Rerate, refused *refusal.Refusal) {
	unavailable := e.do(func(s *sequencer) bool {
		if n, ok := s.state.rerateID[id]; ok {
			answer = s.state.rerateView(s.state.rerates[n])
		} else {
			refused = refusal.New(refusal.NotFound, "unknown_rerate", "there is no rerate %s", id)
		}
		return false
	})
	return answer, firstOf(unavailable, refused)
}

func (s *state) rerateView(j *rerateJob) Rerate {
	out := Rerate{ID: j.id, Version: s.versions[j.version].Version.ID, State: "running", Sequence: j.begun, Time: timeOf(j.beganTime), Events: j.events}
	if j.from > 0 {
		out.From = timeOf(j.from)
	}
	if j.to < timeMax {
		out.To = timeOf(j.to)
	}
	if j.done != 0 {
		out.State, out.Done = "done", timeOf(j.doneTime)
	}
	for _, t := range j.totals {
		out.Totals = append(out.Totals, RerateTotal{t.currency, t.returned, t.charged})
	}
	return out
}

// timeRange reads a stretch of event times; zero ends are open.
func timeRange(from, to time.Time) (int64, int64, *refusal.Refusal) {
	a, b := int64(0), timeMax
	if !from.IsZero() {
		if from.Year() < 1970 || from.Year() > 2200 {
			return 0, 0, refusal.New(refusal.Invalid, "invalid_time", "from must lie between 1970 and 2200")
		}
		a = from.UnixNano()
	}
	if !to.IsZero() {
		if to.Year() < 1970 || to.Year() > 2200 {
			return 0, 0, refusal.New(refusal.Invalid, "invalid_time", "to must lie between 1970 and 2200")
		}
		b = to.UnixNano()
	}
	if a >= b {
		return 0, 0, refusal.New(refusal.Invalid, "invalid_time", "from must be before to")
	}
	return a, b, nil
}

// timeMax is later than every event: the end of year 2200.
var timeMax = time.Date(2201, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()

func unknownVersion(id string) *refusal.Refusal {
	return refusal.New(refusal.NotFound, "unknown_version", "there is no price version %s", id)
}
