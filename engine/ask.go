package engine

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"

	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// topUpAsk is a request for money from outside; open until it is answered once.
type topUpAsk struct {
	id       string
	account  ledger.Ref
	amount   money.Amount
	byHand   bool
	seq      uint64
	time     int64
	answered uint64 // sequence of the answer; 0: open
	at       int64
	topUp    string // that paid it; empty: declined
}

// append writes a request as it is; a later entry of the same one replaces it.
func (q *topUpAsk) append(dst []byte) []byte {
	dst = appendBool(q.amount.AppendBinary(appendRef(dst, q.account)), q.byHand)
	for _, n := range [...]uint64{q.seq, uint64(q.time), q.answered, uint64(q.at)} {
		dst = binary.AppendUvarint(dst, n)
	}
	return appendBytes(dst, q.topUp)
}

func (r *reader) topUpAsk() *topUpAsk {
	q := &topUpAsk{account: r.ref(), amount: r.amount(), byHand: r.bool(), seq: r.uvarint(), time: int64(r.uvarint()), answered: r.uvarint(),
		at: int64(r.uvarint()), topUp: r.str()}
	q.id = fmt.Sprintf("tr-%d", q.seq)
	return q
}

// restoreAsk takes a request in as it was at some moment.
func (s *state) restoreAsk(q *topUpAsk, raw string) {
	if old := s.askID[q.id]; old != nil {
		*old = *q
		s.askLog = append(s.askLog, raw)
		return
	}
	s.enterAsk(q)
}

// ask raises a request. The one that raises itself has no id and follows from what moved the
// account.
type ask struct {
	name    string // of a request by hand
	account ledger.Ref
	amount  money.Amount
}

func (a *ask) kind() byte { return kindAsk }
func (a *ask) id() string { return a.name }
func (a *ask) append(dst []byte) []byte {
	return a.amount.AppendBinary(appendRef(appendBytes(dst, a.name), a.account))
}
func (r *reader) ask() *ask { return &ask{name: r.str(), account: r.ref(), amount: r.amount()} }

func (a *ask) check(s *state) *refusal.Refusal {
	if a.name == "" {
		return refusal.New(refusal.Invalid, "missing_field", "id is missing")
	}
	if refused := s.checkRoot(a.account); refused != nil {
		return refused
	}
	if refused := s.checkAmount(a.account, a.amount); refused != nil {
		return refused
	}
	if n := s.node(a.account).request; n != 0 {
		return refusal.New(refusal.RequestConflict, "request_open", "top-up request %s of account %s is not answered yet", s.asks[n-1].id, s.people[a.account].ID)
	}
	return nil
}

func (a *ask) apply(s *state) {
	req := &topUpAsk{id: fmt.Sprintf("tr-%d", s.seq), account: a.account, amount: a.amount, byHand: a.name != "", seq: s.seq, time: s.time}
	s.enterAsk(req)
	node := s.mutNode(a.account)
	node.request = uint32(len(s.asks))
	by := "customer"
	if !req.byHand {
		by = "auto"
		if day := dayOf(s.time); node.day != day {
			node.day, node.raised = day, 0
		}
		node.raised++
	}
	data := map[string]any{"request": req.id, "amount": a.amount.String(), "currency": s.people[a.account].Currency.Code(), "by": by, "available": nil}
	if free, bounded := s.available(a.account); bounded {
		data["available"] = free.String()
	}
	s.notify(noticeAsk, a.account, data)
}

func (s *state) enterAsk(req *topUpAsk) {
	s.asks = append(s.asks, req)
	s.askID[req.id] = req
	s.asksOf[req.account] = append(s.asksOf[req.account], req)
	s.askLog = append(s.askLog, string(req.append(nil)))
}

func (a *ask) transfers(*tables) []transfer { return nil }

// reply answers a request: with a top-up of the reply's id, or by declining.
type reply struct {
	name      string
	request   string
	account   ledger.Ref
	paid      bool
	amount    money.Amount // of the top-up
	reference string
}

func (p *reply) kind() byte { return kindReply }
func (p *reply) id() string { return p.name }
func (p *reply) append(dst []byte) []byte {
	dst = appendRef(appendBytes(appendBytes(dst, p.name), p.request), p.account)
	return appendBytes(p.amount.AppendBinary(appendBool(dst, p.paid)), p.reference)
}

func (r *reader) reply() *reply {
	return &reply{name: r.str(), request: r.str(), account: r.ref(), paid: r.bool(), amount: r.amount(), reference: r.str()}
}

func (p *reply) check(s *state) *refusal.Refusal {
	req := s.askID[p.request]
	switch {
	case req == nil:
		return refusal.New(refusal.NotFound, "unknown_request", "there is no top-up request %s", p.request)
	case req.account != p.account || !meter.ValidID([]byte(p.name)):
		return refusal.New(refusal.Invalid, "invalid_id", "id must be 1 to 128 of A-Z a-z 0-9 . _ : - / @")
	case req.answered != 0:
		return refusal.New(refusal.RequestConflict, "request_answered", "top-up request %s was answered at sequence %d", p.request, req.answered)
	case !p.paid:
		return nil
	case s.topUps[p.name] != nil:
		return refusal.New(refusal.IDConflict, "id_conflict", "top-up %s was booked with other content", p.name)
	}
	return s.checkTopUp(p.topUp())
}

func (p *reply) topUp() *topUp {
	return &topUp{id: p.name, account: p.account, amount: p.amount, reference: p.reference}
}

// Back-off after declined requests.
const (
	declinedFirst = int64(time.Minute)
	declinedMax   = int64(24 * time.Hour)
)

func (p *reply) apply(s *state) {
	req := s.askID[p.request]
	req.answered, req.at = s.seq, s.time
	if p.paid {
		req.topUp = p.name
	}
	s.askLog = append(s.askLog, string(req.append(nil)))
	node := s.mutNode(p.account)
	node.request = 0
	if p.paid {
		node.declines, node.until = 0, 0
		s.applyTopUp(p.topUp()) // which watches the account
		return
	}
	node.until = s.time + backOff(node.declines)
	node.declines++
	s.watch(p.account) // which puts the next look on the agenda
}

// backOff is how long no request raises itself after so many declines before.
func backOff(declines uint32) int64 {
	if declines > 20 || declinedFirst > declinedMax>>declines || bits.LeadingZeros64(uint64(declinedFirst)) <= int(declines) {
		return declinedMax
	}
	return declinedFirst << declines
}

func (p *reply) transfers(*tables) []transfer {
	if !p.paid {
		return nil
	}
	return []transfer{{debit: ledger.NoRef, credit: p.account, debitClass: ledger.Cash, creditClass: ledger.Paid, amount: p.amount, reason: "topup", id: p.name}}
}

// watch looks at a root whose credit moved: is it low, does it want a top-up? What an expired
// grant was given back is no credit; its end follows, and looks then.
func (s *state) watch(root ledger.Ref) {
	if s.marks(root)&markWatch == 0 || s.marks(root)&markClosed != 0 || s.endsGrant(root) {
		return
	}
	free, bounded := s.available(root)
	if !bounded {
		return
	}
	set := s.settingsOf(root)
	if set.HasLow {
		s.watchLow(root, free, set.Low)
	}
	if set.Auto != nil && free.Cmp(set.Auto.Threshold) < 0 {
		s.wantTopUp(root, free, set.Auto)
	}
}

func (s *state) endsGrant(root ledger.Ref) bool {
	for _, b := range s.following {
		if g, ok := b.(*grantEnd); ok && g.account == root {
			return true
		}
	}
	return false
}

// watchLast looks at a root as watch does, unless grants of it are over whose end is due: the
// last of these looks. Else the grant of a period that is over would count beside the next one,
// and grants that end together would be told of, and topped up for, one by one.
func (s *state) watchLast(root ledger.Ref) {
	if s.marks(root)&markWatch == 0 {
		return
	}
	for n := s.ledger.Rows.At(uint32(root)).Grants; n != 0; n = s.ledger.Grants.At(n - 1).Next {
		if g := s.ledger.Grants.At(n - 1); g.Over(s.time) && g.Free().Sign() > 0 {
			return
		}
	}
	s.watch(root)
}

func (s *state) watchLow(root ledger.Ref, free, threshold money.Amount) {
	low := free.Cmp(threshold) < 0
	if low == s.node(root).low {
		return
	}
	s.mutNode(root).low = low
	if low {
		s.notify(noticeLow, root, map[string]any{"available": free.String(), "threshold": threshold.String()})
	}
}

// wantTopUp makes a request follow unless one is open, or the account has to wait.
func (s *state) wantTopUp(root ledger.Ref, free money.Amount, auto *AutoTopUp) {
	node := s.node(root)
	if node.request != 0 || s.asking(root) {
		return
	}
	if at := waits(&node, auto); at > s.time {
		s.lookLater(root, at)
		return
	}
	gap := auto.Threshold.MustSub(free)
	if amount, ok := gap.UpToMultiple(auto.Amount); ok && s.ledger.Fits(s.people[root].Currency, amount) {
		s.following = append(s.following, &ask{account: root, amount: amount})
	}
}

func (s *state) asking(root ledger.Ref) bool {
	for _, b := range s.following {
		if a, ok := b.(*ask); ok && a.account == root {
			return true
		}
	}
	return false
}

// lookLater puts an account that has to wait on the agenda. Only the last time it was put at counts.
func (s *state) lookLater(root ledger.Ref, at int64) {
	if s.lookAt[root] != at {
		s.lookAt[root] = at
		s.agenda.add(at, dueWatch, uint32(root))
	}
}

// waits is until when an account's requests have to wait.
func waits(node *nodeRow, auto *AutoTopUp) int64 {
	if node.raised < auto.MaxPerDay {
		return node.until
	}
	return max(node.until, (int64(node.day)+1)*nanosPerDay)
}

// waited reports whether an account that had to wait wants a request now.
func (s *state) waited(root ledger.Ref, now int64) bool {
	node, set := s.node(root), s.settingsOf(root)
	return s.wants(root) && waits(&node, set.Auto) <= now
}

// wants reports whether an account would have a request if it has not to wait.
func (s *state) wants(root ledger.Ref) bool {
	set := s.settingsOf(root)
	if set.Auto == nil || s.marks(root)&markClosed != 0 || s.node(root).request != 0 {
		return false
	}
	free, bounded := s.available(root)
	return bounded && free.Cmp(set.Auto.Threshold) < 0
}
