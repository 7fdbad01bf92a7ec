package engine

import (
	"crypto/sha256"
	"fmt"

	"github.com/zeebo/xxh3"

	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
)

// state is everything that is a pure function of the journal, identities excepted
// (identity.go). It belongs to one goroutine: the sequencer, or whoever replays.
//
// Every change is an apply method that the sequencer and replay share: the sequencer
// checks first and cannot fail after, replay trusts the journal and compares.
type state struct {
	tables
	genesis   genesis
	seq       uint64       // of the last applied command
	time      int64        // group time of it
	forgotten uint64       // identities of events at or below may be booked again
	now       int64        // what the next command's will be at least; not stored
	moving    ledger.Usage // of movement; not stored

	ledger    *ledger.Ledger
	accounts  nameIndex
	sourceID  map[string]uint32
	rates     *rates
	usage     usageTable
	byVersion map[string]*PriceVersion
	topUps    map[string]*topUp
	topUpLog  []*topUp // in order, for checkpoints
	unpriced  unpricedTable
	counters  counterTable
	month     monthCache
	amends    amendTable
	voids     map[string]*voidEntry // by id
	voidLog   []*voidEntry          // in order, for checkpoints
	credit
	results  resultTable
	rerates  []*rerateJob      // in order
	rerateID map[string]uint32 // by id

	windowFirst uint64             // sequence of the open window's first command
	closedBy    map[string]*window // closed windows by the id of the request that closed them; unsealed too
	pending     *pendingCut        // the window that was cut and is not sealed yet
	lastHash    map[money.Currency][32]byte
	nextStream  uint64 // stream_seq of the next record
}

// newState returns the state right after the genesis command.
func newState(g genesis) *state {
	s := &state{
		tables:  tables{sources: [][]byte{nil}},
		genesis: g, seq: 1,
		ledger:   ledger.New(1),
		sourceID: map[string]uint32{}, rates: newRates(g.seed),
		byVersion: map[string]*PriceVersion{}, topUps: map[string]*topUp{},
		unpriced: newUnpricedTable(), amends: newAmendTable(),
		voids: map[string]*voidEntry{}, rerateID: map[string]uint32{},
		credit: newCredit(), windowFirst: 1, closedBy: map[string]*window{}, lastHash: map[money.Currency][32]byte{}, nextStream: 1,
	}
	s.counters = newCounterTable(s.compareTerms)
	return s
}

func (s *state) hashOf(id []byte) uint64 { return xxh3.HashSeed(id, s.genesis.seed) }

func (s *state) findAccount(id []byte) (ledger.Ref, bool) {
	p, ok := s.accounts.find(s.hashOf(id), id)
	return p.ref, ok
}

// applySource interns the next source.
func (s *state) applySource(name []byte) uint32 {
	n := uint32(len(s.sources))
	s.sources = append(s.sources, name)
	s.sourceID[string(name)] = n
	return n
}

// applyShape interns the next shape.
func (s *state) applyShape(raw string) (uint32, error) {
	shape, err := meter.ParseShape([]byte(raw))
	if err != nil {
		return 0, err
	}
	n := uint32(len(s.shapes))
	s.shapes = append(s.shapes, &internedShape{shape: shape, raw: raw, hash: sha256.Sum256([]byte(raw))})
	s.rates.addShape(n, raw)
	return n, nil
}

// applyAccount creates a participant.
func (s *state) applyAccount(p *ledger.Participant) ledger.Ref {
	p.Sequence, p.Time = s.seq, s.time
	ref := s.ledger.Create(p)
	s.people = s.ledger.Participants()
	s.accounts.add(s.hashOf([]byte(p.ID)), ref, p)
	s.enterChild(ref)
	if p.Parent != ledger.NoRef {
		s.inherit(ref)
	}
	return ref
}

// applyPrices takes a price version into the book.
func (s *state) applyPrices(v *meter.Version) *PriceVersion {
	return s.enterVersion(&PriceVersion{Version: v, Sequence: s.seq, Time: timeOf(s.time)})
}

// enterVersion takes a version with its place in history into tables and book.
func (s *state) enterVersion(pv *PriceVersion) *PriceVersion {
	v := pv.Version
	pv.payees, pv.terms = make([]ledger.Ref, len(v.Prices)), make([][]uint32, len(v.Prices))
	for i := range v.Prices {
		if id := v.Prices[i].Payee; id != "" {
			ref, ok := s.findAccount([]byte(id))
			if !ok {
				panic("BUG: payee " + id + " of a price does not exist")
			}
			pv.payees[i] = ref
		}
	}
	v.Index = uint32(len(s.versions))
	s.versions = append(s.versions, pv)
	s.byVersion[v.ID] = pv
	s.rates.addVersion(v)
	for i := range v.Prices {
		pv.terms[i] = s.enterTerms(&v.Prices[i], v.Index)
	}
	return pv
}

// enterTerms numbers what a price's components count; nil: none counts.
func (s *state) enterTerms(p *meter.Price, version uint32) (numbers []uint32) {
	for k := range p.Components {
		if !p.Components[k].Counted() {
			continue
		}
		if numbers == nil {
			numbers = make([]uint32, len(p.Components))
		}
		numbers[k] = s.termsOf(s.rates.seriesOf(p.Series(k)), p.Terms(k), s.versions[version].Version.EffectiveFrom, version, &p.Components[k])
	}
	return numbers
}

// applyTopUp books a top-up that was checked.
func (s *state) applyTopUp(t *topUp) {
	s.ledger.TopUp(t.account, t.amount)
	t.seq, t.time = s.seq, s.time
	t.posted = s.ledger.Rows.At(uint32(t.account)).Posted(ledger.Customer)
	s.topUps[t.id] = t
	s.topUpLog = append(s.topUpLog, t)
	s.watch(t.account)
}

// applyEvent books an event that was rated and checked.
func (s *state) applyEvent(e *eventRecord, slot *rateSlot, amounts *ratingAmounts) {
	if e.reason != priced {
		s.unpriced.add(s.seq, e.reason, s.people[e.account].Currency, e.raw)
		at := s.time
		if len(e.hold.id) > 0 {
			n := s.mustFind(e.hold.id)
			at = s.holds.rows.At(n).since
			s.release(n)
		}
		s.charge(e.account, nil, at, money.Amount{}, 1, "") // it is a call, whatever it will cost
		return
	}
	u := s.movement(slot, e)
	if len(e.hold.id) > 0 {
		s.ledger.CountEvent(u.Payer)
		u.Scopes = s.scopesOf(e.shape)
		s.capture(s.mustFind(e.hold.id), u, e.hold.id, &e.split)
	} else {
		s.ledger.PostUsage(u, &e.split)
	}
	s.usage.add(e, amounts)
	s.count(slot, e, s.ledger.Window(), 1)
	if len(e.hold.id) == 0 && (s.marks(e.account)|s.marks(u.Payer))&(markLimits|markWatch) != 0 {
		s.charge(e.account, u.Scopes, s.time, e.amount, 1, "")
		s.watch(u.Payer)
	}
}

// mustFind finds an open hold that was looked up before.
func (s *state) mustFind(id []byte) uint32 {
	n, ok := s.holds.find(holdID(id, s.genesis.seed))
	if !ok {
		panic("BUG: a hold that is captured is not open")
	}
	return n
}

// applyClosing posts a slice of closing transfers.
func (s *state) applyClosing(c *closingSlice) error {
	p := s.pending
	if p == nil || p.window.number != c.window || p.closed[c.currency]+1 != c.first {
		return fmt.Errorf("closing slice of window %d at line %d is out of order", c.window, c.first)
	}
	for i := range c.lines {
		l := &c.lines[i]
		if err := s.checkClosing(c.currency, l); err != nil {
			return fmt.Errorf("closing slice of window %d: %w", c.window, err)
		}
		s.ledger.Close(l.account, l.signed, l.carried)
	}
	p.closed[c.currency] += uint32(len(c.lines))
	return nil
}

// checkClosing refuses a closing transfer that no netting gives. The sequencer's own always
// pass; a journal might say anything.
func (s *state) checkClosing(c money.Currency, l *closingLine) error {
	if int(l.account) >= len(s.people) {
		return fmt.Errorf("there is no account %d", l.account)
	}
	p := s.people[l.account]
	ok := p.Currency == c && s.ledger.FitsClosing(c, l.signed)
	switch p.Kind {
	case ledger.Customer:
		ok = ok && l.signed.Sign() <= 0
	case ledger.Provider:
		ok = ok && l.signed.Sign() >= 0
	default:
		ok = ok && l.signed.IsZero()
	}
	if !ok {
		return fmt.Errorf("account %s cannot be moved %s %s", p.ID, l.signed, c.Code())
	}
	return nil
}

// applySeal seals the pending window.
func (s *state) applySeal(c sealCommand) error {
	p := s.pending
	if p == nil || p.window.number != c.window {
		return fmt.Errorf("seal of window %d is out of order", c.window)
	}
	for i := range c.batches {
		b := &c.batches[i]
		if b.firstStream != s.nextStream || p.closed[b.currency] != b.lines {
			return fmt.Errorf("seal of window %d does not continue the stream", c.window)
		}
		s.nextStream = b.lastStream() + 1
		s.lastHash[b.currency] = b.hash
	}
	p.window.sealed, p.window.batches = s.seq, c.batches
	s.windows = append(s.windows, p.window)
	s.sealBatches(p.window)
	s.pending = nil
	return nil
}

// moved reports whether anything happened in the open window that a batch would show.
func (s *state) moved() bool {
	for _, i := range s.ledger.Currencies() {
		t := s.ledger.Totals(money.CurrencyAt(i))
		if t.Events > 0 || !t.GrossDebits.IsZero() || !t.GrossCredits.IsZero() {
			return true
		}
	}
	return s.ledger.HasReturned()
}
