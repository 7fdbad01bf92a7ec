package bench

import "fmt"

// The payers of a run stand in trees: alone, or as the leaves of chains.
const (
	chainDepth = 4  // organisation, team, user, key
	chainFan   = 10 // children of a node
)

// tree is how the payers stand. Level 0 has the roots, which hold the money, the last
// level the payers. The ancestors of leaf i are number i/10, i/100, i/1000 of their levels.
type tree struct {
	names  names
	leaves int
	depth  int
}

func newTree(n names, leaves int, chain bool) tree {
	t := tree{names: n, leaves: leaves, depth: 1}
	if chain {
		t.depth = chainDepth
	}
	return t
}

// count is the number of nodes of a level.
func (t tree) count(level int) int {
	n := t.leaves
	for range t.depth - 1 - level {
		n = (n + chainFan - 1) / chainFan
	}
	return n
}

// nodes is the number of nodes in all.
func (t tree) nodes() (n int) {
	for level := range t.depth {
		n += t.count(level)
	}
	return n
}

// at is node number i, roots first.
func (t tree) at(i int) (level, number int) {
	for i >= t.count(level) {
		i -= t.count(level)
		level++
	}
	return level, i
}

func (t tree) name(level, number int) string {
	if level == t.depth-1 {
		return t.names.payer(number)
	}
	return t.names.node(level, number)
}

// parent is the name of a node's parent, "" of a root.
func (t tree) parent(level, number int) string {
	if level == 0 {
		return ""
	}
	return t.name(level-1, number/chainFan)
}

// sums adds up, of what the leaves have, what each node has at it or below it: by level,
// by number.
func (t tree) sums(leaves []uint64) [][]uint64 {
	levels := make([][]uint64, t.depth)
	levels[t.depth-1] = leaves
	for level := t.depth - 2; level >= 0; level-- {
		levels[level] = make([]uint64, t.count(level))
		for number, n := range levels[level+1] {
			levels[level][number/chainFan] += n
		}
	}
	return levels
}

// names spells the accounts of one run, unlike those of any other.
type names struct{ run string }

func (n names) provider(i int) string { return fmt.Sprintf("bench-%s-p%d", n.run, i) }
func (n names) book() string          { return "bench-" + n.run }

// payer ends in the digits that a request of holds has replaced each time it is sent.
func (n names) payer(i int) string { return "bench-" + n.run + "-c" + accountDigits(i) }

func (n names) node(level, i int) string {
	return fmt.Sprintf("bench-%s-n%d%s", n.run, level, accountDigits(i))
}

func accountDigits(i int) string {
	var digits [accountLen]byte
	base32(digits[:], uint64(i))
	return string(digits[:])
}
