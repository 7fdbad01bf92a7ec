package batch

import (
	"fmt"

	"farthing/money"
)

// Direction says which way a line's amount goes. The zero value is None.
type Direction uint8

// The directions of a line.
const (
	None    Direction = iota // nothing to pay or collect
	Pay                      // from the operator to the participant
	Collect                  // from the participant to the operator
)

var directionTexts = [...]string{None: "none", Pay: "pay", Collect: "collect"}

// String returns the word that records use: none, pay or collect.
func (d Direction) String() string {
	if int(d) >= len(directionTexts) {
		panic(fmt.Sprintf("BUG: batch: direction %d", d))
	}
	return directionTexts[d]
}

func parseDirection(text []byte) (Direction, bool) {
	for d, want := range directionTexts {
		if string(text) == want {
			return Direction(d), true
		}
	}
	return None, false
}

// Line is one participant's part of a batch. For every line, exactly:
//
//	carried_in + returned + gross_credits - gross_debits = signed amount + carried_out
//
// Lines are values; a Netter makes them and nothing changes them.
type Line struct {
	Line      uint32 // number from 1, in the order of accounts
	Account   string
	Direction Direction
	Amount    money.Amount // >= 0, whole minor units of the currency; 0 if and only if Direction is None

	GrossDebits  money.Amount
	GrossCredits money.Amount
	Returned     money.Amount
	CarriedIn    money.Amount
	CarriedOut   money.Amount
	Events       uint64 // usage events the account paid for
}

// Scope is what every line record of a batch repeats, so that each record
// stands alone. It is comparable.
type Scope struct {
	BatchID   [32]byte
	Partition uint32
	Window    uint64
	Currency  money.Currency
}

// Signed returns the amount with its sign: positive for pay, negative for
// collect.
func (l *Line) Signed() money.Amount {
	if l.Direction == Collect {
		return l.Amount.Neg()
	}
	return l.Amount
}

// AppendJSON appends the canonical (RFC 8785) value of the line's
// farthing.settlement.line.v1 record. It allocates only if dst has to grow. It
// panics when the line could not have come from a Netter.
func (l *Line) AppendJSON(dst []byte, s *Scope) []byte {
	dst = appendID(append(dst, `{"account":`...), l.Account)
	dst = appendAmount(append(dst, `,"amount":`...), l.Amount)
	dst = appendHash(append(dst, `,"batch_id":`...), &s.BatchID)
	dst = appendAmount(append(dst, `,"carried_in":`...), l.CarriedIn)
	dst = appendAmount(append(dst, `,"carried_out":`...), l.CarriedOut)
	dst = appendString(append(dst, `,"currency":`...), s.Currency.Code())
	dst = appendString(append(dst, `,"direction":`...), l.Direction.String())
	dst = appendUint(append(dst, `,"events":`...), l.Events)
	dst = appendAmount(append(dst, `,"gross_credits":`...), l.GrossCredits)
	dst = appendAmount(append(dst, `,"gross_debits":`...), l.GrossDebits)
	dst = appendUint(append(dst, `,"line":`...), uint64(l.Line))
	dst = appendUint(append(dst, `,"partition":`...), uint64(s.Partition))
	dst = appendAmount(append(dst, `,"returned":`...), l.Returned)
	dst = appendUint(append(dst, `,"window":`...), s.Window)
	return append(dst, '}')
}

// ParseLine reads a record that AppendJSON wrote: re-encoding what it returns
// gives the same bytes. Errors: ErrFormat for any other spelling, ErrEquation
// or ErrOverflow when the line does not add up. It keeps nothing of data.
func ParseLine(data []byte) (Scope, Line, error) {
	var s Scope
	var l Line
	c := cursor{rest: data, ok: true}
	l.Account = c.id(`{"account":`)
	l.Amount = c.amount(`,"amount":`)
	s.BatchID = c.hash(`,"batch_id":`)
	l.CarriedIn = c.amount(`,"carried_in":`)
	l.CarriedOut = c.amount(`,"carried_out":`)
	s.Currency = c.currency(`,"currency":`)
	l.Direction = c.direction(`,"direction":`)
	l.Events = c.uint(`,"events":`, numberMax)
	l.GrossCredits = c.amount(`,"gross_credits":`)
	l.GrossDebits = c.amount(`,"gross_debits":`)
	l.Line = uint32(c.uint(`,"line":`, lineMax))
	s.Partition = uint32(c.uint(`,"partition":`, partitionMax))
	l.Returned = c.amount(`,"returned":`)
	s.Window = c.uint(`,"window":`, numberMax)
	c.end(`}`)
	if !c.ok {
		return Scope{}, Line{}, fmt.Errorf("%w: line: at byte %d of %d", ErrFormat, len(data)-len(c.rest), len(data))
	}
	if err := l.check(s.Currency.Digits()); err != nil {
		return Scope{}, Line{}, err
	}
	return s, l, nil
}

const (
	lineMax      = 1<<32 - 1
	partitionMax = 1<<32 - 1
)

// check proves what must hold for a line alone.
func (l *Line) check(digits int) error {
	var bad string
	cut, _ := l.Amount.Cut(digits)
	switch {
	case l.Line == 0:
		bad = "line numbers start at 1"
	case l.Amount.Sign() < 0, cut != l.Amount:
		bad = "amount is not whole minor units"
	case (l.Direction == None) != l.Amount.IsZero():
		bad = "amount and direction disagree"
	case l.Account == OperatorAccount && l.Direction != None:
		bad = "the operator is neither paid nor collected"
	case l.GrossDebits.Sign() < 0, l.GrossCredits.Sign() < 0:
		bad = "negative gross sum"
	default:
		return l.checkEquation()
	}
	return fmt.Errorf("%w: account %q: %s", ErrEquation, l.Account, bad)
}

// checkEquation proves the line's equation. The sum of all its terms, the
// right side subtracted, is zero.
func (l *Line) checkEquation() error {
	sum := total{ok: true}
	sum.add(l.CarriedIn)
	sum.add(l.Returned)
	sum.add(l.GrossCredits)
	sum.sub(l.GrossDebits)
	sum.sub(l.Signed())
	sum.sub(l.CarriedOut)
	switch {
	case !sum.ok:
		return fmt.Errorf("%w: account %q", ErrOverflow, l.Account)
	case !sum.amount.IsZero():
		return fmt.Errorf("%w: account %q: off by %v", ErrEquation, l.Account, sum.amount)
	}
	return nil
}
