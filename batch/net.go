package batch

import (
	"fmt"

	"farthing/money"
)

// Netter turns the positions of a window into the lines of its batch and their
// sums, one after the other: it keeps none of them.
//
// A participant has a line when the window moved something on it (a gross sum,
// a returned amount, an event) or when there is something to pay or collect
// now; the operator has one whenever anybody else has. Without any line there
// is no batch. A participant without a line may as well be left out.
//
// Every error names the account where the books disagree: ErrPosition,
// ErrEquation, ErrUnbalanced, ErrOverflow or ErrRange. Some of them are found
// only by Finish, when lines were emitted already: nothing may be published
// before that has returned.
type Netter struct {
	digits   int
	emit     func(*Line) error
	count    uint32 // lines emitted
	sums     Sums
	last     string // account of the position before
	line     Line   // being made
	operator Line   // the operator's, held back until somebody else has one; Line 0: none is held back
	seen     bool   // the operator's position came
	moved    bool   // and is not empty
}

// NewNetter returns a Netter that gives each line to emit, in the order of
// accounts. digits are those of the currency's minor unit. The line is valid
// during the call; the error of emit ends Add or Finish.
func NewNetter(digits int, emit func(*Line) error) *Netter {
	return &Netter{digits: digits, emit: emit}
}

// Add nets a position. Positions come in the order of their accounts
// (bytewise; see Order), each account once, or it is ErrPosition. p is not
// changed and not kept.
func (n *Netter) Add(p *Position) error {
	if err := p.check(); err != nil {
		return err
	}
	if p.Account <= n.last {
		return fmt.Errorf("%w: account %q after %q", ErrPosition, p.Account, n.last)
	}
	n.last = p.Account
	net, ok := p.net()
	if !ok {
		return fmt.Errorf("%w: account %q", ErrOverflow, p.Account)
	}
	if err := p.checkNet(net); err != nil {
		return err
	}
	direction, amount := p.settle(n.digits)
	if p.Kind == Operator {
		n.seen, n.moved = true, p.moved()
	} else if !p.moved() && direction == None {
		return nil
	}
	return n.make(p, net, direction, amount)
}

// make makes the line of a position and adds it to the sums.
func (n *Netter) make(p *Position, net money.Amount, direction Direction, amount money.Amount) error {
	if n.operator.Line != 0 {
		held := n.operator
		n.operator = Line{}
		if err := n.out(&held); err != nil {
			return err
		}
	}
	if n.count == lineMax {
		return fmt.Errorf("%w: more than %d lines", ErrRange, lineMax)
	}
	n.line = Line{
		Line: n.count + 1, Account: p.Account, Direction: direction, Amount: amount,
		GrossDebits: p.GrossDebits, GrossCredits: p.GrossCredits,
		Returned: p.Returned, CarriedIn: p.CarriedIn, Events: p.Events,
	}
	l := &n.line
	var ok bool
	if l.CarriedOut, ok = net.Sub(l.Signed()); !ok {
		return fmt.Errorf("%w: account %q", ErrOverflow, p.Account)
	}
	if err := l.check(n.digits); err != nil {
		return err
	}
	if err := n.sums.add(l); err != nil {
		return err
	}
	if p.Kind == Operator && n.count == 0 {
		n.operator = *l
		return nil
	}
	return n.out(l)
}

func (n *Netter) out(l *Line) error {
	n.count++
	return n.emit(l)
}

// Finish checks the batch as a whole and returns its number of lines and their
// sums; 0: there is no batch, and no line was emitted.
func (n *Netter) Finish() (lines uint32, sums Sums, err error) {
	others := n.count
	if n.seen && others > 0 {
		others-- // the operator's is among them: it is held back only as long as there is no other
	}
	switch {
	case others > 0 && !n.seen:
		return 0, Sums{}, fmt.Errorf("%w: account %q is missing", ErrPosition, OperatorAccount)
	case others == 0 && n.moved:
		return 0, Sums{}, fmt.Errorf("%w: account %q moved against nobody", ErrUnbalanced, OperatorAccount)
	case others == 0:
		return 0, Sums{}, nil
	}
	if err := n.sums.check(); err != nil {
		return 0, Sums{}, err
	}
	return n.count, n.sums, nil
}
