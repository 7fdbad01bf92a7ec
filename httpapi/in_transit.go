package httpapi

import (
	"slices"
	"strings"
	"time"

	"farthing/engine"
	"farthing/money"
	"farthing/refusal"
)

// inTransitPage is how many batches are read at once for the totals.
const inTransitPage = 1000

// inTransitAges bound the age groups of the totals; the last has no bound.
var inTransitAges = [...]struct {
	name string
	upTo time.Duration
}{{"1d", 24 * time.Hour}, {"3d", 3 * 24 * time.Hour}, {"7d", 7 * 24 * time.Hour}, {"older", 1<<63 - 1}}

// inTransitSum is what is in transit of one currency.
type inTransitSum struct {
	currency     money.Currency
	batches      int
	lines        uint64
	pay, collect money.Amount
}

func (s *inTransitSum) add(b *engine.InTransit) {
	s.batches++
	s.lines += uint64(b.Lines)
	s.pay, s.collect = s.pay.MustAdd(b.Pay), s.collect.MustAdd(b.Collect) // as the ledger's total of its class, which fits
}

// inTransitTotals is the sums of a currency, of all batches and by age.
type inTransitTotals struct {
	all  inTransitSum
	ages [len(inTransitAges)]inTransitSum
}

func (s *Server) getInTransit(c *call) (answer, *refusal.Refusal) {
	q := c.query("limit", "cursor")
	cursor, limit := q.page()
	if q.no != nil {
		return answer{}, q.no
	}
	now := s.now()
	page, no := s.engine.InTransit(cursor, limit)
	if no != nil {
		return answer{}, no
	}
	totals, no := s.inTransit(now)
	if no != nil {
		return answer{}, no
	}
	out := inTransitJSON{Items: make([]inTransitItemJSON, 0, len(page.Items)), Next: page.Next, Totals: make([]inTransitTotalJSON, 0, len(totals))}
	for i := range page.Items {
		b := &page.Items[i]
		out.Items = append(out.Items, inTransitItemJSON{b.Batch, b.Window, b.Currency.Code(), timeText(b.Time), int64(age(now, b.Time) / time.Second), b.Lines,
			b.Pay.String(), b.Collect.String()})
	}
	for _, t := range totals {
		out.Totals = append(out.Totals, totalView(t))
	}
	return answer{200, out}, nil
}

// inTransit adds up all batches that have an amount in transit, by currency code.
func (s *Server) inTransit(now time.Time) ([]*inTransitTotals, *refusal.Refusal) {
	var totals []*inTransitTotals
	for cursor, more := "", true; more; more = cursor != "" {
		page, no := s.engine.InTransit(cursor, inTransitPage)
		if no != nil {
			return nil, no
		}
		for i := range page.Items {
			b := &page.Items[i]
			k := slices.IndexFunc(totals, func(t *inTransitTotals) bool { return t.all.currency == b.Currency })
			if k < 0 {
				k, totals = len(totals), append(totals, &inTransitTotals{all: inTransitSum{currency: b.Currency}})
			}
			totals[k].all.add(b)
			totals[k].ages[ageGroup(age(now, b.Time))].add(b)
		}
		cursor = page.Next
	}
	slices.SortFunc(totals, func(a, b *inTransitTotals) int { return strings.Compare(a.all.currency.Code(), b.all.currency.Code()) })
	return totals, nil
}

// age is how long ago a time was. The ledger's clock may run ahead of this one.
func age(now, then time.Time) time.Duration { return max(0, now.Sub(then)) }

func ageGroup(d time.Duration) int {
	i := 0
	for d > inTransitAges[i].upTo {
		i++
	}
	return i
}

type inTransitJSON struct {
	Items  []inTransitItemJSON  `json:"items"`
	Next   string               `json:"next"`
	Totals []inTransitTotalJSON `json:"totals"`
}

type inTransitItemJSON struct {
	BatchID    string `json:"batch_id"`
	Window     uint64 `json:"window"`
	Currency   string `json:"currency"`
	Time       string `json:"time"`
	AgeSeconds int64  `json:"age_seconds"`
	Lines      uint32 `json:"lines"`
	Pay        string `json:"pay"`
	Collect    string `json:"collect"`
}

type inTransitTotalJSON struct {
	Currency string             `json:"currency"`
	Batches  int                `json:"batches"`
	Lines    uint64             `json:"lines"`
	Pay      string             `json:"pay"`
	Collect  string             `json:"collect"`
	Ages     []inTransitAgeJSON `json:"ages"`
}

type inTransitAgeJSON struct {
	Age     string `json:"age"`
	Batches int    `json:"batches"`
	Lines   uint64 `json:"lines"`
	Pay     string `json:"pay"`
	Collect string `json:"collect"`
}

func totalView(t *inTransitTotals) inTransitTotalJSON {
	v := inTransitTotalJSON{Currency: t.all.currency.Code(), Batches: t.all.batches, Lines: t.all.lines, Pay: t.all.pay.String(), Collect: t.all.collect.String()}
	for i := range t.ages {
		a := &t.ages[i]
		v.Ages = append(v.Ages, inTransitAgeJSON{inTransitAges[i].name, a.batches, a.lines, a.pay.String(), a.collect.String()})
	}
	return v
}
