package meter

import (
	"encoding/binary"

	"farthing/money"
)

// Model says how a component's price depends on the quantity.
type Model uint8

const (
	// Linear is the event's quantity × unit, and what else a linear price may state.
	Linear Model = iota
	// Package is the period's quantity rounded up to whole packages; each costs unit.
	Package
	// Graduated is each part of the period's quantity at its tier's unit.
	Graduated
	// Volume is the whole of the period's quantity at the unit of the tier it is in.
	Volume
	// Included is a price whose first Size of the period are free; the rest costs unit.
	Included
)

// Period is what a counted component's quantity is counted over.
type Period uint8

const (
	// NoPeriod says that nothing is counted.
	NoPeriod Period = iota
	// Month is the calendar month of the event's time in UTC.
	Month
	// Window is the settlement window that the posting falls into.
	Window
)

// Tier is one step of a graduated or volume price. It reaches from the tier before it
// (exclusive) to UpTo (inclusive). Flat is added once the quantity is above the tier's
// start (graduated) or in the tier (volume).
type Tier struct {
	UpTo       money.Quantity // 0: open end, which the last tier has and only it
	Unit, Flat money.Amount
}

// Alternative replaces a linear price's unit where the quantities that the component
// looks at sum to more than Quantity.
type Alternative struct {
	Quantity money.Quantity
	Unit     money.Amount
}

// ComponentPrice is the price of one component. Its amounts lie between 0 and 10^12, and
// the decimals of each unit and QuantityDecimals add up to at most 18, so that every
// product is exact.
type ComponentPrice struct {
	Name   string
	Unit   money.Amount // per unit; per package for Package; unused with tiers
	Model  Model
	Period Period // NoPeriod exactly with Linear
	// QuantityDecimals is how many decimals a quantity may have, 0 to 6.
	QuantityDecimals int
	// Flat is added for each event that has the component, whatever the model.
	Flat money.Amount
	// Minimum is the least that the component costs an event; with Linear only.
	Minimum money.Amount
	Size    money.Quantity // of a package; or what is included
	Tiers   []Tier         // Graduated, Volume: ascending, the last one open
	Of      []string       // components whose quantities Above looks at, sorted
	Above   []Alternative  // Linear: ascending, the last one passed wins
	bounded bool           // T of no quantity can overflow, see setBounded
	// series and terms are the results of these methods, once they are known.
	series, terms string
}

// Counted reports whether the price depends on what was counted before in the period.
func (c *ComponentPrice) Counted() bool { return c.Period != NoPeriod }

// PeriodPrice returns T(q), what a counted component's quantity q of one period costs
// altogether, Flat excepted; T(0) is 0. Decimals of q beyond QuantityDecimals are cut:
// they can only stem from another version that allowed them, and cutting keeps every
// difference of T exact. False: more than an amount can hold. It panics when the
// component is not counted.
func (c *ComponentPrice) PeriodPrice(q money.Quantity) (money.Amount, bool) {
	q -= q % quantityStep[c.QuantityDecimals]
	switch c.Model {
	case Package:
		n := uint64(q / c.Size)
		if q%c.Size != 0 {
			n++
		}
		return c.Unit.MulUint64(n)
	case Graduated:
		return c.graduated(q)
	case Volume:
		return c.volume(q)
	case Included:
		return c.Unit.MulQuantity(q - min(q, c.Size))
	}
	panic("BUG: the price of a period is asked of a component that is not counted")
}

// plain reports whether the price is linear without anything else.
func (c *ComponentPrice) plain() bool {
	return c.Model == Linear && c.Flat.IsZero() && c.Minimum.IsZero() && c.Above == nil
}

// safeUnit times money.QuantityMax, with a hundred flat fees of the largest size beside it,
// is within what an amount can hold: 10^7 × 9·10^12 + 10^14 < 1.7·10^20.
var safeUnit = mustAmount("10000000")

// setBounded notes whether T stays in range for every quantity, so that a difference of it
// may be worked out without it.
func (c *ComponentPrice) setBounded() {
	c.bounded = c.Unit.Cmp(safeUnit) <= 0
	for i := range c.Tiers {
		c.bounded = c.bounded && c.Tiers[i].Unit.Cmp(safeUnit) <= 0
	}
}

// quantityStep is the smallest quantity with so many decimals.
var quantityStep = [money.QuantityDecimals + 1]money.Quantity{1_000_000, 100_000, 10_000, 1_000, 100, 10, 1}

func (c *ComponentPrice) graduated(q money.Quantity) (sum money.Amount, ok bool) {
	start := money.Quantity(0)
	for i := range c.Tiers {
		t := &c.Tiers[i]
		if q <= start {
			break
		}
		end := q
		if t.UpTo != 0 {
			end = min(q, t.UpTo)
		}
		if sum, ok = addProduct(sum, t.Unit, end-start, t.Flat); !ok {
			return money.Amount{}, false
		}
		start = end
		if t.UpTo == 0 {
			break
		}
	}
	return sum, true
}

func (c *ComponentPrice) volume(q money.Quantity) (money.Amount, bool) {
	if q == 0 {
		return money.Amount{}, true
	}
	for i := range c.Tiers {
		if t := &c.Tiers[i]; t.UpTo == 0 || q <= t.UpTo {
			return addProduct(t.Flat, t.Unit, q, money.Amount{})
		}
	}
	panic("BUG: a volume price without an open tier")
}

// addProduct returns a + unit × q + b; false: more than an amount can hold.
func addProduct(a, unit money.Amount, q money.Quantity, b money.Amount) (money.Amount, bool) {
	product, ok := unit.MulQuantity(q)
	if ok {
		a, ok = a.Add(product)
	}
	if ok {
		a, ok = a.Add(b)
	}
	return a, ok
}

// Series returns canonical bytes that name what component k of the price counts, beside
// payer and period: meter, currency, match, component, kind of period, and who earns it at
// which fee. They are the same in every version, so that a count goes on when the prices
// change. It begins anew where the earner or the fee changes, because what one version's
// price makes of another's quantity is earned by both alike; and where a volume price
// changes, because all of a period's quantity is sold at one price or none is.
func (p *Price) Series(k int) string {
	c := &p.Components[k]
	if c.series != "" {
		return c.series
	}
	b := appendString(nil, p.Meter)
	b = appendString(b, p.Currency.Code())
	b = binary.AppendUvarint(b, uint64(len(p.Match)))
	for _, d := range p.Match {
		b = appendString(b, d.Key)
		b = appendString(b, d.Value)
	}
	b = appendString(b, c.Name)
	b = append(b, byte(c.Period))
	b = appendString(b, p.Payee)
	b = p.Fee.AppendBinary(b)
	if c.Model == Volume {
		b = append(b, canonicalComponent(c)...)
	}
	return string(b)
}

// Terms returns canonical bytes that name what component k of the price costs and counts: its
// series and its price. Versions with the same terms count as one.
func (p *Price) Terms(k int) string {
	if c := &p.Components[k]; c.terms != "" {
		return c.terms
	}
	return p.Series(k) + string(canonicalComponent(&p.Components[k]))
}

// name keeps the names of a counted component, so that they are made once.
func (p *Price) name(k int) {
	if c := &p.Components[k]; c.Counted() {
		c.series = p.Series(k)
		c.terms = p.Terms(k)
	}
}

// Shift returns what a quantity between two points of a period, all of it at this counted
// price, costs more when q comes below it, or with back when q is taken out below it:
// T(to ± q) − T(from ± q) − (T(to) − T(from)). False: more than an amount can hold. It
// panics when less than q lies below.
func (c *ComponentPrice) Shift(from, to, q money.Quantity, back bool) (money.Amount, bool) {
	low, high := from+q, to+q
	if back {
		if from < q {
			panic("BUG: more is taken out of a period than lies below")
		}
		low, high = from-q, to-q
	}
	var sum money.Amount
	for _, term := range [...]struct {
		at    money.Quantity
		minus bool
	}{{high, false}, {low, true}, {to, true}, {from, false}} {
		t, ok := c.PeriodPrice(term.at)
		if term.minus {
			t = t.Neg()
		}
		if ok {
			sum, ok = sum.Add(t)
		}
		if !ok {
			return money.Amount{}, false
		}
	}
	return sum, true
}
