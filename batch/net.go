package batch

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

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
	for _, key := range order {
		if err := n.position(&positions[key.index]); err != nil {
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
	operator int  // operator positions seen, 0 or 1; its line stands in lines
	moved    bool // the operator's position is not empty
}

// position adds the line of p, if it has one.
func (n *netting) position(p *Position) error {
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
	chunk uint64 // eight bytes of the account, big-endian, padded with zeros
	index uint32
}

// sorted checks the positions' form and returns them in the order of their
// accounts. Two positions with one account are ErrPosition.
func sorted(positions []Position) ([]sortKey, error) {
	if uint64(len(positions)) > lineMax {
		return nil, fmt.Errorf("%w: more than %d positions", ErrRange, lineMax)
	}
	keys := make([]sortKey, len(positions))
	for i := range positions {
		if err := positions[i].check(); err != nil {
			return nil, err
		}
		keys[i].index = uint32(i)
	}
	sortKeys(positions, keys, 0)
	for i := 1; i < len(keys); i++ {
		if a := positions[keys[i].index].Account; a == positions[keys[i-1].index].Account {
			return nil, fmt.Errorf("%w: account %q twice", ErrPosition, a)
		}
	}
	return keys, nil
}

// sortKeys sorts accounts that agree in their first from bytes: by the next
// eight bytes, then each run that agrees in these too by what follows. Accounts
// usually share long prefixes ("customer-000…"), so a fixed prefix would not
// tell them apart. Ids are at most 128 bytes without zeros: the recursion is
// 16 deep at most, and a padded chunk ends only where its account does.
func sortKeys(positions []Position, keys []sortKey, from int) {
	for i := range keys {
		keys[i].chunk = chunkAt(positions[keys[i].index].Account, from)
	}
	slices.SortFunc(keys, func(a, b sortKey) int { return cmp.Compare(a.chunk, b.chunk) })
	for start := 0; start < len(keys); {
		end := start + 1
		for end < len(keys) && keys[end].chunk == keys[start].chunk {
			end++
		}
		if end-start > 1 && byte(keys[start].chunk) != 0 { // 0: the accounts end here
			sortKeys(positions, keys[start:end], from+8)
		}
		start = end
	}
}

func chunkAt(account string, from int) uint64 {
	var b [8]byte
	copy(b[:], account[min(from, len(account)):])
	return binary.BigEndian.Uint64(b[:])
}
