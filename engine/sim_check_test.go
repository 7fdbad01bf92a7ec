package engine

import (
	"bytes"
	"fmt"
	"slices"

	"farthing/journal"
	"farthing/ledger"
	"farthing/money"
)

// simCheck is what must hold after every step, whatever happened.
type simCheck struct {
	scanned   uint64            // sequences of the journal that were read
	booked    map[string]uint64 // identity of anything → its sequence
	returned  map[string]bool   // identities that were forgotten and booked again
	submitted map[string]bool   // identities
	other     map[string]bool   // identities of events that were also submitted with other content
	acked     map[string]uint64 // identities that were answered as booked → a sequence that the answer depends on
	ackedTo   uint64            // highest sequence of an answer
	marks     [6]uint64         // as they were last, of one process
	base      uint64            // up to which the history was dropped
	forgotten uint64            // up to which identities were, as far as was read
	forgets   uint64            // sequence of the last command that forgot
	streams   map[uint64][32]byte
	sums      map[uint64]string // window → what of it was sealed
}

func newSimCheck() simCheck {
	return simCheck{booked: map[string]uint64{}, returned: map[string]bool{}, submitted: map[string]bool{}, other: map[string]bool{}, acked: map[string]uint64{}, streams: map[uint64][32]byte{}, sums: map[uint64]string{}}
}

// crashed forgets what only held of the process.
func (c *simCheck) crashed(s *sim) {
	c.marks = [6]uint64{}
	c.scanned, c.forgotten = 0, 0
	if s.pebble == nil {
		c.base = min(c.base, s.disk.base.Seq) // a drop that was not durable
	}
	clear(c.booked)
}

// afterStep checks what is cheap; what costs more, when a group has become durable.
func (s *sim) afterStep() {
	if s.e == nil {
		return
	}
	m, c := &s.e.marks, &s.check
	now := [6]uint64{m.durable.load(), m.evidenced.load(), m.indexed.load(), m.checkpointed.load(), m.sealed.load(), m.dropped.load()}
	for i, seq := range now {
		if seq < c.marks[i] || seq > now[0] {
			s.failf("watermarks went from %v to %v", c.marks, now)
		}
	}
	if head := s.store.Head().Seq; now[0] > head || s.seq.state.seq < head {
		s.failf("durable %d, head %d, the state is at %d", now[0], head, s.seq.state.seq)
	}
	s.dropped()
	if c.marks = now; c.scanned >= now[0] {
		return
	}
	s.say("durable %d", now[0])
	s.scan(now[0])
	if err := s.seq.state.ledger.Balanced(); err != nil {
		s.failf("debits and credits: %v", err)
	}
	s.holdsAddUp()
}

// scan reads what has become durable: nothing is booked twice, and nothing that nobody asked for.
func (s *sim) scan(to uint64) {
	c := &s.check
	var cur cursor
	from := c.scanned
	err := s.whole().Blocks(from+1, func(b *journal.Block) error {
		if b.First == 1 {
			return nil
		}
		cur.reset(b.Body, b.First, b.Time, s.e.published.Load())
		for cur.next() {
			if cur.seq <= from || cur.seq > to {
				continue
			}
			if cur.kind == kindForget {
				r := reader{p: cur.payload}
				if c.forgotten = r.uvarint(); cur.seq > c.forgets {
					c.forgets = cur.seq
					s.count.forgets++
				}
			}
			for _, id := range usedUp(&cur) {
				if at, twice := c.booked[id]; twice && !c.mayReturn(id, at) {
					s.failf("%q is booked at %d and at %d", id, at, cur.seq)
				} else if twice {
					c.returned[id] = true
				}
				if c.booked[id] = cur.seq; !c.submitted[id] {
					s.failf("%q is booked at %d and nobody asked for it", id, cur.seq)
				}
			}
		}
		return cur.err()
	})
	if err != nil {
		s.failf("the journal: %v", err)
	}
	s.count.commandsRead += int(to - from)
	c.scanned = to
}

// usedUp is what a command uses up for ever.
func usedUp(c *cursor) (out []string) {
	if c.isEvent() {
		return []string{"event " + string(c.event.source) + "/" + string(c.event.id)}
	}
	r := reader{p: c.payload}
	switch c.kind {
	case kindAccount:
		if p := r.participant(); p.Kind != ledger.Operator {
			return []string{"account " + p.ID}
		}
	case kindPrices:
		return []string{"prices " + r.str()}
	case kindTopUp:
		return []string{"topup " + r.topUp().id}
	case kindCut:
		if id := r.cut().id; id != "" {
			return []string{"close " + id}
		}
	case kindRerate:
		return []string{"rerate " + r.rerate().id}
	case kindAmend:
		var a amendment
		if r.amendment(&a, c.t); a.op == amendVoid {
			return []string{"void " + a.id, "void of " + string(a.old.source) + "/" + string(a.old.id)}
		}
	case kindHold:
		return []string{"hold " + string(r.holdPlan(c.t).id)}
	case kindExtend:
		return []string{"extend " + r.extension(c.t).name}
	case kindResult:
		return []string{"result " + r.lineResult().name}
	default:
		if b, ok := parseBooking(c.kind, &r).(identified); ok && b.id() != "" {
			return []string{fmt.Sprintf("booking %d %s", c.kind, b.id())}
		}
	}
	return nil
}

// holdsAddUp: what is held of a root's pool and of each grant is what its open holds reserve.
func (s *sim) holdsAddUp() {
	st := s.seq.state
	sums, parts := map[ledger.Ref]money.Amount{}, map[uint32]money.Amount{}
	for n := range st.holds.rows.Len() {
		if row := st.holds.rows.At(n); row.seq != 0 {
			root, res := st.people[row.account].Root, st.holds.reserved(row, nil)
			sums[root] = sums[root].MustAdd(res.Pool)
			for _, p := range res.Parts {
				parts[p.Grant] = parts[p.Grant].MustAdd(p.Amount)
			}
		}
	}
	for n := range st.ledger.Grants.Len() {
		if g := st.ledger.Grants.At(n); g.Held.Cmp(parts[n]) != 0 || g.Left().Cmp(g.Held) < 0 {
			s.failf("of grant %d %s are left and %s held, its open holds are of %s", n, g.Left(), g.Held, parts[n])
		}
	}
	for i, p := range st.people {
		if ref := ledger.Ref(i); p.Kind == ledger.Customer && p.Root == ref && st.ledger.Rows.At(uint32(i)).Held.Cmp(sums[ref]) != 0 {
			s.failf("account %s holds %s, its open holds are of %s", p.ID, st.ledger.Rows.At(uint32(i)).Held, sums[ref])
		}
	}
}

// submit notes an identity that is asked for.
func (c *simCheck) submit(id string) { c.submitted[id] = true }

// answered notes an answer that depends on a sequence.
func (s *sim) answered(id string, seq uint64) {
	c := &s.check
	if head := s.store.Head().Seq; seq > head {
		s.failf("%s was answered with %d, durable is %d", id, seq, head)
	}
	c.ackedTo = max(c.ackedTo, seq)
	if id != "" {
		c.acked[id] = seq
	}
}

// opened checks what a new process has found: all that was answered, nothing but what was asked.
func (s *sim) opened() {
	c, head := &s.check, s.store.Head().Seq
	s.say("opened at %d", head)
	if head < c.ackedTo {
		s.failf("lost: the journal ends at %d, %d was answered", head, c.ackedTo)
	}
	s.scan(head)
	if st := s.seq.state; st.pending == nil && st.seq == head { // nothing has come since
		twin, err := replayed(s.whole())
		if err != nil || !bytes.Equal(canonical(st), canonical(twin)) {
			s.failf("at %d the state is another than the journal's from its beginning: %v", head, err)
		}
		s.count.replayed++
	}
	for _, id := range sortedKeys(c.acked) {
		if c.booked[id] == 0 {
			s.failf("lost: %s was answered and is gone", id)
		}
	}
	for _, w := range s.e.published.Load().windows {
		s.sealedSame(w)
	}
	for n := range c.sums {
		if n > uint64(len(s.e.published.Load().windows)) {
			s.failf("lost: window %d was sealed", n)
		}
	}
	s.verify()
}

// sealedSame checks that what was sealed once stays.
func (s *sim) sealedSame(w *window) {
	text := fmt.Sprintf("%+v", *w)
	if was, there := s.check.sums[w.number]; there && was != text {
		s.failf("window %d was sealed as %s, and is %s", w.number, was, text)
	}
	s.check.sums[w.number] = text
}

// verify derives everything anew from the journal.
func (s *sim) verify() {
	if _, err := verifyStore(s.store, nil); err != nil {
		s.failf("verify: %v", err)
	}
}

// published checks a record that is appended to the topic.
func (c *simCheck) published(s *sim, r simRecord) {
	if r.stream == 0 {
		return
	}
	if was, there := c.streams[r.stream]; there && was != r.sum {
		s.failf("record %d is published with two contents", r.stream)
	}
	c.streams[r.stream] = r.sum
	last := uint64(0)
	for i := len(s.broker.topic) - 1; i >= 0 && last == 0; i-- {
		last = s.broker.topic[i].stream
	}
	if r.stream != last+1 {
		s.failf("record %d is published after %d", r.stream, last)
	}
	s.count.records++
}

func sortedKeys(m map[string]uint64) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// finish brings everything to rest and compares it with what it has to be.
func (s *sim) finish() {
	s.broker.down, s.broker.lose, s.broker.late = false, 0, 0
	s.broker.arrive()
	s.calm()
	// A window that is sealed while we wait may be waited for in turn, by a relay that is still backing off.
	for n, all := 0, false; n < 5 && !all; n++ {
		s.wait(10 * s.backMax())
		s.calm()
		s.ask("published", func(e *Engine) { all = e.confirmed.Load() == e.Stats().SealedStream })
	}
	s.ask("finish", func(e *Engine) {
		records, err := e.Outbox().Records(1, 1<<30)
		if err != nil {
			s.failf("outbox: %v", err)
		}
		var topic []simRecord
		for _, r := range s.broker.topic {
			if r.stream != 0 {
				topic = append(topic, r)
			}
		}
		if len(topic) != len(records) || e.confirmed.Load() != uint64(len(records)) {
			s.failf("%d records are sealed, %d confirmed, %d published", len(records), e.confirmed.Load(), len(topic))
		}
		for i := range records {
			if want := simSum(&records[i]); topic[i].sum != want.sum {
				s.failf("record %d was published with another content", want.stream)
			}
		}
		s.count.seals = len(e.published.Load().windows)
		if err := equalsReplayOf(e, s.whole()); err != nil {
			s.failf("%v", err)
		}
		s.count.replayed++
		if s.credit {
			return
		}
		m := newModel(simTB{s.t, s}, s.w)
		m.replayOf(s.whole(), e.published.Load(), e.store.Head().Seq)
		m.compareFrom(e, e.store.Base().Seq)
		m.complete()
		s.count.compared++
	})
	s.calm()
	s.verify()
}

// ask has a client of its own ask the engine and waits for the answer.
func (s *sim) ask(name string, call func(*Engine)) {
	e := s.e
	s.clients++
	s.spawn(name, func() {
		call(e)
		s.clients--
	})
	s.calm()
}
