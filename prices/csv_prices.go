package prices

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"farthing/meter"
	"farthing/money"
)

// rowsOf is the rows of one price, and of each of its components.
type rowsOf struct {
	price      []row
	components map[string][]row
}

// document makes the prices of the rows. Whatever the price book would refuse is
// a problem of the rows that it comes from.
func (t *sheet) document(opts Options) *Document {
	doc := &Document{EffectiveFrom: opts.effectiveFrom()}
	groups := t.groups()
	usable := groups[:0]
	for _, g := range groups {
		price := t.price(g)
		if len(price.Components) > 0 {
			doc.Prices = append(doc.Prices, price)
			usable = append(usable, g)
		}
	}
	if len(doc.Prices) > 0 {
		if _, refused := meter.ParseVersion("csv", doc.AppendJSON(nil)); refused != nil {
			t.refused(refused.Problems, refused.Detail, usable)
		}
	}
	return doc
}

// groups puts the rows of one price together, in the order of Document.sort.
func (t *sheet) groups() []*rowsOf {
	var groups []*rowsOf
	compare := func(a, b *row) int {
		return cmp.Or(cmp.Compare(a.cells["meter"], b.cells["meter"]), cmp.Compare(a.cells["currency"], b.cells["currency"]), compareMatch(a.match, b.match))
	}
	rows := slices.Clone(t.rows)
	slices.SortStableFunc(rows, func(a, b row) int { return compare(&a, &b) })
	for i := range rows {
		if i == 0 || compare(&rows[i-1], &rows[i]) != 0 {
			groups = append(groups, &rowsOf{components: map[string][]row{}})
		}
		g := groups[len(groups)-1]
		g.price = append(g.price, rows[i])
		name := rows[i].cells["component"]
		g.components[name] = append(g.components[name], rows[i])
	}
	return groups
}

// price makes a price of its rows. Components that have problems are free in it: nothing
// is imported then, but others may look at them.
func (t *sheet) price(g *rowsOf) Price {
	first := &g.price[0]
	p := Price{Meter: first.cells["meter"], Currency: first.cells["currency"], Match: first.match}
	p.Payee = t.same(g.price, "payee", "price")
	if t.same(g.price, "fee", "price") != "" {
		p.Fee = t.fee(g.price)
	}
	for _, name := range slices.Sorted(maps.Keys(g.components)) {
		if name == "" || p.Meter == "" || p.Currency == "" {
			continue // said when the row was read
		}
		before := len(t.problems)
		c := t.component(name, g.components[name])
		if len(t.problems) > before {
			c = Component{Name: name}
		}
		p.Components = append(p.Components, c)
	}
	return p
}

func (t *sheet) fee(rows []row) string {
	for i := range rows {
		if fee, given := t.amount(&rows[i], "fee"); given {
			return fee.String()
		}
	}
	return ""
}

// same returns the cell that the rows have in a column. One row is enough.
func (t *sheet) same(rows []row, column, of string) string {
	value, line := "", 0
	for i := range rows {
		switch cell := rows[i].cells[column]; {
		case cell == "" || cell == value:
		case value == "":
			value, line = cell, rows[i].line
		default:
			t.problem(rows[i].line, column, "%q, but row %d of the same %s has %q", cell, line, of, value)
		}
	}
	return value
}

// component makes a component of its rows: one row, one and those above some
// size, or a row for each tier.
func (t *sheet) component(name string, rows []row) Component {
	c := Component{Name: name}
	c.Model = t.same(rows, "tiers", "component")
	c.Period = t.same(rows, "period", "component")
	c.Package = t.once(rows, "package")
	c.Included = t.once(rows, "included")
	if minimum := t.same(rows, "minimum", "component"); minimum != "" {
		c.Minimum = t.minimum(rows)
	}
	if decimals := t.same(rows, "quantity_decimals", "component"); decimals != "" {
		n, err := strconv.Atoi(decimals)
		if err != nil || n < 0 || n > money.QuantityDecimals {
			t.problem(rows[0].line, "quantity_decimals", "%q is no whole number from 0 to %d", decimals, money.QuantityDecimals)
		}
		c.QuantityDecimals = n
	}
	if c.Model != "" {
		t.tiers(&c, rows)
		return c
	}
	t.linear(&c, rows)
	return c
}

func (t *sheet) minimum(rows []row) string {
	for i := range rows {
		if minimum, given := t.amount(&rows[i], "minimum"); given {
			return minimum.String()
		}
	}
	return ""
}

// once returns the quantity that the rows have in a column.
func (t *sheet) once(rows []row, column string) string {
	if t.same(rows, column, "component") == "" {
		return ""
	}
	for i := range rows {
		if q, given := t.quantity(&rows[i], column); given {
			return q.String()
		}
	}
	return ""
}

func (t *sheet) tiers(c *Component, rows []row) {
	if c.Model != "graduated" && c.Model != "volume" {
		t.problem(rows[0].line, "tiers", "%q is neither graduated nor volume", c.Model)
	}
	var tiers []sortedStep
	for i := range rows {
		r := &rows[i]
		t.absent(r, "a row of tiers has none", "above", "of", "package", "included", "minimum")
		if r.cells["tiers"] == "" {
			t.problem(r.line, "tiers", "must be %q, as in the other rows of the component", c.Model)
		}
		end, given := t.quantity(r, "up_to")
		if !given {
			end = money.QuantityMax + 1
		}
		tiers = append(tiers, sortedStep{end, r.line, t.step(r, end, given)})
	}
	c.Tiers = t.ascending(tiers, "up_to")
}

func (t *sheet) linear(c *Component, rows []row) {
	var base *row
	var above []sortedStep
	for i := range rows {
		r := &rows[i]
		t.absent(r, "only rows with tiers have one", "up_to")
		from, given := t.quantity(r, "above")
		switch {
		case given:
			t.absent(r, "a row with above has none", "flat")
			t.of(c, r)
			above = append(above, sortedStep{from, r.line, t.step(r, from, true)})
		case base != nil:
			t.problem(r.line, "component", "row %d prices %s for the same events already", base.line, c.Name)
		default:
			t.absent(r, "only rows with above have one", "of")
			base = r
			c.Rate = t.rate(r)
		}
	}
	if base == nil {
		t.problem(rows[0].line, "above", "no row says what %s costs below that", c.Name)
	}
	c.Above = t.ascending(above, "above")
}

// of reads the components whose sum a price above some size asks for.
func (t *sheet) of(c *Component, r *row) {
	names := strings.Fields(r.cells["of"])
	slices.Sort(names)
	switch {
	case len(names) == 0:
		t.problem(r.line, "of", "must name the components whose quantities are above %s", r.cells["above"])
	case c.Of == nil:
		c.Of = names
	case !slices.Equal(c.Of, names):
		t.problem(r.line, "of", "must be the same in all rows of the component")
	}
}

// sortedStep is a step with what it is sorted by and the row that it is from.
type sortedStep struct {
	at   money.Quantity
	line int
	Step
}

func (t *sheet) step(r *row, at money.Quantity, given bool) Step {
	s := Step{Rate: t.rate(r)}
	if given {
		s.Quantity = at.String()
	}
	return s
}

// ascending returns the steps in order: that of the rows means nothing.
func (t *sheet) ascending(steps []sortedStep, column string) []Step {
	slices.SortStableFunc(steps, func(a, b sortedStep) int { return cmp.Compare(a.at, b.at) })
	var out []Step
	for i := range steps {
		if i > 0 && steps[i].at == steps[i-1].at {
			t.problem(steps[i].line, column, "the same as in row %d", steps[i-1].line)
		}
		out = append(out, steps[i].Step)
	}
	return out
}

// rate reads the cells unit, per and flat of a row.
func (t *sheet) rate(r *row) Rate {
	unit, given := t.amount(r, "unit")
	flat, hasFlat := t.amount(r, "flat")
	if !given && !hasFlat {
		t.problem(r.line, "unit", "is missing: write 0 for what is free")
	}
	rate := Rate{Unit: unit, Flat: flat}
	if cell := r.cells["per"]; cell != "" {
		per, err := money.ParseQuantity([]byte(cell))
		switch whole, isWhole := per.Whole(); {
		case err != nil || !isWhole || whole == 0:
			t.problem(r.line, "per", "%q is no whole number above 0", cell)
		case whole > 1:
			rate.Per = strconv.FormatUint(whole, 10)
		}
	}
	return rate
}

// amount reads a decimal that is not negative, also as spreadsheets write small
// ones: 2.5E-06. False: the cell is empty or was refused.
func (t *sheet) amount(r *row, column string) (money.Amount, bool) {
	cell := r.cells[column]
	if cell == "" {
		return money.Amount{}, false
	}
	a, err := money.ParseNumber(cell)
	switch {
	case err != nil:
		t.problem(r.line, column, "%q: %v", cell, err)
	case a.Sign() < 0:
		t.problem(r.line, column, "%q is negative", cell)
	}
	return a, true
}

func (t *sheet) quantity(r *row, column string) (money.Quantity, bool) {
	cell := r.cells[column]
	if cell == "" {
		return 0, false
	}
	q, err := money.ParseQuantity([]byte(cell))
	if err != nil {
		t.problem(r.line, column, "%q: %v", cell, err)
	}
	return q, true
}

func (t *sheet) absent(r *row, why string, columns ...string) {
	for _, column := range columns {
		if r.cells[column] != "" {
			t.problem(r.line, column, "must be empty: %s", why)
		}
	}
}

// placeOf and componentOf find what the price book names when it refuses.
var (
	placeOf     = regexp.MustCompile(`prices\[([0-9]+)\]`)
	componentOf = regexp.MustCompile(`^prices\[[0-9]+\]\.components\.([^:]+): `)
)

// refused turns the problems of a version into those of rows.
func (t *sheet) refused(list []string, detail string, groups []*rowsOf) {
	if len(list) == 0 {
		list = []string{detail}
	}
	for _, text := range list {
		line := 0
		row := func(place string) int {
			i, err := strconv.Atoi(placeOf.FindStringSubmatch(place)[1])
			if err != nil || i >= len(groups) {
				panic("BUG: a problem of a price that is none: " + text)
			}
			return groups[i].price[0].line
		}
		if found := placeOf.FindString(text); found != "" {
			line = row(found)
		}
		if found := componentOf.FindStringSubmatch(text); found != nil {
			i, _ := strconv.Atoi(placeOf.FindStringSubmatch(text)[1]) // read above already
			if rows := groups[i].components[found[1]]; len(rows) > 0 {
				line = rows[0].line
			}
			text = found[1] + ": " + text[len(found[0]):]
		}
		text = placeOf.ReplaceAllStringFunc(text, func(place string) string { return "the price of row " + strconv.Itoa(row(place)) })
		t.problem(line, "", "%s", text)
	}
}
