package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"farthing/meter"
)

// TestVersionProblemsAreFolded puts a version with many prices for few payees that are none, and
// further faults: each payee is told once for a currency, behind what is wrong with the document.
func TestVersionProblemsAreFolded(t *testing.T) {
	r := standard(t, nil)
	f := func(count int, payee func(i int) string) []string {
		t.Helper()
		var prices []string
		for i := range count {
			currency := "USD"
			if i%10 == 9 {
				currency = "EUR"
			}
			prices = append(prices, fmt.Sprintf(`{"meter":"m%d","currency":%q,"match":{},"components":{"a":"1"},"payee":%q}`, i, currency, payee(i)))
		}
		prices = append(prices, `{"meter":"m","currency":"USD","match":{},"components":{"a":"-1"}}`)
		v, faults := meter.ParseVersion("v1", []byte(`{"effective_from":"2026-01-01T00:00:00Z","prices":[`+strings.Join(prices, ",")+`]}`))
		_, created, refused := r.e.PutPrices(v, faults)
		if created || refused == nil || refused.Reason != "invalid_version" {
			t.Fatalf("%v %+v", created, refused)
		}
		if !strings.HasPrefix(refused.Detail, strings.Join(refused.Problems[:3], "; ")+"; and ") {
			t.Errorf("detail %q", refused.Detail)
		}
		return refused.Problems
	}
	got := f(20, func(i int) string { return []string{"nobody", "acme"}[i/15] })
	want := []string{
		"prices[20].components.a: a price must not be negative",
		"prices[0]: payee nobody is no provider account in USD (the first of 14 prices that name it)",
		"prices[9]: payee nobody is no provider account in EUR",
		"prices[15]: payee acme is no provider account in USD (the first of 4 prices that name it)",
		"prices[19]: payee acme is no provider account in EUR",
		"price version v1 exists with other content",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	got = f(meter.MaxProblems+7, func(i int) string { return fmt.Sprint("p", i) })
	if n := len(got); n != 1+meter.MaxProblems+2 || got[n-2] != want[5] || got[n-1] != "and 7 more" {
		t.Errorf("%d problems: %q", n, got[n-3:])
	}
}

// TestUnlistedProblemsAreCountedLast has more faults in the document than are listed, beside a
// conflict that only the ledger knows.
func TestUnlistedProblemsAreCountedLast(t *testing.T) {
	r := standard(t, nil)
	v, faults := meter.ParseVersion("v1", []byte(`{"effective_from":"2026-01-01T00:00:00Z","prices":[`+strings.Repeat("7,", meter.MaxProblems+4)+`7]}`))
	_, _, refused := r.e.PutPrices(v, faults)
	if refused == nil {
		t.Fatal("taken")
	}
	n := len(refused.Problems)
	if n != meter.MaxProblems+2 || refused.Problems[n-2] != "price version v1 exists with other content" || refused.Problems[n-1] != "and 5 more" ||
		!strings.HasSuffix(refused.Detail, fmt.Sprintf("; and %d more", meter.MaxProblems+3)) {
		t.Errorf("%d problems, %q … %q", n, refused.Detail, refused.Problems[n-3:])
	}
	if last := faults.Problems[len(faults.Problems)-1]; last != "and 5 more" {
		t.Errorf("the parser's refusal was changed: %q", last)
	}
}

// TestVersionsOfEarlierReleasesAreRead has a journal with a version that is refused today: a
// threshold on a component that the price lacks, and a fee of nobody. The ledger starts with it,
// from genesis and from a checkpoint, and verifies.
func TestVersionsOfEarlierReleasesAreRead(t *testing.T) {
	r := standard(t, nil)
	const body = `{"effective_from":"2026-02-01T00:00:00Z","prices":[{"meter":"api.calls","currency":"USD","match":{},"components":{"call":{"unit":"2","above":[{"of":["cal"],"quantity":"5","unit":"1"}]}},"fee":"0.5"}]}`
	if _, refused := meter.ParseVersion("old", []byte(body)); refused == nil || len(refused.Problems) != 2 {
		t.Fatalf("%+v", refused)
	}
	r.close()
	forge(t, r.o.Journal, appendBytes([]byte{kindPrices}, appendBytes(appendBytes(nil, "old"), body)))
	r.open()
	for range 2 { // the second start is from the checkpoint that closing writes
		if p, refused := r.e.PriceVersion("old"); refused != nil || len(p.Version.Prices) != 1 {
			t.Fatalf("%+v", refused)
		}
		r.reopen()
	}
	r.close()
	if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err != nil {
		t.Fatal(err)
	}
	r.open()
}
