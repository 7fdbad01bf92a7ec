package engine

import (
	"fmt"
	"testing"

	"farthing/money"
)

// TestRestartChild has accounts below others charge their roots after each start, in a ledger that gets a second currency meanwhile.
func TestRestartChild(t *testing.T) {
	r := standard(t, nil)
	account := func(id, parent, billing string, c money.Currency) {
		t.Helper()
		if _, _, refused := r.e.CreateAccount(AccountSpec{ID: id, Currency: c, Kind: "customer", Parent: parent, Billing: billing}); refused != nil {
			t.Fatal(refused)
		}
	}
	charged := func(id, child, root string) {
		t.Helper()
		before := r.posted(root)
		if got := r.post(llm(id, child, "m1", 100, 100)); got.Accepted != 1 || got.Unpriced != 0 {
			t.Fatalf("%+v", got)
		}
		if after := r.posted(root); after == before {
			t.Fatalf("%s did not pay for %s: %s", root, child, after)
		}
	}
	account("team", "acme", "", usd())
	account("key", "team", "", usd())
	charged("first", "key", "acme")
	eur, _ := money.Lookup("EUR")
	for i := range 4 {
		if i == 2 {
			account("euro", "", "postpaid", eur)
			account("eurokey", "euro", "", eur)
			r.prices("v-eur", `{"effective_from":"2026-01-02T00:00:00Z","prices":[
 {"meter":"llm.tokens","currency":"USD","match":{"model":"m1"},"components":{"input":"0.0000025","output":"0.00001"},"payee":"prov","fee":"0.1"},
 {"meter":"llm.tokens","currency":"EUR","match":{"model":"m1"},"components":{"input":"0.5","output":"0.5"}}]}`)
		}
		r.reopen()
		charged(fmt.Sprintf("usd-%d", i), "key", "acme")
		if i >= 2 {
			charged(fmt.Sprintf("eur-%d", i), "eurokey", "euro")
		}
	}
	r.settle("w")
	r.close()
	if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err != nil {
		t.Fatal(err)
	}
	r.open()
}
