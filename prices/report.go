package prices

import (
	"cmp"
	"slices"
)

// Reason says why an entry, or a price field of one, was not imported.
type Reason string

// Reasons for which a whole entry has no price.
const (
	NotAnObject       Reason = "the entry is not an object"
	BadModel          Reason = "the model's name is empty or longer than a dimension may be"
	ModelTwice        Reason = "the model stands in the list more than once, so which price holds is unknown"
	FieldTwice        Reason = "a field stands in the entry more than once, so which price holds is unknown"
	NoPrice           Reason = "the entry states no price"
	NothingUsable     Reason = "none of its prices can be imported"
	EverythingFree    Reason = "every price is zero: free, or merely not known"
	BadProvider       Reason = "its provider is missing or no account id"
	TooManyComponents Reason = "it has more components, or prices above some size, than a price may have"
)

// Reasons for which one price field was left out.
const (
	EntryListed   Reason = "its entry is listed"
	OtherUnit     Reason = "the price is not in US dollars"
	SecondUnit    Reason = "the same usage is priced by the token already"
	ZeroFiller    Reason = "a zero beside real prices: the list means that it does not say"
	Disagreement  Reason = "another field for the same component states another price"
	UnknownField  Reason = "no component stands for this field"
	Provenance    Reason = "a remark on where another price of the entry comes from"
	VideoInterval Reason = "the price depends on how the video is cut, which is no quantity of the usage"
	NoBase        Reason = "a price above some size without a price below it"
	NoPrompt      Reason = "the price depends on the size of the prompt, of which no part is priced by the token"
	BadRange      Reason = "its ranges do not start at zero, do not follow each other or are no ranges of tokens"
	NotANumber    Reason = "the price is not a number"
	NegativePrice Reason = "the price is negative"
	BadNumber     Reason = "the price has more than 18 decimals or is too large"
)

// Note is one thing that was not imported. Field is empty when it is the whole
// entry; a field inside another is written outer.inner, with the index in arrays.
type Note struct {
	Model  string
	Field  string
	Reason Reason
}

// Use is one price field that has a part in a price.
type Use struct {
	Model     string
	Field     string
	Tier      string // service tier; empty: the standard price
	Component string // "range" for the bounds of a range
}

// Derived is one component whose price the list does not state.
type Derived struct {
	Model     string
	Tier      string // service tier; empty: the standard price
	Component string
	From      string // the component whose price it has, or "the standard price"
}

// Report accounts for what was read. Each entry of a public list is priced or
// Listed; each price field is Used or LeftOut.
type Report struct {
	Rows    bool      // the entries are rows of a table, of which all were imported
	Entries int       // of the list
	Prices  int       // in the document: entries priced, and their service tiers
	Fields  int       // price fields of all entries
	Listed  []Note    // entries without a price, sorted by model
	Used    []Use     // sorted by model and field
	LeftOut []Note    // sorted by model and field
	Derived []Derived // sorted by model, tier and component
}

func (r *Report) sort() {
	byModel := func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Reason, b.Reason))
	}
	slices.SortFunc(r.Listed, byModel)
	slices.SortFunc(r.LeftOut, byModel)
	slices.SortFunc(r.Used, func(a, b Use) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Component, b.Component))
	})
	slices.SortFunc(r.Derived, func(a, b Derived) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.Tier, b.Tier), cmp.Compare(a.Component, b.Component))
	})
}

// Count is how often something occurs.
type Count struct {
	Of string
	N  int
}

// counts counts what key says of the items, the most frequent first.
func counts[T any](items []T, key func(*T) string) []Count {
	index := map[string]int{}
	var out []Count
	for i := range items {
		of := key(&items[i])
		at, seen := index[of]
		if !seen {
			at = len(out)
			index[of] = at
			out = append(out, Count{Of: of})
		}
		out[at].N++
	}
	slices.SortFunc(out, func(a, b Count) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Of, b.Of)) })
	return out
}

// ByReason counts the notes for each reason, the most frequent first.
func ByReason(notes []Note) []Count {
	return counts(notes, func(n *Note) string { return string(n.Reason) })
}

// ByComponent counts the derived prices, the most frequent first.
func (r *Report) ByComponent() []Count {
	return counts(r.Derived, func(d *Derived) string {
		if d.From == fromStandard {
			return d.Component + " of a service tier, from " + d.From
		}
		return d.Component + ", like " + d.From
	})
}
