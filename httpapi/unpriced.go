package httpapi

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"farthing/engine"
	"farthing/meter"
	"farthing/refusal"
)

// unpricedCountsMax bounds the counts of a summary; of more the largest are listed.
const unpricedCountsMax = 1000

func (s *Server) getUnpriced(c *call) (answer, *refusal.Refusal) {
	q := c.query("limit", "cursor", "by")
	cursor, limit := q.page()
	by := q.parseUnpricedGrouping()
	if q.no != nil {
		return answer{}, q.no
	}
	page, no := s.engine.Unpriced(cursor, limit)
	a, no := listOf(page, no, unpricedView)
	if no != nil || cursor != "" {
		return a, no
	}
	counts := unpricedCountsMax
	if by != nil {
		counts = math.MaxInt // sums need all of them; there are some thousands at most
	}
	summary, no := s.engine.UnpricedSummary(counts)
	if no != nil {
		return answer{}, no
	}
	return answer{200, unpricedPageJSON{a.body.(list), by.summary(&summary)}}, nil
}

// unpricedPageJSON is the first page of the list.
type unpricedPageJSON struct {
	list
	Summary unpricedSummaryJSON `json:"summary"`
}

type unpricedSummaryJSON struct {
	Events   uint64              `json:"events"`
	Counts   []unpricedCountJSON `json:"counts"`
	Sequence uint64              `json:"sequence"`
}

// unpricedCountJSON counts events that agree in what is shown.
type unpricedCountJSON struct {
	Reason     *string            `json:"reason,omitempty"`
	Meter      *string            `json:"meter,omitempty"`
	Currency   *string            `json:"currency,omitempty"`
	Dimensions map[string]*string `json:"dimensions,omitempty"`
	Components []string           `json:"components,omitempty"`
	Events     uint64             `json:"events"`
}

type unpricedJSON struct {
	Source     string            `json:"source"`
	ID         string            `json:"id"`
	Type       string            `json:"type"`
	Subject    string            `json:"subject"`
	Time       string            `json:"time"`
	Sequence   uint64            `json:"sequence"`
	Reason     string            `json:"reason"`
	Now        string            `json:"now,omitempty"`
	Dimensions map[string]string `json:"dimensions"`
	Usage      map[string]string `json:"usage"`
}

func unpricedView(e *engine.UnpricedEvent) any {
	usage := make(map[string]string, len(e.Usage))
	for _, c := range e.Usage {
		usage[c.Component] = c.Quantity.String()
	}
	return unpricedJSON{e.Source, e.ID, e.Type, e.Subject, timeText(e.Time), e.Sequence, e.Reason, e.Now, dimensionsView(e.Dimensions), usage}
}

// unpricedGroupingsMax bounds ?by= of unpriced events: one for each thing they have
// besides dimensions, and the dimensions an event may have.
const unpricedGroupingsMax = 4 + meter.MaxDimensions

// unpricedGrouping is what ?by= asks for; nil: every kind by itself.
type unpricedGrouping struct {
	reason, meter, currency, components bool
	dimensions                          []string
}

// parseUnpricedGrouping reads a comma list of reason, meter, currency, components and
// dimension names.
func (q *query) parseUnpricedGrouping() *unpricedGrouping {
	if !q.values.Has("by") {
		return nil
	}
	words := strings.Split(q.values.Get("by"), ",")
	if len(words) > unpricedGroupingsMax {
		q.refuse("invalid_by", "by may name at most %d things", unpricedGroupingsMax)
		return nil
	}
	var g unpricedGrouping
	for _, word := range words {
		switch word {
		case "reason":
			g.reason = true
		case "meter":
			g.meter = true
		case "currency":
			g.currency = true
		case "components":
			g.components = true
		default:
			if word == "" || len(word) > meter.MaxDimensionKeyBytes {
				q.refuse("invalid_by", "by is a comma list of reason, meter, currency, components and names of dimensions")
			}
			if !slices.Contains(g.dimensions, word) {
				g.dimensions = append(g.dimensions, word)
			}
		}
	}
	return &g
}

// summary shows the counts, the largest first.
func (g *unpricedGrouping) summary(s *engine.UnpricedSummary) unpricedSummaryJSON {
	v := unpricedSummaryJSON{Events: s.Events, Sequence: s.Sequence, Counts: make([]unpricedCountJSON, 0, len(s.Counts))}
	if g == nil {
		for i := range s.Counts {
			v.Counts = append(v.Counts, unpricedKindView(&s.Counts[i]))
		}
		return v
	}
	at := map[string]int{}
	for i := range s.Counts {
		item, key := g.item(&s.Counts[i])
		k, there := at[key]
		if !there {
			k, at[key] = len(v.Counts), len(v.Counts)
			v.Counts = append(v.Counts, item)
		}
		v.Counts[k].Events += s.Counts[i].Events
	}
	slices.SortStableFunc(v.Counts, func(a, b unpricedCountJSON) int { return cmp.Compare(b.Events, a.Events) })
	v.Counts = v.Counts[:min(len(v.Counts), unpricedCountsMax)]
	return v
}

// unpricedKindView shows one kind whole. What no longer has a kind of its own has no meter.
func unpricedKindView(c *engine.UnpricedCount) unpricedCountJSON {
	currency := c.Currency.Code()
	v := unpricedCountJSON{Reason: &c.Reason, Meter: textOrNull(c.Type), Currency: textOrNull(currency), Components: c.Components, Events: c.Events}
	for i := range c.Dimensions {
		if v.Dimensions == nil {
			v.Dimensions = make(map[string]*string, len(c.Dimensions))
		}
		v.Dimensions[c.Dimensions[i].Key] = &c.Dimensions[i].Value
	}
	return v
}

// item returns what is asked for of a kind, without events, and a key that is equal for
// kinds that agree in it.
func (g *unpricedGrouping) item(c *engine.UnpricedCount) (v unpricedCountJSON, key string) {
	var parts []byte
	add := func(texts ...string) {
		for _, text := range texts {
			parts = append(append(appendInt(parts, len(text)), ':'), text...) // lengths keep apart what contains the separator
		}
		parts = append(parts, ';')
	}
	if g.reason {
		v.Reason = &c.Reason
		add(c.Reason)
	}
	if g.meter {
		v.Meter = textOrNull(c.Type)
		add(c.Type)
	}
	if g.currency {
		v.Currency = textOrNull(c.Currency.Code())
		add(c.Currency.Code())
	}
	if g.components {
		v.Components = c.Components
		add(c.Components...)
	}
	if len(g.dimensions) > 0 {
		v.Dimensions = make(map[string]*string, len(g.dimensions))
	}
	for _, name := range g.dimensions {
		v.Dimensions[name] = nil
		add()
		for i := range c.Dimensions {
			if c.Dimensions[i].Key == name {
				v.Dimensions[name] = &c.Dimensions[i].Value
				add(c.Dimensions[i].Value)
			}
		}
	}
	return v, string(parts)
}
