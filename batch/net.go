package batch

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"farthing/money"
)

// Net turns the positions of a window into the lines of its batch, sorted by
// account (bytewise), and their sums. digits are those of the currency's minor
// unit. The order of the positions does not matter and they are not changed.
//
// A participant has a line when the window moved something on it (a gross sum,
// a returned amount, an event) or when there is something to pay or collect
// now; the operator has one whenever anybody else has. Without any line there
// is no batch: Net returns none and no error.
//
// Everything is checked before anything is returned. An error names the
// account where the books disagree: ErrPosition, ErrEquation, ErrUnbalanced,
// ErrOverflow or ErrRange. Nothing may be published then.
func Net(positions []Position, digits int) ([]Line, Sums, error) {
	order, err := sorted(positions)
	if err != nil {
		return nil, Sums{}, err
	}
	n := netting{digits: digits, lines: make([]Line, 0, len(order))}
	for _, i := range order {
		if err := n.position(&positions[i]); err != nil {
			return nil, Sums{}, err
		}
	}
	return n.finish()
}

// netting is the state of one Net call.
type netting struct {
	digits   int
	lines    []Line
	sums     Sums
	operator int // operator positions seen; their line stands in lines
	moved    bool
}

// position adds the line of p, if it has one.
func (n *netting) position(p *Position) error {
	if err := p.check(); err != nil {
		return err
	}
	net, ok := p.net()
	if !ok {
		return fmt.Errorf("%w: account %q", ErrOverflow, p.Account)
	}
	if err := p.checkNet(net); err != nil {
		return err
	}
	direction, amount := p.settle(n.digits)
	if p.Kind == Operator {
		n.operator++
		n.moved = p.moved()
	} else if !p.moved() && direction == None {
		return nil
	}
	return n.line(p, net, direction, amount)
}

// line appends the line and adds it to the sums.
func (n *netting) line(p *Position, net money.Amount, direction Direction, amount money.Amount) error {
	if len(n.lines) == lineMax {
		return fmt.Errorf("%w: more than %d lines", ErrRange, lineMax)
	}
	n.lines = append(n.lines, Line{
		Line: uint32(len(n.lines) + 1), Account: p.Account, Direction: direction, Amount: amount,
		GrossDebits: p.GrossDebits, GrossCredits: p.GrossCredits,
		Returned: p.Returned, CarriedIn: p.CarriedIn, Events: p.Events,
	})
	l := &n.lines[len(n.lines)-1]
	var ok bool
	if l.CarriedOut, ok = net.Sub(l.Signed()); !ok {
		return fmt.Errorf("%w: account %q", ErrOverflow, p.Account)
	}
	if err := l.check(n.digits); err != nil {
		return err
	}
	return n.sums.add(l)
}

// finish checks the batch as a whole.
func (n *netting) finish() ([]Line, Sums, error) {
	others := len(n.lines) - n.operator
	switch {
	case others > 0 && n.operator == 0:
		return nil, Sums{}, fmt.Errorf("%w: account %q is missing", ErrPosition, OperatorAccount)
	case others == 0 && n.moved:
		return nil, Sums{}, fmt.Errorf("%w: account %q moved against nobody", ErrUnbalanced, OperatorAccount)
	case others == 0:
		return nil, Sums{}, nil
	}
	if err := n.sums.check(); err != nil {
		return nil, Sums{}, err
	}
	return n.lines, n.sums, nil
}

// sortKey stands for a position while sorting: comparing strings far apart in
// memory costs a cache miss each, comparing eight bytes of them here does not.
type sortKey struct {
	prefix uint64 // of the account, behind what all accounts share
	index  uint32
}

// sorted returns the order of the positions by account. Two positions with one
// account are ErrPosition.
func sorted(positions []Position) ([]uint32, error) {
	if uint64(len(positions)) > lineMax {
		return nil, fmt.Errorf("%w: more than %d positions", ErrRange, lineMax)
	}
	shared := sharedPrefix(positions)
	keys := make([]sortKey, len(positions))
	for i := range positions {
		keys[i] = sortKey{prefixOf(positions[i].Account[shared:]), uint32(i)}
	}
	slices.SortFunc(keys, func(a, b sortKey) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return strings.Compare(positions[a.index].Account, positions[b.index].Account)
	})
	order := make([]uint32, len(keys))
	for i, k := range keys {
		order[i] = k.index
		if i > 0 && positions[k.index].Account == positions[keys[i-1].index].Account {
			return nil, fmt.Errorf("%w: account %q twice", ErrPosition, positions[k.index].Account)
		}
	}
	return order, nil
}

// sharedPrefix returns how many bytes all accounts but the operator's have in
// common at their start. The operator is left out because its id is fixed; it
// is never longer than what it shares, see prefixOf.
func sharedPrefix(positions []Position) int {
	if len(positions) == 0 {
		return 0
	}
	first, shared := positions[0].Account, len(positions[0].Account)
	for i := range positions {
		a := positions[i].Account
		shared = min(shared, len(a))
		for a[:shared] != first[:shared] {
			shared--
		}
	}
	return shared
}

// prefixOf returns the first eight bytes of s, padded with zeros, as a number
// that orders like them. Padding is safe: equal numbers are compared in full.
func prefixOf(s string) uint64 {
	var b [8]byte
	copy(b[:], s)
	return binary.BigEndian.Uint64(b[:])
}
