package meter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"farthing/money"
)

// componentParser reads the price of one component: "0.0000025", or a JSON number, or an
// object. What is wrong is told, and the rest is read all the same.
type componentParser struct {
	p     *versionParser
	price int
	c     ComponentPrice
	bad   bool
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

func (c *componentParser) read(raw json.RawMessage) {
	if !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		unit, err := priceOf(raw)
		if err != nil {
			c.problem("%v", err)
		}
		c.c.Unit, c.c.plain = unit, true
		return
	}
	var f fields
	if json.Unmarshal(raw, &f) != nil {
		panic("BUG: a part of a JSON document is no JSON")
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
	c.c.plain = c.c.Model == Linear && c.c.Flat.IsZero() && c.c.Minimum.IsZero() && c.c.Above == nil
}

// model finds the model by its field; of several the first is read.
func (c *componentParser) model(f fields) {
	var stated []string
	for _, m := range countedModels {
		if _, given := f[m.field]; given {
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
	raw, given := f["quantity_decimals"]
	if !given {
		return
	}
	var n int
	if string(raw) == "null" || json.Unmarshal(raw, &n) != nil || n < 0 || n > money.QuantityDecimals {
		c.problem("quantity_decimals must be 0 to %d", money.QuantityDecimals)
		return
	}
	c.c.QuantityDecimals = n
}

func (c *componentParser) period(f fields) {
	raw, given := f["period"]
	if c.c.Model == Linear {
		c.absent(f, "is only for package, graduated, volume and included", "period")
		return
	}
	c.c.Period = Month
	if !given {
		return
	}
	switch text, _ := stringText(raw); text {
	case "month":
	case "window":
		c.c.Period = Window
	default:
		c.problem(`period must be "month" or "window"`)
	}
}

// unitAndFlat reads the price of an object with "unit", "per" and "flat", which stands
// at a place within the component's price. The unit may be left out beside a flat.
func (c *componentParser) unitAndFlat(at string, f fields) (unit, flat money.Amount) {
	flat = c.amount(at+"flat", f)
	raw, given := f["unit"]
	_, per := f["per"]
	if _, hasFlat := f["flat"]; !given && hasFlat && !per {
		return unit, flat
	}
	return c.unit(at, raw, f), flat
}

// unit reads unit / per and checks that its products are exact.
func (c *componentParser) unit(at string, raw json.RawMessage, f fields) money.Amount {
	if raw == nil {
		c.problem("%sunit is missing: a price must be a decimal string", at)
		return money.Amount{}
	}
	unit, err := amountOf(raw)
	if per, given := f["per"]; given && err == nil {
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
	raw, given := f[at[strings.LastIndexByte(at, '.')+1:]]
	if !given {
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
	c.c.Size = c.threshold(field, f[field], 0)
}

// threshold reads a quantity above another one, in the decimals of the component.
func (c *componentParser) threshold(at string, raw json.RawMessage, above money.Quantity) money.Quantity {
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
	list := c.list(field, f[field])
	start := money.Quantity(0)
	for i, t := range list {
		at := fmt.Sprintf("%s[%d].", field, i)
		c.known(at, t, "up_to", "unit", "per", "flat")
		var tier Tier
		tier.Unit, tier.Flat = c.unitAndFlat(at, t)
		raw, given := t["up_to"]
		switch last := i == len(list)-1; {
		case given && last:
			c.problem("%sup_to leaves quantities above it without a price: the last tier must be open", at)
		case !given && !last:
			c.problem("%sup_to is missing: only the last tier is open", at)
		case given:
			tier.UpTo = c.threshold(at+"up_to", raw, start)
			start = tier.UpTo
		}
		c.c.Tiers = append(c.c.Tiers, tier)
	}
}

// above reads the alternatives of a linear price. Their thresholds are compared with
// sums over several components and may have any decimals.
func (c *componentParser) above(f fields) {
	raw, given := f["above"]
	if !given {
		return
	}
	for i, a := range c.list("above", raw) {
		at := fmt.Sprintf("above[%d].", i)
		c.known(at, a, "of", "quantity", "unit", "per")
		of := c.of(at+"of", a["of"])
		if i == 0 {
			c.c.Of = of
		} else if !slices.Equal(of, c.c.Of) {
			c.problem("%sof must be the same as in above[0]", at)
		}
		alternative := Alternative{Unit: c.unit(at, a["unit"], a)}
		q, err := quantityOf(a["quantity"])
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
func (c *componentParser) of(at string, raw json.RawMessage) []string {
	var names []string
	if json.Unmarshal(raw, &names) != nil || len(names) == 0 || len(names) > MaxComponents {
		c.problem("%s must name 1 to %d components", at, MaxComponents)
		return nil
	}
	slices.Sort(names)
	for i, name := range names {
		if !validName([]byte(name)) {
			c.problem("%s: %q is not a component name", at, clip(name))
		}
		if i > 0 && name == names[i-1] {
			c.problem("%s names %s twice", at, clip(name))
		}
		names[i] = c.p.intern(name)
	}
	return names
}

// list reads a list of 1 to MaxTiers objects.
func (c *componentParser) list(at string, raw json.RawMessage) (list []fields) {
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 || len(list) > MaxTiers || slices.ContainsFunc(list, func(f fields) bool { return f == nil }) {
		c.problem("%s must be a list of 1 to %d objects", at, MaxTiers)
		return nil
	}
	return list
}

// known tells fields that an object does not have.
func (c *componentParser) known(at string, f fields, names ...string) {
	for name := range f {
		if !slices.Contains(names, name) {
			c.problem("%sunknown field %q", at, clip(name))
		}
	}
}

// absent tells fields that the model does not have.
func (c *componentParser) absent(f fields, why string, names ...string) {
	for _, name := range names {
		if _, given := f[name]; given {
			c.problem("%s %s", name, why)
		}
	}
}
