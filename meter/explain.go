package meter

import (
	"fmt"
	"strings"

	"farthing/money"
	"farthing/refusal"
)

// Explained is how a component's quantity made its amount, so that a pocket calculator can
// check it: each step is one line of arithmetic.
type Explained struct {
	// Unit is the price of one unit (of one package), where one holds for the whole quantity.
	Unit  *money.Amount
	Steps []string
	// Note says in words what the steps of a counted component mean; empty elsewhere.
	Note string
}

// modelNames are the models' names in documents and answers.
var modelNames = [...]string{"linear", "package", "graduated", "volume", "included"}

// String returns the model's name.
func (m Model) String() string { return modelNames[m] }

// Explain shows the arithmetic of Rate, or of Reverse (back): the arguments are theirs. It
// computes the amounts anew and returns them in amounts.
func (p *Plan) Explain(quantities, before *[MaxComponents]money.Quantity, back bool) ([]Explained, *[MaxComponents]money.Amount, *refusal.Refusal) {
	var amounts [MaxComponents]money.Amount
	rate := p.Rate
	if back {
		rate = p.Reverse
	}
	if _, refused := rate(quantities, before, &amounts); refused != nil {
		return nil, nil, refused
	}
	out := make([]Explained, len(p.Components))
	for i := range p.Components {
		c := &p.Components[i]
		if c.Counted() {
			out[i] = c.explainCounted(quantities[i], before[i], amounts[i], back)
		} else {
			out[i] = p.explainLinear(i, quantities, amounts[i], back)
		}
	}
	return out, &amounts, nil
}

// explainLinear explains unit × quantity and what may come to it.
func (p *Plan) explainLinear(i int, quantities *[MaxComponents]money.Quantity, amount money.Amount, back bool) (out Explained) {
	c, unit := &p.Components[i], p.Components[i].Unit
	sum, of := c.sumOf(quantities), strings.Join(p.lookedAt(c), " + ")
	for k := range c.Above {
		if sum <= c.Above[k].Quantity {
			out.step("%s = %s, not above %s: the unit is %s", of, sum, c.Above[k].Quantity, unit)
			break
		}
		unit = c.Above[k].Unit
		out.step("%s = %s, above %s: the unit is %s", of, sum, c.Above[k].Quantity, unit)
	}
	out.Unit = &unit
	product, _ := addProduct(c.Flat, unit, quantities[i], money.Amount{})
	text := fmt.Sprintf("%s × %s", quantities[i], unit)
	if !c.Flat.IsZero() {
		text += " + " + c.Flat.String()
	}
	out.step("%s = %s", text, product)
	if product.Cmp(c.Minimum) < 0 {
		out.step("less than the minimum: %s", c.Minimum)
	}
	if back {
		out.step("taken back: %s", amount)
	}
	return out
}

// lookedAt names the components that the thresholds of c look at and the event has; if it has
// none, all that they look at.
func (p *Plan) lookedAt(c *PlanComponent) (names []string) {
	for i := range p.Components {
		if c.Of>>i&1 != 0 {
			names = append(names, p.Components[i].Name)
		}
	}
	if names == nil {
		return c.ComponentPrice.Of
	}
	return names
}

// explainCounted explains T(to) − T(from).
func (c *PlanComponent) explainCounted(q, before money.Quantity, amount money.Amount, back bool) (out Explained) {
	after := before + q
	if back {
		after = before - q
	}
	if c.Model == Package {
		unit := c.Unit
		out.Unit = &unit
	}
	out.Note = c.note(q, before, back)
	out.total("T", c.ComponentPrice, after)
	out.total("T", c.ComponentPrice, before)
	text := fmt.Sprintf("T(%s) − T(%s)", after, before)
	if !c.Flat.IsZero() && back {
		text += " − " + c.Flat.String()
	} else if !c.Flat.IsZero() {
		text += " + " + c.Flat.String()
	}
	out.step("%s = %s", text, amount)
	return out
}

// note tells what T stands for and where the quantity lies in the period.
func (c *PlanComponent) note(q, before money.Quantity, back bool) string {
	text := "T(Q) is what the quantity Q costs in one period: " + c.priceText()
	if back {
		return fmt.Sprintf("%s. The period had counted %s with these %s; they are taken from its top, so that what is left costs the same, whatever came first",
			text, before, q)
	}
	return fmt.Sprintf("%s. The period had counted %s before these %s", text, before, q)
}

// priceText is a counted price in words.
func (c *ComponentPrice) priceText() string {
	switch c.Model {
	case Package:
		return fmt.Sprintf("%s for each %s begun", c.Unit, c.Size)
	case Included:
		return fmt.Sprintf("nothing up to %s, above that %s each", c.Size, c.Unit)
	}
	var parts []string
	for i := range c.Tiers {
		t := &c.Tiers[i]
		part := fmt.Sprintf("up to %s at %s each", t.UpTo, t.Unit)
		if t.UpTo == 0 {
			part = fmt.Sprintf("above that at %s each", t.Unit)
		}
		if !t.Flat.IsZero() {
			part += " and " + t.Flat.String() + " once"
		}
		parts = append(parts, part)
	}
	if c.Model == Volume {
		return "the whole of it at one price, " + strings.Join(parts, ", ")
	}
	return "each part of it at the price of its tier, " + strings.Join(parts, ", ")
}

// total explains T(q) of a price, under the name that T has in these steps.
func (e *Explained) total(name string, c *ComponentPrice, q money.Quantity) {
	total, _ := c.PeriodPrice(q)
	var text string
	cut := q - q%quantityStep[c.QuantityDecimals]
	switch {
	case cut == 0:
		text = "0"
	case c.Model == Package:
		text = c.packagesText(cut)
	case c.Model == Included && cut < c.Size:
		text = fmt.Sprintf("(%s − %s of %s included) × %s", cut, cut, c.Size, c.Unit)
	case c.Model == Included:
		text = fmt.Sprintf("(%s − %s included) × %s", cut, c.Size, c.Unit)
	case c.Model == Graduated:
		text = c.gradedText(cut)
	case c.Model == Volume:
		text = c.volumeText(cut)
	}
	if text == total.String() {
		e.step("%s(%s) = %s", name, q, total)
		return
	}
	e.step("%s(%s) = %s = %s", name, q, text, total)
}

func (c *ComponentPrice) packagesText(q money.Quantity) string {
	n, word := uint64(q/c.Size), "packages"
	if q%c.Size != 0 {
		n++
	}
	if n == 1 {
		word = "package"
	}
	return fmt.Sprintf("%d %s of %s × %s", n, word, c.Size, c.Unit)
}

func (c *ComponentPrice) gradedText(q money.Quantity) string {
	var parts []string
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
		parts = append(parts, t.text(end-start))
		start = end
	}
	return strings.Join(parts, " + ")
}

func (c *ComponentPrice) volumeText(q money.Quantity) string {
	for i := range c.Tiers {
		if t := &c.Tiers[i]; t.UpTo == 0 || q <= t.UpTo {
			return t.text(q)
		}
	}
	panic("BUG: a volume price without an open tier")
}

// text shows what a quantity costs at a tier's unit.
func (t *Tier) text(q money.Quantity) string {
	if t.Flat.IsZero() {
		return fmt.Sprintf("%s × %s", q, t.Unit)
	}
	return fmt.Sprintf("%s × %s + %s", q, t.Unit, t.Flat)
}

func (e *Explained) step(format string, args ...any) {
	e.Steps = append(e.Steps, fmt.Sprintf(format, args...))
}
