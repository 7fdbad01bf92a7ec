package batch

import (
	"fmt"

	"farthing/money"
)

// Kind is the role of a participant. The zero value is no kind.
type Kind uint8

// The kinds of participants.
const (
	Customer Kind = iota + 1 // pays: collected its receivable
	Provider                 // earns: paid its payable
	Operator                 // the counterpart of all; exactly one per batch
)

// Position is what the books say about one participant at the cut.
//
// All amounts are in the batch's currency. The gross sums hold the window's
// transfers without closing and result transfers and without moves inside the
// participant.
type Position struct {
	Account string // id, 1 to 128 bytes; OperatorAccount for the operator and for it alone
	Kind    Kind

	CarriedIn    money.Amount // carried_out of the account's previous line, else 0
	Returned     money.Amount // signed: failed and returned results since then; the operator's is the other side of all others'
	GrossDebits  money.Amount // >= 0
	GrossCredits money.Amount // >= 0
	Events       uint64       // usage events the account paid for

	Receivable    money.Amount // customer: what it owes at the cut, >= 0
	Payable       money.Amount // provider: what it is owed at the cut; negative when it owes
	MinimumPayout money.Amount // provider: below this nothing is paid, >= 0
}

// net is what the participant has with us at the cut, before anything is paid
// or collected: carried_in + returned + gross_credits - gross_debits.
func (p *Position) net() (money.Amount, bool) {
	sum := total{ok: true}
	sum.add(p.CarriedIn)
	sum.add(p.Returned)
	sum.add(p.GrossCredits)
	sum.sub(p.GrossDebits)
	return sum.amount, sum.ok
}

// settle decides what the participant is paid or collected now, cut to digits
// decimal places. The rest stays in its account.
func (p *Position) settle(digits int) (Direction, money.Amount) {
	open, direction := money.Amount{}, None
	switch p.Kind {
	case Customer:
		open, direction = p.Receivable, Collect
	case Provider:
		if p.Payable.Sign() > 0 && p.Payable.Cmp(p.MinimumPayout) >= 0 {
			open, direction = p.Payable, Pay
		}
	case Operator: // the counterpart is never paid or collected
	}
	amount, _ := open.Cut(digits)
	if amount.IsZero() {
		return None, amount
	}
	return direction, amount
}

// moved reports whether the window touched the participant at all.
func (p *Position) moved() bool {
	return !p.GrossDebits.IsZero() || !p.GrossCredits.IsZero() || !p.Returned.IsZero() || p.Events > 0
}

// check reports what is wrong with the form of the position.
func (p *Position) check() error {
	var bad string
	switch {
	case !validID(p.Account):
		bad = "not an id"
	case p.Kind < Customer || p.Kind > Operator:
		bad = fmt.Sprintf("kind %d", p.Kind)
	case (p.Kind == Operator) != (p.Account == OperatorAccount):
		bad = "the operator's id and kind belong together"
	case p.GrossDebits.Sign() < 0, p.GrossCredits.Sign() < 0:
		bad = "negative gross sum"
	case p.Receivable.Sign() < 0, p.MinimumPayout.Sign() < 0:
		bad = "negative receivable or minimum payout"
	case p.Kind != Customer && !p.Receivable.IsZero(), p.Kind != Provider && !p.Payable.IsZero():
		bad = "receivable or payable of the wrong kind"
	case p.Events > numberMax:
		bad = "too many events"
	default:
		return nil
	}
	return fmt.Errorf("%w: account %q: %s", ErrPosition, p.Account, bad)
}

// checkNet compares the net from the flows with the balance from the accounts;
// they are kept independently of each other. A provider's payable is its net. A
// customer's net is its credit left minus its receivable, so it cannot be below
// the receivable alone.
func (p *Position) checkNet(net money.Amount) error {
	switch p.Kind {
	case Provider:
		if net != p.Payable {
			return fmt.Errorf("%w: account %q: net of flows %v, payable %v", ErrEquation, p.Account, net, p.Payable)
		}
	case Customer:
		credit, ok := net.Add(p.Receivable)
		if !ok {
			return fmt.Errorf("%w: account %q", ErrOverflow, p.Account)
		}
		if credit.Sign() < 0 {
			return fmt.Errorf("%w: account %q: net of flows %v, receivable only %v", ErrEquation, p.Account, net, p.Receivable)
		}
	case Operator: // has every other account; its net is proved by the sums
	}
	return nil
}

// total adds amounts up and remembers whether one sum was out of range.
type total struct {
	amount money.Amount
	ok     bool
}

func (t *total) add(a money.Amount) {
	sum, ok := t.amount.Add(a)
	t.amount, t.ok = sum, t.ok && ok
}

func (t *total) sub(a money.Amount) { t.add(a.Neg()) }
