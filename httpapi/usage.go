package httpapi

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"farthing/engine"
	"farthing/meter"
	"farthing/refusal"
)

// groupingsMax bounds ?by=: one for each thing that usage has besides dimensions,
// and the dimensions an event may have.
const groupingsMax = 3 + meter.MaxDimensions

// grouping is what ?by= asks for.
type grouping struct {
	meter, component, day bool
	dimensions            []string
}

// parseGrouping reads a comma list of meter, component, day and dimension names.
func (q *query) parseGrouping() grouping {
	text := "component"
	if q.values.Has("by") {
		text = q.values.Get("by")
	}
	var g grouping
	words := strings.Split(text, ",")
	if len(words) > groupingsMax {
		q.refuse("invalid_by", "by may name at most %d things", groupingsMax)
		return g
	}
	for _, word := range words {
		switch word {
		case "meter":
			g.meter = true
		case "component":
			g.component = true
		case "day":
			g.day = true
		default:
			if word == "" || len(word) > meter.MaxDimensionKeyBytes {
				q.refuse("invalid_by", "by is a comma list of meter, component, day and names of dimensions")
			}
			if !slices.Contains(g.dimensions, word) {
				g.dimensions = append(g.dimensions, word)
			}
		}
	}
	return g
}

func (s *Server) getUsage(c *call) (answer, *refusal.Refusal) {
	q := c.query("from", "to", "by")
	from, to, by := q.time("from"), q.time("to"), q.parseGrouping()
	if !to.IsZero() && to.Before(from) {
		q.refuse("invalid_time", "to lies before from")
	}
	account, no := c.param(0)
	if q.no != nil {
		no = q.no
	}
	if no != nil {
		return answer{}, no
	}
	rows, sequence, no := s.usage(account, from, to)
	if no != nil {
		return answer{}, no
	}
	return answer{200, usageJSON{by.sum(rows), sequence}}, nil
}

// usage asks for an account's usage. The operator exists but has none: usage is the
// payer's.
func (s *Server) usage(account string, from, to time.Time) ([]engine.UsageRow, uint64, *refusal.Refusal) {
	if account != operatorID {
		return s.engine.Usage(account, from, to)
	}
	a, no := s.engine.Account(operatorID)
	return nil, a.Sequence, no
}

type usageJSON struct {
	Items    []usageItemJSON `json:"items"`
	Sequence uint64          `json:"sequence"`
}

type usageItemJSON struct {
	Day        string             `json:"day,omitempty"`
	Meter      string             `json:"meter,omitempty"`
	Component  string             `json:"component,omitempty"`
	Dimensions map[string]*string `json:"dimensions,omitempty"`
	Currency   string             `json:"currency"`
	Quantity   string             `json:"quantity"`
	Amount     string             `json:"amount"`
	// Events counts usage events. It is given only where no event can be in two
	// items, which is when components are not told apart.
	Events *uint64 `json:"events,omitempty"`
}

// usageSum is an item under construction. Sums are decimals: they cannot
// overflow, however many days and dimensions are added up.
type usageSum struct {
	parts            []string // what the item is grouped by, in the order of sorting
	component        string
	row              *engine.UsageRow // any row of the group: they agree on what is asked for
	quantity, amount decimal.Decimal
	events           uint64
}

// sum groups the rows and sorts the groups by currency, day, meter, dimensions
// and component.
func (g *grouping) sum(rows []engine.UsageRow) []usageItemJSON {
	groups := make(map[string]*usageSum)
	for i := range rows {
		row := &rows[i]
		if !g.component {
			whole := g.group(groups, row, "")
			whole.events += row.Events
			for k := range row.Components {
				whole.add(&row.Components[k])
			}
			continue
		}
		for k := range row.Components {
			g.group(groups, row, row.Components[k].Name).add(&row.Components[k])
		}
	}
	sorted := slices.SortedFunc(maps.Values(groups), func(a, b *usageSum) int { return slices.Compare(a.parts, b.parts) })
	items := make([]usageItemJSON, 0, len(sorted))
	for _, sum := range sorted {
		items = append(items, g.item(sum))
	}
	return items
}

// group returns the group that a component of a row falls into.
func (g *grouping) group(groups map[string]*usageSum, row *engine.UsageRow, component string) *usageSum {
	parts := append(g.parts(row), component)
	var key []byte
	for _, part := range parts {
		key = appendInt(key, len(part)) // lengths keep apart what contains the separator
		key = append(append(key, ':'), part...)
	}
	sum := groups[string(key)]
	if sum == nil {
		sum = &usageSum{parts: parts, component: component, row: row}
		groups[string(key)] = sum
	}
	return sum
}

func (u *usageSum) add(c *engine.UsageComponent) {
	quantity, err := decimal.NewFromString(c.Quantity)
	if err != nil {
		panic("BUG: the engine gave a quantity that is no decimal: " + c.Quantity)
	}
	u.quantity = u.quantity.Add(quantity)
	u.amount = u.amount.Add(c.Amount.Decimal())
}

// parts lists what the grouping asks for of a row.
func (g *grouping) parts(row *engine.UsageRow) []string {
	parts := []string{row.Currency.Code()}
	if g.day {
		parts = append(parts, row.Day.UTC().Format(dayLayout))
	}
	if g.meter {
		parts = append(parts, row.Meter)
	}
	for _, name := range g.dimensions {
		if value, has := dimensionOf(row, name); has {
			parts = append(parts, "="+value)
		} else {
			parts = append(parts, "") // sorts first, and is no value
		}
	}
	return parts
}

func dimensionOf(row *engine.UsageRow, name string) (string, bool) {
	for _, d := range row.Dimensions {
		if d.Key == name {
			return d.Value, true
		}
	}
	return "", false
}

func (g *grouping) item(sum *usageSum) usageItemJSON {
	item := usageItemJSON{
		Component: sum.component, Currency: sum.row.Currency.Code(),
		Quantity: sum.quantity.String(), Amount: sum.amount.String(),
	}
	if g.day {
		item.Day = sum.row.Day.UTC().Format(dayLayout)
	}
	if g.meter {
		item.Meter = sum.row.Meter
	}
	if !g.component {
		item.Events = &sum.events
	}
	for _, name := range g.dimensions {
		if item.Dimensions == nil {
			item.Dimensions = make(map[string]*string, len(g.dimensions))
		}
		item.Dimensions[name] = nil
		if value, has := dimensionOf(sum.row, name); has {
			item.Dimensions[name] = &value
		}
	}
	return item
}
