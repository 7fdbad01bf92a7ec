package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// hourly is a ledger with n versions, one an hour of the same month, and an event of four
// counted components under each. The price of versions that differ is another one each hour.
type hourly struct {
	r     *rig
	n     int
	start time.Time // of the first version
	use   [][2]string
}

func newHourly(t *testing.T, n int, differ bool) *hourly {
	h := &hourly{r: newRig(t, func(o *Options) { o.DedupWindow = 100 * day }), n: n, start: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)}
	h.r.account("acme", "customer", "postpaid")
	for k := range 4 {
		h.use = append(h.use, [2]string{fmt.Sprint("c", k), "10"})
	}
	for i := range n {
		first := "0.1"
		if differ {
			first = fmt.Sprintf("0.1%03d", i)
		}
		var components []string
		for _, u := range h.use {
			components = append(components, fmt.Sprintf(`%q:{"graduated":[{"up_to":"1000","unit":%q},{"up_to":"100000","unit":"0.05"},{"unit":"0.01"}]}`, u[0], first))
		}
		h.r.prices(fmt.Sprint("v", i), fmt.Sprintf(`{"effective_from":%q,"prices":[{"meter":"m","currency":"USD","match":{},"components":{%s}}]}`,
			h.start.Add(time.Duration(i)*time.Hour).Format(time.RFC3339), strings.Join(components, ",")))
	}
	for i := range n {
		if out := h.r.post(h.call(fmt.Sprint("e", i), i)); out.Accepted != 1 || out.Unpriced != 0 {
			t.Fatalf("%+v", out)
		}
	}
	return h
}

// under is a moment at which version i is in force.
func (h *hourly) under(i int) int64 { return h.start.Add(time.Duration(i)*time.Hour).UnixNano() + 1 }

func (h *hourly) call(id string, version int) call {
	return call{source: "gw", id: id, subject: "acme", kind: "m", usage: h.use, time: h.under(version)}
}

// rows returns how many counters there are, and how many rows the largest has.
func (h *hourly) rows() (counters, most int) {
	h.r.e.internal(func(s *sequencer) {
		counters = len(s.state.counters.index)
		for _, rows := range s.state.counters.index {
			most = max(most, len(rows))
		}
	})
	return counters, most
}

// lateBytes posts events under the first version and returns the bytes of journal that one takes.
func (h *hourly) lateBytes(t *testing.T) int {
	t.Helper()
	var late []call
	for i := range 100 {
		late = append(late, h.call(fmt.Sprint("late", i), 0))
	}
	if out := h.r.post(late...); out.Accepted != len(late) || out.Unpriced != 0 {
		t.Fatalf("%+v", out)
	}
	b, err := h.r.e.store.BlockAt(h.r.e.store.Head().Seq)
	if err != nil {
		t.Fatal(err)
	}
	return len(b.Body) / int(b.Last-b.First+1)
}

// TestVersionsThatSayTheSameCountAsOne: however many versions repeat a price, a counter has one
// row, and a late event takes hardly more of the journal than under a single version.
func TestVersionsThatSayTheSameCountAsOne(t *testing.T) {
	one := newHourly(t, 1, false).lateBytes(t)
	h := newHourly(t, 200, false)
	if got := h.lateBytes(t); got > one+8 {
		t.Errorf("a late event takes %d bytes below %d versions that say the same, %d under one", got, h.n, one)
	}
	if counters, most := h.rows(); counters != len(h.use) || most != 1 {
		t.Errorf("%d counters, of up to %d rows; want %d of 1", counters, most, len(h.use))
	}
}

// TestVersionsThatDifferCountEach: under versions with other prices a counter has a row for each,
// and a late event keeps in the journal what lies above it.
func TestVersionsThatDifferCountEach(t *testing.T) {
	h := newHourly(t, 20, true)
	if counters, most := h.rows(); counters != len(h.use) || most != h.n {
		t.Errorf("%d counters, of up to %d rows; want %d of %d", counters, most, len(h.use), h.n)
	}
	h.r.post(h.call("late", 0))
	blocks := blockReader{e: h.r.e}
	c, err := blocks.at(h.r.e.store.Head().Seq)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(c.event.later), len(h.use)*(h.n-1); got != want {
		t.Errorf("above a late event lie %d counts, want %d", got, want)
	}
	h.r.void("late")
	for i := range h.n {
		h.r.void(fmt.Sprint("e", i))
	}
	if got := h.r.posted("acme"); got != "0" {
		t.Errorf("all is voided, acme stands at %s", got)
	}
}

// TestRatingUnderManyVersionsAllocations: rating an event on time or late allocates nothing,
// however many versions counted in its period, and whether they differ or not.
func TestRatingUnderManyVersionsAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	f := func(n int, differ bool) {
		t.Helper()
		h := newHourly(t, n, differ)
		for _, version := range []int{0, n - 1} {
			if got := h.ratingAllocations(t, version); got != 0 {
				t.Errorf("%d versions, different %v: an event under version %d allocates %v times", n, differ, version, got)
			}
		}
	}
	for _, n := range []int{1, 9, 200} {
		f(n, false)
		f(n, true)
	}
}

// ratingAllocations counts what rating an event under a version allocates.
func (h *hourly) ratingAllocations(t *testing.T, version int) (n float64) {
	t.Helper()
	h.r.e.internal(func(s *sequencer) {
		at := h.under(version)
		slot := s.state.slot(0, s.state.rates.book.InForce(at), usd())
		acme, _ := s.state.findAccount([]byte("acme"))
		rec := eventRecord{account: acme, time: at, components: len(h.use)}
		for k := range h.use {
			rec.quantities[k] = 10_000_000
		}
		n = testing.AllocsPerRun(100, func() {
			if refused := s.state.rate(slot, &rec, &s.amounts, 1); refused != nil {
				t.Error(refused)
			}
		})
		if rec.amount.Sign() <= 0 {
			t.Errorf("the event costs %s", rec.amount)
		}
	})
	return n
}
