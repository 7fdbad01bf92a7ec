package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"farthing/meter"
)

// TestHugePartsOfASmallTotal: an event's total is small, but one of its components costs more
// than an amount may be and another one gives as much back. It is refused, because such parts
// are summed up by component; the ledger goes on.
func TestHugePartsOfASmallTotal(t *testing.T) {
	r := standard(t, nil)
	r.prices("g1", `{"effective_from":"2026-01-02T00:00:00Z","prices":[{"meter":"x","currency":"USD","match":{},"components":{
		"a":{"volume":[{"up_to":"10","unit":"0"},{"unit":"400000000000"}]},
		"b":{"volume":[{"up_to":"10","unit":"400000000000"},{"unit":"0"}]}}}]}`)
	both := func(id string) call {
		return call{source: "gw", id: id, subject: "acme", kind: "x", usage: [][2]string{{"a", "1"}, {"b", "1"}}}
	}
	for i := range 10 {
		if out := r.post(both(fmt.Sprint("e", i))); out.Accepted != 1 {
			t.Fatalf("%+v", out)
		}
	}
	// The eleventh costs 4.4·10¹² for a and −4·10¹² for b.
	out := r.post(both("e10"))
	if len(out.Rejected) != 1 || out.Rejected[0].Refusal.Reason != "amount_overflow" {
		t.Errorf("%+v", out)
	}
	if got := r.posted("acme"); got != "-4000000000000" {
		t.Errorf("acme stands at %s", got)
	}
	r.void("e9")
	if got := r.posted("acme"); got != "-3600000000000" {
		t.Errorf("after a void acme stands at %s", got)
	}
}

// TestQuantityOverflowHasItsReason: what is more than a period can count is refused for the same
// reason, whether what was counted lies below the event or under a later version above it.
func TestQuantityOverflowHasItsReason(t *testing.T) {
	f := func(name string, above bool) {
		t.Run(name, func(t *testing.T) {
			r := standard(t, nil)
			r.prices("g1", fmt.Sprintf(gradedBook, "2026-01-02T00:00:00Z", "0", "0"))
			if above {
				r.prices("g2", fmt.Sprintf(gradedBook, "2026-11-01T11:30:00Z", "0", "0.000000000001"))
			}
			if out := r.post(callsOf("a", "9000000000000")); out.Accepted != 1 {
				t.Fatalf("%+v", out)
			}
			late := callsOf("b", "1000000000000")
			late.time = r.base.Add(-time.Hour).UnixNano()
			if out := r.post(late); len(out.Rejected) != 1 || out.Rejected[0].Refusal.Reason != "quantity_overflow" {
				t.Errorf("%+v", out)
			}
		})
	}
	f("below", false)
	f("above", true)
}

// TestForgedUnpriced writes an event that has a price, or none, as one that has none for another
// reason: verifying and opening both refuse and name it.
func TestForgedUnpriced(t *testing.T) {
	f := func(name, model string, reason unpricedReason) {
		t.Run(name, func(t *testing.T) {
			r := standard(t, nil)
			r.post(llm("e1", "acme", model, 5000, 5))
			head := r.e.store.Head()
			tables := r.e.published.Load()
			blocks := blockReader{e: r.e}
			c, err := blocks.at(head.Seq)
			if err != nil {
				t.Fatal(err)
			}
			e := c.event.clone()
			if e.reason == priced {
				e.raw = []byte(tables.shapes[e.shape].raw)
			}
			e.id, e.reason = []byte("e2"), reason
			body := appendEvent(nil, &e, 0, head.Time)
			r.close()
			forge(t, r.o.Journal, body)
			_, verify := Verify(VerifyOptions{Journal: r.o.Journal})
			opened, open := Open(r.o)
			if open == nil {
				r.e = opened // to be closed
			}
			for what, err := range map[string]error{"verify": verify, "open": open} {
				if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("sequence %d", head.Seq+1)) {
					t.Errorf("%s does not name sequence %d: %v", what, head.Seq+1, err)
				}
			}
		})
	}
	f("a priced event without a price", "m1", noPrice)
	f("a priced event without a version", "m1", noVersion)
	f("a priced event with a component too many", "m1", componentUnpriced)
	f("an unpriced event for another reason", "unknown", componentUnpriced)
}

// TestVolumeTiersThatVoidsCouldNotReach: with a volume price a smaller quantity may cost more
// than the greater one that was booked. A tier whose end costs more than an amount can hold is
// refused when the version is put, so that every void fits.
func TestVolumeTiersThatVoidsCouldNotReach(t *testing.T) {
	const book = `{"effective_from":"2026-01-02T00:00:00Z","prices":[{"meter":"x","currency":"USD","match":{},"components":{"call":{"volume":[{"up_to":%q,"unit":"1000000000000"},{"unit":"0.001"}]}}}]}`
	if _, refused := meter.ParseVersion("v", fmt.Appendf(nil, book, "100000000")); refused != nil {
		t.Errorf("10^20 fits, but: %v", refused)
	}
	_, refused := meter.ParseVersion("v", fmt.Appendf(nil, book, "1000000000"))
	if want := "prices[0].components.call: volume[0].up_to at this unit is more than an amount can hold"; refused == nil || !strings.Contains(refused.Error(), want) {
		t.Errorf("got %v, want %s", refused, want)
	}
}
