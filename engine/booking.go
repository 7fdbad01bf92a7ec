package engine

import (
	"cmp"
	"encoding/binary"
	"fmt"

	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// booking is a command of prepaid credit that is neither an event nor an operation on a hold: it is
// asked for by an id of its own, follows from the command before it, or is due at a time. Its
// payload is all that was said and all that it moves, so that equal payloads are the same
// request, and statements need nothing else.
type booking interface {
	kind() byte
	append(dst []byte) []byte
	// check says whether it may be booked now. It changes nothing, and nothing of apply may fail
	// after it. Replay asks it as well: a journal may say anything.
	check(s *state) *refusal.Refusal
	apply(s *state)
	// transfers is what it moves, for statements.
	transfers(t *tables) []transfer
}

// transfer is one movement of a booking. NoRef is the operator.
type transfer struct {
	debit, credit           ledger.Ref
	debitClass, creditClass ledger.Class
	amount                  money.Amount
	reason, id, grant       string
	batch                   string // hex id, of results of its lines
}

// parseBooking decodes the payload of a booking.
func parseBooking(kind byte, r *reader) booking {
	switch kind {
	case kindGrant:
		return r.grant()
	case kindGrantEnd:
		return r.grantEnd()
	case kindRefund:
		return r.refund()
	case kindMove:
		return r.move()
	case kindStatus:
		return r.status()
	case kindLimits:
		return r.limits()
	case kindSettings:
		return r.settings()
	case kindNotice:
		return r.notice()
	case kindAsk:
		return r.ask()
	case kindReply:
		return r.reply()
	case kindSubscribe:
		return r.subscribe()
	case kindChange:
		return r.change()
	case kindPeriod:
		return r.period()
	case kindLook:
		return r.look()
	case kindResult:
		return r.lineResult()
	}
	return nil
}

// follows reports whether commands of a kind come only as what follows from another.
func follows(kind byte) bool { return kind == kindNotice }

// bookedID is an id that was used: for what, and where.
type bookedID struct {
	key     string // kind and id
	payload string
	seq     uint64
	time    int64
}

func (b *bookedID) booked() Booked { return Booked{b.seq, timeOf(b.time)} }

func bookedKey(kind byte, id string) string { return string(kind) + id }

// remember keeps the id of the booking at the current sequence for ever.
func (s *state) remember(kind byte, id string, payload []byte) {
	s.enterBooked(&bookedID{bookedKey(kind, id), string(payload), s.seq, s.time})
}

func (s *state) enterBooked(b *bookedID) {
	s.booked[b.key] = b
	s.bookedLog = append(s.bookedLog, b)
}

// identified is a booking that is asked for by an id; empty: it was given none.
type identified interface {
	booking
	id() string
}

// replacing is a booking that replaces something whole: without an id it is the same again as
// long as nothing else has replaced it.
type replacing interface {
	identified
	unchanged(s *state) bool
}

// accept books what a caller asks for. The same id with the same payload is what was booked
// before; nothing is booked then.
func (s *sequencer) accept(b identified) (at Booked, created bool, refused *refusal.Refusal) {
	payload, id := b.append(nil), b.id()
	if id != "" {
		if !meter.ValidID([]byte(id)) {
			return at, false, refusal.New(refusal.Invalid, "invalid_id", "id must be 1 to 128 of A-Z a-z 0-9 . _ : - / @")
		}
		if old := s.state.booked[bookedKey(b.kind(), id)]; old != nil {
			if old.payload != string(payload) {
				return at, false, refusal.New(refusal.IDConflict, "id_conflict", "the id %s was used at sequence %d with other content", id, old.seq)
			}
			return old.booked(), false, nil
		}
	}
	if same, ok := b.(replacing); ok && id == "" && same.unchanged(s.state) {
		return Booked{s.state.seq, timeOf(s.state.clock())}, false, nil
	}
	if refused := b.check(s.state); refused != nil {
		return at, false, refused
	}
	s.commit(b, payload)
	at = Booked{s.state.seq, timeOf(s.state.time)}
	s.follow()
	return at, true, nil
}

// commit journals and applies a booking that was checked.
func (s *sequencer) commit(b booking, payload []byte) {
	s.command(b.kind(), payload)
	s.state.applyBooking(b, payload)
}

func (s *state) applyBooking(b booking, payload []byte) {
	b.apply(s)
	if x, ok := b.(identified); ok && x.id() != "" {
		s.remember(b.kind(), x.id(), payload)
	}
}

// follow journals what follows from the command before: notifications, requests, what an
// expired grant was given back. It is part of the same group, so nothing can come between.
func (s *sequencer) follow() {
	for len(s.state.following) > 0 {
		b := s.state.following[0]
		s.state.following = s.state.following[1:]
		s.commit(b, b.append(nil))
	}
	s.state.following = nil
}

// applyBooking is replay's part: what follows has to be what the state says.
func (p *replayer) applyBooking(kind byte, payload []byte) error {
	r := reader{p: payload}
	b := parseBooking(kind, &r)
	if err := r.end(); err != nil || b == nil {
		return cmp.Or(err, errCodec)
	}
	s := p.state
	if len(s.following) > 0 {
		next := s.following[0]
		if next.kind() != kind || string(next.append(nil)) != string(payload) {
			return fmt.Errorf("what follows from the command before is missing or another")
		}
		s.following = s.following[1:]
		s.applyBooking(b, payload)
		return nil
	}
	if follows(kind) {
		return fmt.Errorf("it follows from no command")
	}
	if x, ok := b.(identified); ok && x.id() != "" && s.booked[bookedKey(kind, x.id())] != nil {
		return fmt.Errorf("the id %q is booked twice", x.id())
	}
	if refused := b.check(s); refused != nil {
		return refused
	}
	s.applyBooking(b, payload)
	return nil
}

// checkRoot is the first check of most bookings: the account is there and a customer, a root, and
// not closed.
func (s *state) checkRoot(ref ledger.Ref) *refusal.Refusal {
	if refused := s.checkCustomer(ref); refused != nil {
		return refused
	}
	if p := s.people[ref]; p.Root != ref {
		return refusal.New(refusal.Invalid, "not_a_root", "account %s holds no money: its root is %s", p.ID, s.people[p.Root].ID)
	}
	return nil
}

func (s *state) checkCustomer(ref ledger.Ref) *refusal.Refusal {
	if int(ref) >= len(s.people) {
		return refusal.New(refusal.NotFound, "unknown_account", "there is no such account")
	}
	p := s.people[ref]
	if p.Kind != ledger.Customer {
		return refusal.New(refusal.Invalid, "not_a_customer", "account %s is no customer", p.ID)
	}
	return s.checkOpen(ref)
}

// checkAmount bounds an amount that is moved.
func (s *state) checkAmount(ref ledger.Ref, amount money.Amount) *refusal.Refusal {
	if amount.Sign() <= 0 || amount.Cmp(amountMax) > 0 {
		return refusal.New(refusal.Invalid, "invalid_amount", "amount must be above 0 and at most %s", amountMax)
	}
	if !s.ledger.Fits(s.people[ref].Currency, amount) {
		return overflow()
	}
	return nil
}

// short refuses for want of funds, saying how much there is.
func (s *state) short(ref ledger.Ref, asked, left money.Amount) *refusal.Refusal {
	out := refusal.New(refusal.InsufficientFunds, "insufficient_funds", "account %s has %s for this, %s was asked", s.people[ref].ID, left, asked)
	out.Shortfall = &refusal.Shortfall{Account: s.people[ref].ID, Limit: "credit", Asked: asked.String(), Left: left.String()}
	return out
}

// transferLegs are the transfers of a booking as statements show them.
func transferLegs(list []transfer, t *tables) []EventTransfer {
	name := func(r ledger.Ref) string {
		if r == ledger.NoRef {
			return ledger.OperatorID
		}
		return t.people[r].ID
	}
	out := make([]EventTransfer, 0, len(list))
	for _, m := range list {
		out = append(out, EventTransfer{Debit: name(m.debit), Credit: name(m.credit), DebitClass: m.debitClass.String(), CreditClass: m.creditClass.String(),
			Amount: m.amount, Reason: m.reason, id: m.id, batch: m.batch, Grant: m.grant})
	}
	return out
}

// postTransfers lists a booking with everybody it moved.
func (p *postings) postTransfers(seq uint64, list []transfer, t *tables, x *earners) {
	for _, m := range list {
		for _, side := range [2]ledger.Ref{m.debit, m.credit} {
			if side != ledger.NoRef {
				p.addLocked(side, seq)
				continue
			}
			other := m.debit
			if other == ledger.NoRef {
				other = m.credit
			}
			p.addLocked(x.operator(t.people[other].Currency, t), seq)
		}
	}
}

func appendRef(dst []byte, r ledger.Ref) []byte { return binary.AppendUvarint(dst, uint64(r)) }
func (r *reader) ref() ledger.Ref               { return ledger.Ref(r.uvarint()) }
