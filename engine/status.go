package engine

import (
	"unicode/utf8"

	"farthing/ledger"
	"farthing/refusal"
)

// statusChange freezes, resumes or closes an account.
type statusChange struct {
	name    string
	account ledger.Ref
	to      accountStatus
	reason  string
}

var statusActions = [...]string{accountOpen: "resume", accountFrozen: "freeze", accountClosed: "close"}

func (c *statusChange) kind() byte { return kindStatus }
func (c *statusChange) id() string { return c.name }
func (c *statusChange) append(dst []byte) []byte {
	return appendBytes(append(appendRef(appendBytes(dst, c.name), c.account), byte(c.to)), c.reason)
}

func (r *reader) status() *statusChange {
	c := &statusChange{name: r.str(), account: r.ref(), to: accountStatus(r.byte()), reason: r.str()}
	if c.to > accountClosed {
		r.fail()
	}
	return c
}

func (c *statusChange) check(s *state) *refusal.Refusal {
	if refused := s.checkCustomer(c.account); refused != nil {
		return refused
	}
	if len(c.reason) > reasonMax || !utf8.ValidString(c.reason) {
		return refusal.New(refusal.Invalid, "invalid_reason", "reason must be at most %d bytes of UTF-8", reasonMax)
	}
	if c.to == accountClosed {
		return s.checkClosable(c.account)
	}
	return nil
}

// checkClosable says whether nothing is left of an account.
func (s *state) checkClosable(ref ledger.Ref) *refusal.Refusal {
	id, row := s.people[ref].ID, s.ledger.Rows.At(uint32(ref))
	conflict := func(reason, format string, args ...any) *refusal.Refusal {
		return refusal.New(refusal.AccountConflict, reason, format, args...)
	}
	if _, holds := s.held(ref); holds > 0 {
		return conflict("open_holds", "account %s has %d open holds at it or below it", id, holds)
	}
	for _, child := range s.children[ref] {
		if s.node(child).status != accountClosed {
			return conflict("open_children", "account %s is open below %s", s.people[child].ID, id)
		}
	}
	for _, n := range s.plansOf[ref] {
		if s.planRows.At(n).state == planActive {
			return conflict("open_subscriptions", "subscription %s of account %s goes on: cancel it", s.plans[n].id, id)
		}
	}
	if posted := row.Posted(ledger.Customer); !posted.IsZero() || !row.Granted.IsZero() || !row.Paid.Credit().IsZero() {
		return conflict("balance_not_zero", "account %s has a balance of %s", id, posted)
	}
	if !row.Transit.IsZero() {
		return conflict("balance_not_zero", "%s of account %s is in transit", row.Transit, id)
	}
	return nil
}

func (c *statusChange) apply(s *state) {
	s.mutNode(c.account).status = c.to
	s.below(c.account, s.inherit)
	switch c.to {
	case accountFrozen:
		s.notify(noticeSuspended, c.account, map[string]any{"reason": c.reason})
	case accountClosed:
		s.setMark(c.account, markClosed, true) // everything below is closed already
	case accountOpen:
	}
}

func (c *statusChange) transfers(*tables) []transfer { return nil }
