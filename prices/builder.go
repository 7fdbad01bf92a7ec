package prices

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"farthing/meter"
	"farthing/money"
)

// builder makes the prices of one entry: the standard price and one for each
// service tier. It keeps what became of each field.
type builder struct {
	e     *entry
	fates map[string]fate
	tiers map[string]rates // by service tier; "" is the standard
	// refused has, by base field, why its standard price was left out for one
	// in another unit: what depends on it is left out for the same reason.
	refused map[string]Reason
	derived []Derived
	prices  []Price
}

// rates are the prices of a tier by component.
type rates map[string]*rate

// rate is what the list states for one component in one tier.
type rate struct {
	stated   bool // else the tier states only what holds above some size
	unit     money.Amount
	above    map[uint64]money.Amount // by tokens of the prompt
	flat     money.Amount
	rule     *fieldRule
	copiedOf string // the component whose price it has, if that was derived
}

// fate is what became of a field: a part of Component, or the reason why not.
type fate struct {
	meaning
	component string
	reason    Reason
}

func newBuilder(e *entry) *builder {
	return &builder{e: e, fates: map[string]fate{}, tiers: map[string]rates{"": {}}, refused: map[string]Reason{}}
}

// build makes the prices, or returns why there are none.
func (b *builder) build(opts Options) Reason {
	payee := ""
	if opts.PayeeByProvider {
		if !meter.ValidID([]byte(b.e.provider)) {
			return BadProvider
		}
		payee = b.e.provider
	}
	for _, f := range b.fields() {
		reason := b.put(f.meaning, b.e.prices[f.name])
		b.fates[f.name] = fate{f.meaning, fieldRules[f.rule].component, reason}
	}
	free, priced := b.free()
	switch {
	case !priced:
		return NothingUsable
	case free && !opts.IncludeFree:
		return EverythingFree
	}
	b.complete()
	for _, tier := range slices.Sorted(maps.Keys(b.tiers)) {
		b.derive(tier, b.tiers[tier])
		price := b.price(tier, b.tiers[tier])
		price.Payee = payee
		if tooMany(&price) {
			return TooManyComponents
		}
		b.prices = append(b.prices, price)
	}
	return ""
}

// namedField is a price field that a rule knows.
type namedField struct {
	name string
	meaning
}

// fields returns the fields that a rule knows in the order in which they apply:
// standard prices before those of tiers, prices before those above some size.
func (b *builder) fields() []namedField {
	starts, ok := b.ranges()
	var out []namedField
	for name := range b.e.prices {
		base, start := name, uint64(0)
		if found := tieredField.FindStringSubmatch(name); found != nil {
			if !ok {
				b.fates[name] = fate{reason: BadRange}
				continue
			}
			if found[2] == "range.0" || found[2] == "range.1" {
				b.fates[name] = fate{component: "range"}
				continue
			}
			base, start = found[2], starts[found[1]]
		}
		m, reason := readField(base)
		if reason == "" && start > 0 && m.above > 0 {
			reason = UnknownField
		}
		if reason != "" {
			b.fates[name] = fate{reason: reason}
			continue
		}
		m.above += start
		out = append(out, namedField{name, m})
	}
	slices.SortFunc(out, func(a, b namedField) int {
		return cmp.Or(cmp.Compare(a.tier, b.tier), cmp.Compare(a.above, b.above), cmp.Compare(a.rule, b.rule), cmp.Compare(a.name, b.name))
	})
	return out
}

// ranges returns where each range of tiered_pricing starts, in tokens of the
// prompt, by its index. False: they are no ranges, or do not follow each other
// from zero on.
func (b *builder) ranges() (starts map[string]uint64, ok bool) {
	starts = map[string]uint64{}
	end := uint64(0)
	for i := 0; ; i++ {
		index := strconv.Itoa(i)
		from, found := b.e.prices["tiered_pricing."+index+".range.0"]
		if !found {
			break
		}
		start, whole := wholeNumber(from)
		if !whole || start != end || (i > 0 && start == 0) {
			return nil, false
		}
		starts[index] = start
		if end, whole = wholeNumber(b.e.prices["tiered_pricing."+index+".range.1"]); !whole {
			end = 0 // open: no further range may follow
		}
	}
	for name := range b.e.prices {
		if found := tieredField.FindStringSubmatch(name); found != nil {
			if _, known := starts[found[1]]; !known {
				return nil, false
			}
		}
	}
	return starts, true
}

// wholeNumber reads a count of tokens, also if it is spelled 128e3.
func wholeNumber(n number) (uint64, bool) {
	if !n.ok {
		return 0, false
	}
	q, err := money.ParseQuantity([]byte(n.text))
	whole, isWhole := q.Whole()
	return whole, err == nil && isWhole
}

// unitMax is a million dollars. No token costs that; such a number is a slip of
// the list. It is far below what the price book takes.
const unitMax = "1000000"

// readUnit reads the price that a field states for one unit.
func readUnit(n number, per uint64) (money.Amount, Reason) {
	if !n.ok {
		return money.Amount{}, NotANumber
	}
	unit, err := money.ParseNumber(n.text)
	if err != nil {
		return unit, BadNumber
	}
	most, err := money.Parse(unitMax)
	if err != nil {
		panic("BUG: unitMax is no amount: " + err.Error())
	}
	exact := true
	if per > 0 {
		unit, exact = unit.DivExact(per)
	}
	switch {
	case unit.Sign() < 0:
		return unit, NegativePrice
	case !exact || unit.Cmp(most) > 0:
		return unit, BadNumber
	}
	return unit, ""
}

// put makes n the price that m means, beside those that the entry has already,
// or returns why it has no part in it.
func (b *builder) put(m meaning, n number) Reason {
	rule := &fieldRules[m.rule]
	unit, reason := readUnit(n, rule.per)
	if reason != "" {
		return reason
	}
	standard := b.tiers[""]
	if b.tiers[m.tier] == nil {
		b.tiers[m.tier] = rates{}
	}
	own := b.tiers[m.tier]
	if m.above > 0 {
		return b.putAbove(m, unit, own)
	}
	before, std := own[rule.component], standard[rule.component]
	switch token := standard[rule.byToken]; {
	case rule.other && unit.IsZero():
		return ZeroFiller
	case m.tier != "" && unit.IsZero() && std != nil && !std.unit.IsZero():
		return ZeroFiller
	case before != nil && before.unit != unit:
		return Disagreement
	case before != nil:
		return ""
	case m.tier != "" && b.refused[rule.field] != "":
		return b.refused[rule.field]
	case token != nil && !token.unit.IsZero():
		b.refused[rule.field] = SecondUnit
		return SecondUnit
	case token != nil && m.tier == "":
		b.drop(rule.byToken)
	}
	own[rule.component] = &rate{stated: true, unit: unit, above: map[uint64]money.Amount{}, rule: rule}
	return ""
}

func (b *builder) putAbove(m meaning, unit money.Amount, own rates) Reason {
	rule := &fieldRules[m.rule]
	r, base := own[rule.component], b.tiers[""][rule.component]
	if r != nil && r.stated {
		base = r
	}
	before, twice := money.Amount{}, false
	if r != nil {
		before, twice = r.above[m.above]
	}
	switch {
	case b.refused[rule.field] != "":
		return b.refused[rule.field]
	case rule.other && unit.IsZero():
		return ZeroFiller
	case base == nil:
		return NoBase
	case unit.IsZero() && !base.unit.IsZero():
		return ZeroFiller
	case twice && before != unit:
		return Disagreement
	case len(b.prompt("")) == 0:
		return NoPrompt
	}
	if r == nil {
		r = &rate{above: map[uint64]money.Amount{}, rule: rule}
		own[rule.component] = r
	}
	r.above[m.above] = unit
	return ""
}

// drop takes back the standard price of a component by the token.
func (b *builder) drop(component string) {
	delete(b.tiers[""], component)
	for name, f := range b.fates {
		if f.component == component && f.reason == "" {
			f.reason = ZeroFiller
			b.fates[name] = f
		}
	}
}

// free says whether each price is zero, and whether there are prices at all.
func (b *builder) free() (free, priced bool) {
	free = true
	for _, tier := range b.tiers {
		for _, r := range tier {
			priced = true
			free = free && r.unit.IsZero()
			for _, unit := range r.above {
				free = free && unit.IsZero()
			}
		}
	}
	return free, priced
}

// account adds to the report what became of each price field. Those of a listed
// entry are left out with it, unless they had a reason of their own.
func (b *builder) account(report *Report, listed Reason) {
	for name := range b.e.prices {
		report.Fields++
		f := b.fates[name]
		if listed != "" && f.reason == "" {
			f.reason = EntryListed
		}
		if f.reason != "" {
			report.LeftOut = append(report.LeftOut, Note{b.e.model, name, f.reason})
			continue
		}
		report.Used = append(report.Used, Use{b.e.model, name, f.tier, f.component})
	}
	report.Derived = append(report.Derived, b.derived...)
}

func tooMany(price *Price) bool {
	return len(price.Components) > meter.MaxPriceComponents ||
		slices.ContainsFunc(price.Components, func(c Component) bool { return len(c.Above) > meter.MaxTiers })
}
