package prices

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/go-faster/jx"

	"farthing/meter"
	"farthing/money"
)

// Options of an import. The zero value is usable.
type Options struct {
	// EffectiveFrom is when the version comes into force, in UTC. The zero
	// time stands for the Unix epoch: in force for every event there is.
	EffectiveFrom time.Time
	// PayeeByProvider makes each price's payee the account named like the
	// entry's litellm_provider. The accounts must exist when the version is
	// put. Entries whose provider is no account id are listed.
	PayeeByProvider bool
	// IncludeFree imports entries whose every price is zero. Without it they
	// are listed: the list has zeros for models whose price it does not know,
	// and usage that is free by mistake is noticed last.
	IncludeFree bool
}

// entry is one model of the list as it was read.
type entry struct {
	model    string
	provider string
	object   bool
	twice    bool // some field stands in it more than once
	prices   map[string]number
}

// number is the value of a price field: the text of a JSON number, or not one.
type number struct {
	text string
	ok   bool
}

// ImportLiteLLM converts a LiteLLM price list. It fails with ErrList if text is
// not such a list at all; everything else that it cannot use, it reports.
func ImportLiteLLM(text []byte, opts Options) (*Document, *Report, error) {
	entries, err := readList(text)
	if err != nil {
		return nil, nil, err
	}
	count := map[string]int{}
	for i := range entries {
		count[entries[i].model]++
	}
	doc := &Document{EffectiveFrom: opts.EffectiveFrom}
	if doc.EffectiveFrom.IsZero() {
		doc.EffectiveFrom = time.Unix(0, 0)
	}
	report := &Report{Entries: len(entries)}
	for i := range entries {
		e := &entries[i]
		reason := e.unusable()
		if count[e.model] > 1 {
			reason = ModelTwice
		}
		var price Price
		if reason == "" {
			price, reason = e.price(opts, report)
		}
		if reason != "" {
			report.Listed = append(report.Listed, Note{Model: e.model, Reason: reason})
			continue
		}
		doc.Prices = append(doc.Prices, price)
	}
	slices.SortFunc(doc.Prices, func(a, b Price) int { return cmp.Compare(a.Model, b.Model) })
	report.sort()
	return doc, report, nil
}

// unusable returns why no price can be made of e, whatever its fields are worth.
func (e *entry) unusable() Reason {
	switch {
	case e.model == "" || len(e.model) > meter.MaxDimensionBytes:
		return BadModel
	case !e.object:
		return NotAnObject
	case e.twice:
		return FieldTwice
	case len(e.prices) == 0:
		return NoPrice
	}
	return ""
}

// price makes the price of e and reports its fields that have no part in it, or
// returns why there is none.
func (e *entry) price(opts Options, report *Report) (Price, Reason) {
	price := Price{Model: e.model}
	if opts.PayeeByProvider {
		if !meter.ValidID([]byte(e.provider)) {
			return price, BadProvider
		}
		price.Payee = e.provider
	}
	leftOut := func(field string, reason Reason) {
		report.LeftOut = append(report.LeftOut, Note{e.model, field, reason})
	}
	for field := range e.prices {
		if !hasRule(field) {
			leftOut(field, reasonWithoutRule(field))
		}
	}
	units := map[string]money.Amount{}
	free := true
	for _, rule := range fieldRules {
		n, ok := e.prices[rule.field]
		if !ok {
			continue
		}
		unit, reason := rule.apply(n, units)
		if reason != "" {
			leftOut(rule.field, reason)
			continue
		}
		if rule.byToken != "" && units[rule.byToken].IsZero() {
			if _, ok := units[rule.byToken]; ok {
				leftOut(tokenField(rule.byToken), ZeroFiller)
				delete(units, rule.byToken)
			}
		}
		units[rule.component] = unit
		free = free && unit.IsZero()
	}
	for name, unit := range units {
		price.Components = append(price.Components, Component{name, unit})
	}
	slices.SortFunc(price.Components, func(a, b Component) int { return cmp.Compare(a.Name, b.Name) })
	switch {
	case len(units) == 0:
		return price, NothingUsable
	case free && !opts.IncludeFree:
		return price, EverythingFree
	}
	return price, ""
}

// unitMax is a million dollars. No token costs that; such a number is a slip of
// the list. It is far below what the price book takes.
const unitMax = "1000000"

// readUnit reads the text of a JSON number as a price.
func readUnit(text string) (money.Amount, error) {
	unit, err := money.ParseNumber(text)
	if err != nil {
		return unit, err
	}
	most, err := money.Parse(unitMax)
	if err != nil {
		panic("BUG: unitMax is no amount: " + err.Error())
	}
	if unit.Cmp(most) > 0 {
		return unit, money.ErrOverflow
	}
	return unit, nil
}

// apply reads n as the price of the rule's component, beside the components
// that the entry has already.
func (r *fieldRule) apply(n number, have map[string]money.Amount) (money.Amount, Reason) {
	if !n.ok {
		return money.Amount{}, NotANumber
	}
	unit, err := readUnit(n.text)
	before, twice := have[r.component]
	switch {
	case err != nil:
		return unit, BadNumber
	case unit.Sign() < 0:
		return unit, NegativePrice
	case r.other && unit.IsZero():
		return unit, ZeroFiller
	case twice && before != unit:
		return unit, Disagreement
	case !have[r.byToken].IsZero():
		return unit, SecondUnit
	}
	return unit, ""
}

func readList(text []byte) ([]entry, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrList)
	}
	if err := jx.DecodeBytes(text).Validate(); err != nil { // also refuses what follows the object
		return nil, fmt.Errorf("%w: %w", ErrList, err)
	}
	var entries []entry
	err := jx.DecodeBytes(text).Obj(func(d *jx.Decoder, model string) error {
		e := entry{model: model, prices: map[string]number{}}
		if d.Next() != jx.Object {
			entries = append(entries, e)
			return d.Skip()
		}
		e.object = true
		err := e.read(d, "", map[string]bool{})
		entries = append(entries, e)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrList, err)
	}
	return entries, nil
}

// fieldBytesMax bounds a field's name with the names of the objects around it,
// and so their depth. The list's longest is under 80 bytes, one object deep.
const fieldBytesMax = 1024

// read collects the price fields of one object, under the names that prefix
// makes unique, and those of the objects that are price fields themselves.
func (e *entry) read(d *jx.Decoder, prefix string, seen map[string]bool) error {
	return d.Obj(func(d *jx.Decoder, key string) error {
		name := prefix + key
		e.twice = e.twice || seen[name]
		seen[name] = true
		kind := d.Next()
		switch {
		case name == "litellm_provider" && kind == jx.String:
			var err error
			e.provider, err = d.Str()
			return err
		case !isPriceField(name):
			return d.Skip()
		case kind == jx.Object:
			if len(name) > fieldBytesMax {
				return errors.New("objects nested too deeply")
			}
			return e.read(d, name+".", seen)
		case kind == jx.Number:
			raw, err := d.Raw()
			e.prices[name] = number{string(raw), true}
			return err
		}
		e.prices[name] = number{}
		return d.Skip()
	})
}
