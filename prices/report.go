package prices

import (
	"cmp"
	"fmt"
	"io"
	"slices"
)

// Reason says why an entry, or a price field of one, was not imported.
type Reason string

// Reasons for which a whole entry has no price.
const (
	NotAnObject    Reason = "the entry is not an object"
	BadModel       Reason = "the model's name is empty or longer than a dimension may be"
	ModelTwice     Reason = "the model stands in the list more than once, so which price holds is unknown"
	FieldTwice     Reason = "a field stands in the entry more than once, so which price holds is unknown"
	NoPrice        Reason = "the entry states no price"
	NothingUsable  Reason = "none of its prices can be imported"
	EverythingFree Reason = "every price is zero: free, or merely not known"
	BadProvider    Reason = "its provider is missing or no account id"
)

// Reasons for which one price field was left out.
const (
	ContextTier   Reason = "the price depends on the length of the request"
	OtherUnit     Reason = "the price is not in US dollars"
	SecondUnit    Reason = "the same usage is priced by the token already"
	ZeroFiller    Reason = "a zero beside real prices in other units: the list means that it does not say"
	Disagreement  Reason = "another field for the same component states another price"
	UnknownField  Reason = "no component stands for this field"
	NotANumber    Reason = "the price is not a number"
	NegativePrice Reason = "the price is negative"
	BadNumber     Reason = "the price has more than 18 decimals or is too large"
)

// Note is one thing that was not imported. Field is empty when it is the whole
// entry; a field inside another is written outer.inner.
type Note struct {
	Model  string
	Field  string
	Reason Reason
}

// Report accounts for what was read: Entries is the number of prices in the
// document plus the number of Listed.
type Report struct {
	Entries int
	Listed  []Note // entries without a price, sorted by model
	LeftOut []Note // price fields without a component, sorted by model and field
}

func (r *Report) sort() {
	byModel := func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Reason, b.Reason))
	}
	slices.SortFunc(r.Listed, byModel)
	slices.SortFunc(r.LeftOut, byModel)
}

// Write prints the counts for each reason and, if verbose, every note.
func (r *Report) Write(w io.Writer, verbose bool) error {
	p := printer{w: w}
	p.printf("%d entries: %d priced, %d not\n", r.Entries, r.Entries-len(r.Listed), len(r.Listed))
	p.counts(r.Listed)
	p.printf("%d price fields left out\n", len(r.LeftOut))
	p.counts(r.LeftOut)
	if !verbose {
		return p.err
	}
	for _, n := range r.Listed {
		p.printf("not priced: %q: %s\n", n.Model, n.Reason)
	}
	for _, n := range r.LeftOut {
		p.printf("left out: %q: %q: %s\n", n.Model, n.Field, n.Reason)
	}
	return p.err
}

// printer keeps the first error of a series of prints.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// counts prints how many notes have each reason, the most frequent first.
func (p *printer) counts(notes []Note) {
	count := map[Reason]int{}
	var reasons []Reason
	for _, n := range notes {
		if count[n.Reason] == 0 {
			reasons = append(reasons, n.Reason)
		}
		count[n.Reason]++
	}
	slices.SortFunc(reasons, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b))
	})
	for _, reason := range reasons {
		p.printf("%8d  %s\n", count[reason], reason)
	}
}
