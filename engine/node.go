package engine

import (
	"farthing/ledger"
	"farthing/limit"
	"farthing/money"
	"farthing/period"
	"farthing/refusal"
)

// nodeRow is what an account has beside its money: its state, what is held at it or below it,
// and where its top-up requests stand. Accounts get one when they first need it.
type nodeRow struct {
	account ledger.Ref
	status  accountStatus
	// What PUT limits says of the overdraft, in place of what the account was created with.
	ownOverdraft, unlimited bool
	low                     bool // credit.low was told and credit has not been back since
	overdraft               money.Amount
	held                    money.Amount // of one that is no root
	holds                   uint64       // open holds at it or below, of one that is no root
	request                 uint32       // the open top-up request, + 1
	raised                  uint32       // requests raised by itself on day
	day                     int32
	declines                uint32 // in a row
	until                   int64  // no request raises itself before
}

type accountStatus uint8

const (
	accountOpen accountStatus = iota
	accountFrozen
	accountClosed
)

func (a accountStatus) String() string { return [...]string{"open", "frozen", "closed"}[a] }

// The marks of an account's ledger row: what else has to be looked at when it moves.
const (
	markLimits = 1 << iota // it or an account above it has limits
	markWatch              // its credit is watched (a root's)
	markClosed             // it or an account above it is closed
	markFrozen             // it or an account above it is frozen
)

// nodeAt is the node of an account, + 1; 0: it has none.
func (s *state) nodeAt(ref ledger.Ref) uint32 {
	if int(ref) >= len(s.nodeOf) {
		return 0
	}
	return s.nodeOf[ref]
}

// node returns an account's node for reading; one that it has not got is empty.
func (s *state) node(ref ledger.Ref) nodeRow {
	if n := s.nodeAt(ref); n != 0 {
		return *s.nodes.At(n - 1)
	}
	return nodeRow{account: ref}
}

// mutNode returns an account's node for changing, making it if need be.
func (s *state) mutNode(ref ledger.Ref) *nodeRow {
	n := s.nodeAt(ref)
	if n == 0 {
		n = s.nodes.Append(nodeRow{account: ref}) + 1
		s.enterNode(ref, n)
	}
	return s.nodes.Mut(n - 1)
}

func (s *state) enterNode(ref ledger.Ref, n uint32) {
	for int(ref) >= len(s.nodeOf) {
		s.nodeOf = append(s.nodeOf, make([]uint32, max(1024, len(s.nodeOf)))...)
	}
	s.nodeOf[ref] = n
}

// enterChild takes an account into its parent's list; what holds above holds for it.
func (s *state) enterChild(ref ledger.Ref) {
	if parent := s.people[ref].Parent; parent != ledger.NoRef {
		s.children[parent] = append(s.children[parent], ref)
	}
}

// below calls fn with an account and all below it.
func (s *state) below(ref ledger.Ref, fn func(ledger.Ref)) {
	fn(ref)
	for _, child := range s.children[ref] {
		s.below(child, fn)
	}
}

// chain calls fn with an account and those above it, up to the root, until it returns false.
func (s *state) chain(ref ledger.Ref, fn func(ledger.Ref) bool) {
	for ; ref != ledger.NoRef && fn(ref); ref = s.people[ref].Parent {
	}
}

func (s *state) marks(ref ledger.Ref) uint32 { return s.ledger.Rows.At(uint32(ref)).Marks }

// inherit sets the marks that an account has from those above it.
func (s *state) inherit(ref ledger.Ref) {
	frozen := false
	s.chain(ref, func(at ledger.Ref) bool {
		frozen = s.node(at).status == accountFrozen
		return !frozen
	})
	s.setMark(ref, markFrozen, frozen)
	s.setMark(ref, markLimits, s.hasLimits(ref))
}

func (s *state) setMark(ref ledger.Ref, mark uint32, on bool) {
	if row := s.ledger.Rows.At(uint32(ref)); (row.Marks&mark != 0) == on {
		return
	}
	row := s.ledger.Rows.Mut(uint32(ref))
	if on {
		row.Marks |= mark
	} else {
		row.Marks &^= mark
	}
}

// overdraft is how far below zero a root's credit may go.
func (s *state) overdraft(root ledger.Ref) ledger.Overdraft {
	if n := s.nodeAt(root); n != 0 {
		if row := s.nodes.At(n - 1); row.ownOverdraft {
			return ledger.Overdraft{Limit: row.overdraft, Unlimited: row.unlimited}
		}
	}
	p := s.people[root]
	return ledger.Overdraft{Limit: p.OverdraftLimit, Unlimited: p.Unlimited}
}

// available is what a new hold by amount may take of a root's credit; false: it is unlimited.
func (s *state) available(root ledger.Ref) (money.Amount, bool) {
	o := s.overdraft(root)
	if o.Unlimited {
		return money.Amount{}, false
	}
	row := s.ledger.Rows.At(uint32(root))
	free := row.Free(o.Limit)
	if row.Grants != 0 {
		left, held := s.ledger.Unscoped(root)
		free = free.MustAdd(left).MustSub(held)
	}
	return free, true
}

// availableTo is available for an account of a tree: what the limits of its chain leave of it.
func (s *state) availableTo(ref ledger.Ref) (money.Amount, bool) {
	root := s.people[ref].Root
	free, bounded := s.available(root)
	if ref == root {
		return free, bounded
	}
	s.eachLimit(ref, nil, func(_ ledger.Ref, n uint32) bool {
		row := *s.limitRows.At(n)
		if row.Mode == limit.Hard && row.HasAmount && row.Per != period.Call {
			row.Roll(s.clock())
			if left, _, _, _ := row.Left(); !bounded || left.Cmp(free) < 0 {
				free, bounded = left, true
			}
		}
		return true
	})
	return free, bounded
}

// checkOpen refuses what a closed account may not.
func (s *state) checkOpen(ref ledger.Ref) *refusal.Refusal {
	if s.marks(ref)&markClosed != 0 {
		return refusal.New(refusal.AccountConflict, "account_closed", "account %s is closed", s.people[ref].ID)
	}
	return nil
}

// checkThawed refuses what an account may not while it or one above it is frozen.
func (s *state) checkThawed(ref ledger.Ref) (refused *refusal.Refusal) {
	if s.marks(ref)&markFrozen == 0 {
		return nil
	}
	s.chain(ref, func(at ledger.Ref) bool {
		if s.node(at).status == accountFrozen {
			refused = refusal.New(refusal.Forbidden, "account_frozen", "account %s is frozen: it takes no new holds", s.people[at].ID)
		}
		return refused == nil
	})
	return refused
}

// countHold counts an open hold at an account and all above it, or what it holds more (n 0), or
// that it ended (n −1).
func (s *state) countHold(ref ledger.Ref, amount money.Amount, n int64) {
	for ; s.people[ref].Parent != ledger.NoRef; ref = s.people[ref].Parent {
		row := s.mutNode(ref)
		row.held = row.held.MustAdd(amount)
		row.holds += uint64(n)
		if row.held.Sign() < 0 {
			panic("BUG: an account holds less than nothing")
		}
	}
	if n != 0 { // what a root holds is in its books
		s.ledger.CountHolds(ref, n)
	}
}

// held is what open holds reserve at an account or below it, and how many there are.
func (s *state) held(ref ledger.Ref) (money.Amount, uint64) {
	if s.people[ref].Parent == ledger.NoRef {
		return s.ledger.Held(ref), s.ledger.Rows.At(uint32(ref)).Holds
	}
	n := s.node(ref)
	return n.held, n.holds
}
