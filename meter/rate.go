package meter

import (
	"fmt"
	"math/bits"

	"farthing/money"
	"farthing/refusal"
)

// Rate prices an event. quantities are in the order of the shape's components;
// before[i] is what its period counted before the event where component i is counted and
// is not looked at elsewhere. amounts[i] gets what component i costs; of all three only
// as many as the plan has components are used. total is their sum. It can be negative,
// as parts can with Volume. A refused event leaves amounts unspecified.
//
// Refusals, all with code invalid: fractional_quantity, quantity_overflow (the period
// would count more than money.QuantityMax), amount_overflow.
func (p *Plan) Rate(quantities, before *[MaxComponents]money.Quantity, amounts *[MaxComponents]money.Amount) (total money.Amount, refused *refusal.Refusal) {
	if total, ok := p.rateSimple(quantities, amounts); ok {
		return total, nil
	}
	for i := range p.Components {
		c, q := &p.Components[i], quantities[i]
		var part money.Amount
		if n, whole := q.Whole(); c.plain && whole { // nearly always
			var ok bool
			if part, ok = c.unit.MulUint64(n); !ok {
				return total, amountOverflow()
			}
		} else if part, refused = c.rate(i, quantities, before[i]); refused != nil {
			return total, refused
		}
		amounts[i] = part
		sum, ok := total.Add(part)
		if !ok {
			return total, amountOverflow()
		}
		total = sum
	}
	return total, nil
}

// rateSimple rates an event of whole quantities whose components are all plain, which nearly
// every one is; false: anything else, an overflow too.
func (p *Plan) rateSimple(quantities *[MaxComponents]money.Quantity, amounts *[MaxComponents]money.Amount) (total money.Amount, ok bool) {
	if p.simple == 0 {
		return total, false
	}
	for i := range p.simple {
		n, whole := quantities[i].Whole()
		part, fits := p.units[i].MulUint64(n)
		if !whole || !fits {
			return total, false
		}
		amounts[i] = part
		if total, ok = total.Add(part); !ok {
			return total, false
		}
	}
	return total, true
}

// Reverse is what taking the event back moves: T(Q-q) - T(Q) where a component is
// counted, before[i] being the period's quantity Q as it stands, the event's own
// included; minus what the component cost elsewhere. Arguments and refusals are those of
// Rate. It panics when a period has counted less than the event's quantity.
func (p *Plan) Reverse(quantities, before *[MaxComponents]money.Quantity, amounts *[MaxComponents]money.Amount) (total money.Amount, refused *refusal.Refusal) {
	for i := range p.Components {
		c, rest := &p.Components[i], money.Quantity(0)
		if c.Counted() {
			if before[i] < quantities[i] {
				panic(fmt.Sprintf("BUG: %s of %s is taken back from a period that counted %s", quantities[i], c.Name, before[i]))
			}
			rest = before[i] - quantities[i]
		}
		part, no := c.rate(i, quantities, rest)
		if no != nil {
			return total, no
		}
		amounts[i] = part.Neg()
		sum, ok := total.Sub(part)
		if !ok {
			return total, amountOverflow()
		}
		total = sum
	}
	return total, nil
}

// rate returns what component i costs an event, before being what was counted without it.
func (c *PlanComponent) rate(i int, quantities *[MaxComponents]money.Quantity, before money.Quantity) (money.Amount, *refusal.Refusal) {
	q := quantities[i]
	if q%quantityStep[c.QuantityDecimals] != 0 {
		return money.Amount{}, refusal.New(refusal.Invalid, "fractional_quantity",
			"%s: the price allows quantities with at most %d decimals", c.Name, c.QuantityDecimals)
	}
	var part money.Amount
	var ok bool
	if c.Counted() {
		if q > money.QuantityMax || before > money.QuantityMax-q {
			return part, refusal.New(refusal.Invalid, "quantity_overflow",
				"%s: the period would count more than %s", c.Name, money.QuantityMax)
		}
		part, ok = c.difference(before, before+q)
	} else {
		part, ok = c.linear(q, c.sumOf(quantities))
	}
	if !ok {
		return part, amountOverflow()
	}
	return part, nil
}

// difference returns T(to) - T(from) + Flat.
func (c *ComponentPrice) difference(from, to money.Quantity) (money.Amount, bool) {
	if unit, within := c.unitWithin(from, to); within && c.bounded {
		return addProduct(c.Flat, unit, to-from, money.Amount{})
	}
	low, ok := c.PeriodPrice(from)
	if !ok {
		return low, false
	}
	high, ok := c.PeriodPrice(to)
	if !ok {
		return high, false
	}
	return high.MustSub(low).Add(c.Flat) // neither is negative: their difference fits
}

// unitWithin returns the unit at which everything between two quantities is sold, if there is
// one: most events begin and end in the same tier, and then T need not be worked out twice.
// The quantities are a whole number of the price's steps apart.
func (c *ComponentPrice) unitWithin(from, to money.Quantity) (unit money.Amount, within bool) {
	step := quantityStep[c.QuantityDecimals]
	from -= from % step
	to -= to % step
	switch c.Model {
	case Included:
		switch {
		case from >= c.Size:
			return c.Unit, true
		case to <= c.Size:
			return money.Amount{}, true
		}
	case Graduated:
		start := money.Quantity(0)
		for i := range c.Tiers {
			t := &c.Tiers[i]
			if from >= start && (from > start || t.Flat.IsZero()) && (t.UpTo == 0 || to <= t.UpTo) {
				return t.Unit, true
			}
			if start = t.UpTo; to <= start {
				break
			}
		}
	}
	return money.Amount{}, false
}

// linear returns what q costs where the quantities that Above looks at sum to sum.
func (c *ComponentPrice) linear(q, sum money.Quantity) (money.Amount, bool) {
	unit := c.Unit
	for i := range c.Above {
		if sum <= c.Above[i].Quantity {
			break
		}
		unit = c.Above[i].Unit
	}
	part, ok := addProduct(c.Flat, unit, q, money.Amount{})
	if ok && part.Cmp(c.Minimum) < 0 {
		part = c.Minimum
	}
	return part, ok
}

// sumOf adds up the quantities that Above looks at. More than QuantityMax, which passes
// every threshold, stays just that.
func (c *PlanComponent) sumOf(quantities *[MaxComponents]money.Quantity) (sum money.Quantity) {
	for of := c.Of; of != 0; of &= of - 1 {
		sum = min(sum+quantities[bits.TrailingZeros32(of)], money.QuantityMax+1)
	}
	return sum
}

func amountOverflow() *refusal.Refusal {
	return refusal.New(refusal.Invalid, "amount_overflow", "the amount is larger than this ledger can hold")
}
