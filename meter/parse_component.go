package meter

import (
	"fmt"
	"slices"
	"strings"

	"farthing/money"
)

// componentParser reads the price of one component: "0.0000025", or a JSON number, or an
// object. What is wrong is told, and the rest is read all the same.
type componentParser struct {
	p      *versionParser
	price  int
	priced fields // the components that the price has
	c      ComponentPrice
	bad    bool
}

func (c *componentParser) problem(format string, args ...any) {
	c.bad = true
	c.p.problem(c.price, "prices[%d].components.%s: %s", c.price, clip(c.c.Name), fmt.Sprintf(format, args...))
}

// countedModels are the models that count, by the field that states them.
var countedModels = [...]struct {
	field string
	model Model
}{{"package", Package}, {"graduated", Graduated}, {"volume", Volume}, {"included", Included}}

func (c *componentParser) read(raw []byte) {
	f, ok := c.p.object(raw)
	if !ok {
		unit, err := priceOf(raw)
		if err != nil {
			c.problem("%v", err)
		}
		c.c.Unit = unit
		return
	}
	c.known("", f, "unit", "per", "flat", "minimum", "above", "package", "graduated", "volume", "included", "period", "quantity_decimals")
	c.model(f)
	c.decimals(f)
	switch c.c.Model {
	case Graduated, Volume:
		c.absent(f, "goes into the tiers", "unit", "per")
		c.c.Flat = c.amount("flat", f)
		c.tiers(f)
	case Package, Included:
		c.c.Unit, c.c.Flat = c.unitAndFlat("", f)
		c.size(f)
	case Linear:
		c.c.Unit, c.c.Flat = c.unitAndFlat("", f)
		c.c.Minimum = c.amount("minimum", f)
		c.above(f)
	}
	c.period(f)
}

// model finds the model by its field; of several the first is read.
func (c *componentParser) model(f fields) {
	var stated []string
	for _, m := range countedModels {
		if f.get(m.field) != nil {
			if stated = append(stated, m.field); len(stated) == 1 {
				c.c.Model = m.model
			}
		}
	}
	if len(stated) > 1 {
		c.problem("%s cannot be combined", strings.Join(stated, " and "))
	}
	if len(stated) > 0 {
		c.absent(f, "is only for linear prices", "minimum", "above")
	}
}

func (c *componentParser) decimals(f fields) {
	raw := f.get("quantity_decimals")
	switch {
	case raw == nil:
	case len(raw) != 1 || raw[0] < '0' || raw[0] > '0'+money.QuantityDecimals:
		c.problem("quantity_decimals must be 0 to %d", money.QuantityDecimals)
	default:
		c.c.QuantityDecimals = int(raw[0] - '0')
	}
}

func (c *componentParser) period(f fields) {
	raw := f.get("period")
	if c.c.Model == Linear {
		c.absent(f, "is only for package, graduated, volume and included", "period")
		return
	}
	c.c.Period = Month
	switch text, _ := stringText(raw); {
	case raw == nil || string(text) == "month":
	case string(text) == "window":
		c.c.Period = Window
	default:
		c.problem(`period must be "month" or "window"`)
	}
}

// unitAndFlat reads the price of an object with "unit", "per" and "flat", which stands
// at a place within the component's price. The unit may be left out beside a flat.
func (c *componentParser) unitAndFlat(at string, f fields) (unit, flat money.Amount) {
	flat = c.amount(at+"flat", f)
	if f.get("unit") == nil && f.get("per") == nil && f.get("flat") != nil {
		return unit, flat
	}
	return c.unit(at, f), flat
}

// unit reads unit / per and checks that its products are exact.
func (c *componentParser) unit(at string, f fields) money.Amount {
	raw := f.get("unit")
	if raw == nil {
		c.problem("%sunit is missing: a price must be a decimal string", at)
		return money.Amount{}
	}
	unit, err := amountOf(raw)
	if per := f.get("per"); per != nil && err == nil {
		unit, err = dividePer(unit, per)
	}
	if err == nil {
		err = checkPrice(unit)
	}
	if err == nil && unit.Decimals()+c.c.QuantityDecimals > money.Scale {
		err = fmt.Errorf("price decimals (%d) and quantity_decimals (%d) must add up to at most %d",
			unit.Decimals(), c.c.QuantityDecimals, money.Scale)
	}
	if err != nil {
		c.problem("%sunit: %v", at, err)
	}
	return unit
}

// amount reads an amount that may be left out; at ends with the field's name.
func (c *componentParser) amount(at string, f fields) money.Amount {
	raw := f.get(at[strings.LastIndexByte(at, '.')+1:])
	if raw == nil {
		return money.Amount{}
	}
	a, err := priceOf(raw)
	if err != nil {
		c.problem("%s: %v", at, err)
	}
	return a
}

// size reads the size of a package or what is included.
func (c *componentParser) size(f fields) {
	field := countedModels[c.c.Model-Package].field
	c.c.Size = c.threshold(field, f.get(field), 0)
}

// threshold reads a quantity above another one, in the decimals of the component.
func (c *componentParser) threshold(at string, raw []byte, above money.Quantity) money.Quantity {
	q, err := quantityOf(raw)
	switch {
	case err != nil:
		c.problem("%s: %v", at, err)
	case q <= above:
		c.problem("%s must be above %s", at, above)
	case q.Decimals() > c.c.QuantityDecimals:
		c.problem("%s has more decimals than quantity_decimals (%d) allows", at, c.c.QuantityDecimals)
	}
	return max(q, above)
}

func (c *componentParser) tiers(f fields) {
	field := countedModels[c.c.Model-Package].field
	list := c.list(field, f.get(field))
	start := money.Quantity(0)
	for i, t := range list {
		at := fmt.Sprintf("%s[%d].", field, i)
		c.known(at, t, "up_to", "unit", "per", "flat")
		var tier Tier
		tier.Unit, tier.Flat = c.unitAndFlat(at, t)
		raw := t.get("up_to")
		switch last := i == len(list)-1; {
		case raw != nil && last:
			c.problem("%sup_to leaves quantities above it without a price: the last tier must be open", at)
		case raw == nil && !last:
			c.problem("%sup_to is missing: only the last tier is open", at)
		case raw != nil:
			tier.UpTo = c.threshold(at+"up_to", raw, start)
			start = tier.UpTo
			// With a volume price a smaller quantity may cost more: taking an event back must
			// never come to what an amount cannot hold.
			if _, ok := addProduct(tier.Flat, tier.Unit, tier.UpTo, money.Amount{}); c.c.Model == Volume && !ok && !c.p.taken {
				c.problem("%sup_to at this unit is more than an amount can hold", at)
			}
		}
		c.c.Tiers = append(c.c.Tiers, tier)
	}
}

// above reads the alternatives of a linear price. Their thresholds are compared with
// sums over several components and may have any decimals.
func (c *componentParser) above(f fields) {
	raw := f.get("above")
	if raw == nil {
		return
	}
	for i, a := range c.list("above", raw) {
		at := fmt.Sprintf("above[%d].", i)
		c.known(at, a, "of", "quantity", "unit", "per")
		of := c.of(at+"of", a.get("of"))
		if i == 0 {
			c.c.Of = of
			c.unpriced(at+"of", of)
		} else if !slices.Equal(of, c.c.Of) {
			c.problem("%sof must be the same as in above[0]", at)
		}
		alternative := Alternative{Unit: c.unit(at, a)}
		q, err := quantityOf(a.get("quantity"))
		switch {
		case err != nil:
			c.problem("%squantity: %v", at, err)
		case i > 0 && q <= c.c.Above[i-1].Quantity:
			c.problem("%squantity must be above %s", at, c.c.Above[i-1].Quantity)
		}
		alternative.Quantity = q
		c.c.Above = append(c.c.Above, alternative)
	}
}

// of reads a list of components and sorts it: their order says nothing.
func (c *componentParser) of(at string, raw []byte) []string {
	list, ok := array(raw)
	if !ok || len(list) == 0 || len(list) > MaxComponents {
		c.problem("%s must name 1 to %d components", at, MaxComponents)
		return nil
	}
	names := make([]string, len(list))
	for i := range list {
		text, _ := stringText(list[i])
		if !validName(text) {
			c.problem("%s: %q is not a component name", at, clip(string(text)))
		}
		names[i] = c.p.intern(text)
	}
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			c.problem("%s names %s twice", at, clip(names[i]))
		}
	}
	return names
}

// unpriced tells names that the price has no component for: no event with one is rated by it,
// so what looks at them never sees them. It is a slip, and would undercharge in silence.
func (c *componentParser) unpriced(at string, of []string) {
	for i, name := range of {
		if !c.p.taken && validName([]byte(name)) && c.priced.get(name) == nil && (i == 0 || name != of[i-1]) {
			c.problem("%s names %s, which the price does not price", at, clip(name))
		}
	}
}

// list reads a list of 1 to MaxTiers objects.
func (c *componentParser) list(at string, raw []byte) (list []fields) {
	elements, _ := array(raw)
	for _, e := range elements {
		if f, ok := c.p.object(e); ok {
			list = append(list, f)
		}
	}
	if len(list) == 0 || len(list) != len(elements) || len(list) > MaxTiers {
		c.problem("%s must be a list of 1 to %d objects", at, MaxTiers)
		return nil
	}
	return list
}

// known tells fields that an object does not have, or has twice.
func (c *componentParser) known(at string, f fields, names ...string) {
	for _, strange := range f.strange(names...) {
		c.problem("%s%s", at, strange)
	}
}

// absent tells fields that the model does not have.
func (c *componentParser) absent(f fields, why string, names ...string) {
	for _, name := range names {
		if f.get(name) != nil {
			c.problem("%s %s", name, why)
		}
	}
}
