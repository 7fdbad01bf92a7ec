package meter

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"farthing/refusal"
)

const (
	// MaxProblems is how many problems of a version's document are listed; of more only the
	// number is told.
	MaxProblems = 1000
	// maxProblemBytes is what the text of a problem is cut to, so that an answer with
	// MaxProblems has half a megabyte.
	maxProblemBytes = 500
	// detailProblems is how many problems stand in the detail of a refusal: it is one line
	// for people, and all of them stand beside it.
	detailProblems = 3
)

// wholeVersion is the price index of a problem that is no single price's.
const wholeVersion = -1

// none is the other price of a problem that is a single price's.
const none = -1

// rank orders problems by what they are about: many of one kind must not push the few of
// another off the list.
type rank uint8

const (
	ofDocument  rank = iota // one price, or the whole version
	ofAmbiguity             // one for each two lists of dimensions
	ofTwins                 // prices that match the same: one for each price but the first
)

// problem is one thing that is wrong with a version.
type problem struct {
	rank  rank
	price int
	other int // the price that it contradicts, or none
	text  string
}

func (a problem) compare(b problem) int {
	return cmp.Or(a.place(b.rank, b.price), cmp.Compare(a.other, b.other), strings.Compare(a.text, b.text))
}

// place compares the problem's rank and price with others.
func (a problem) place(rank rank, price int) int {
	return cmp.Or(cmp.Compare(a.rank, rank), cmp.Compare(a.price, price))
}

// problems keeps the first problems in the order of rank, price, other price and text, whatever
// the order in which they are found, and counts the others. A document can hold more of them
// than should be kept in memory.
type problems struct {
	first []problem
	count int
	full  bool // as many as are listed do not lie behind the last of first, when cut last
	last  problem
}

// problem tells what is wrong with a price, or with the whole version.
func (p *problems) problem(price int, format string, args ...any) {
	p.tell(ofDocument, price, none, format, args...)
}

// tell tells what is wrong with a price, or with a price beside a later one.
func (p *problems) tell(rank rank, price, other int, format string, args ...any) {
	p.count++
	if len(p.first) == 2*MaxProblems {
		p.cut()
	}
	if p.full && p.last.place(rank, price) < 0 {
		return // it would not be listed, so its text need not be made
	}
	p.first = append(p.first, problem{rank, price, other, clipTo(fmt.Sprintf(format, args...), maxProblemBytes)})
}

func (p *problems) cut() {
	slices.SortStableFunc(p.first, problem.compare)
	if len(p.first) >= MaxProblems {
		p.first = p.first[:MaxProblems]
		p.full, p.last = true, p.first[MaxProblems-1]
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
	return RefuseVersion(refusal.Invalid, "invalid_version", list, p.unlisted())
}

// unlisted is how many problems are only counted.
func (p *problems) unlisted() int { return p.count - len(p.first) }

// RefuseVersion refuses a price version for the problems, at least one, and more that are
// not listed. Its detail has the first three and how many more there are.
func RefuseVersion(code refusal.Code, reason string, problems []string, more int) *refusal.Refusal {
	detail := strings.Join(problems[:min(len(problems), detailProblems)], "; ")
	if rest := len(problems) + more - detailProblems; rest > 0 {
		detail += fmt.Sprintf("; and %d more", rest)
	}
	if more > 0 {
		problems = append(slices.Clip(problems), fmt.Sprintf("and %d more", more))
	}
	r := refusal.New(code, reason, "%s", detail)
	r.Problems = problems
	return r
}

func refuseDocument(problem string) *refusal.Refusal {
	return RefuseVersion(refusal.Invalid, "invalid_version", []string{problem}, 0)
}
