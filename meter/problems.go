package meter

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"farthing/refusal"
)

// maxProblems is how many problems of a version are listed at once.
const maxProblems = 100

// wholeVersion is the price index of a problem that is no single price's.
const wholeVersion = -1

// none is the other price of a problem that is a single price's.
const none = -1

// problem is one thing that is wrong with a version.
type problem struct {
	price int
	other int // the price that it contradicts, or none
	text  string
}

func (a problem) compare(b problem) int {
	return cmp.Or(cmp.Compare(a.price, b.price), cmp.Compare(a.other, b.other), strings.Compare(a.text, b.text))
}

// problems keeps the first problems in the order of price, other price and text, whatever the order
// in which they are found, and counts the others. A document can hold more of them than
// should be kept in memory.
type problems struct {
	first []problem
	count int
	full  bool // as many as are listed lie at last or before it
	last  int
}

// problem tells what is wrong with a price, or with the whole version.
func (p *problems) problem(price int, format string, args ...any) {
	p.between(price, none, format, args...)
}

// between tells what is wrong with a price beside a later one.
func (p *problems) between(price, other int, format string, args ...any) {
	p.count++
	if len(p.first) == 2*maxProblems {
		p.cut()
	}
	if p.beyond(price) {
		return
	}
	p.first = append(p.first, problem{price, other, fmt.Sprintf(format, args...)})
}

// beyond reports whether a problem of a price would not be listed, so that its text need
// not be made.
func (p *problems) beyond(price int) bool { return p.full && price > p.last }

func (p *problems) cut() {
	slices.SortStableFunc(p.first, problem.compare)
	if len(p.first) >= maxProblems {
		p.first = p.first[:maxProblems]
		p.full, p.last = true, p.first[maxProblems-1].price
	}
}

// refusal returns what to answer, nil if there is no problem.
func (p *problems) refusal() *refusal.Refusal {
	if p.count == 0 {
		return nil
	}
	p.cut()
	list := make([]string, len(p.first), len(p.first)+1)
	for i := range p.first {
		list[i] = p.first[i].text
	}
	if more := p.count - len(list); more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return refuseVersion(list)
}

func refuseVersion(list []string) *refusal.Refusal {
	r := refusal.New(refusal.Invalid, "invalid_version", "%s", strings.Join(list, "; "))
	r.Problems = list
	return r
}
