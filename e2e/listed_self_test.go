package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
)

// The oracle of list prices, worked by hand.
func TestListings(t *testing.T) {
	got, err := listings(strings.NewReader(`{
		"b": {"mode": "chat", "input_cost_per_token": 1.25e-06, "output_cost_per_token": 1E-5, "cache_read_input_token_cost": 3e-7,
			"input_cost_per_token_above_200k_tokens": 2.5e-06, "output_cost_per_token_above_200k_tokens": 0, "input_cost_per_token_batches": 6.25e-07,
			"input_cost_per_request": 0.005, "output_dbu_cost_per_token": 7, "search_context_cost_per_query": {"search_context_size_medium": 0.03}},
		"a": {"mode": "chat", "input_cost_per_second": 0.0455, "output_cost_per_second": 0.0455},
		"free": {"mode": "chat", "input_cost_per_token": 0, "output_cost_per_token": 0.0},
		"none": {"mode": "chat"},
		"picture": {"mode": "image_generation", "output_cost_per_image": 1e-6}}`))
	if err != nil || len(got) != 3 || got[0].name != "a" || got[1].batch || !got[2].batch {
		t.Fatalf("%v %+v", err, got)
	}
	f := func(l *listing, want string, usage ...string) { // component, quantity, ...
		t.Helper()
		var names []string
		var quantities []decimal.Decimal
		for pair := range slices.Chunk(usage, 2) {
			names, quantities = append(names, pair[0]), append(quantities, decimal.RequireFromString(pair[1]))
		}
		parts := make([]decimal.Decimal, len(names))
		prices := l.columns(names)
		total, above := prices.cost(quantities, parts)
		if got := fmt.Sprint(parts, " ", total, " ", above); got != want {
			t.Errorf("%s, batch %v, %v: %s, want %s", l.name, l.batch, usage, got, want)
		}
	}
	f(&got[0], "[0.113841] 0.113841 false", "seconds", "2.502")
	f(&got[1], "[0.00625 0.00001 0.00002 0.06] 0.06628 false", "input", "1000", "output", "1", "reasoning", "2", "web_search_medium", "2")
	f(&got[1], "[0.13 0.03 0] 0.16 false", "input", "100000", "cached_input", "100000", "output", "0")
	f(&got[1], "[0 0.0003] 0.0003 false", "input", "0", "cached_input", "1000")
	f(&got[1], "[0.2550025 0.03] 0.2850025 true", "input", "100001", "cached_input", "100000")
	f(&got[2], "[0.005625 0.0003 0.00001] 0.005935 false", "input", "1000", "cached_input", "1000", "output", "1")
	f(&got[2], "[0.5050025] 0.5050025 true", "input", "200001")
}

func TestAtScale18(t *testing.T) {
	f := func(d string, hi int64, lo uint64, ok bool) {
		t.Helper()
		if h, l, o := atScale18(decimal.RequireFromString(d)); o != ok || ok && (h != hi || l != lo) {
			t.Errorf("%s: %d %d %v", d, h, l, o)
		}
	}
	f("0", 0, 0, true)
	f("0.000000000000000001", 0, 1, true)
	f("18.446744073709551615", 0, 1<<64-1, true)
	f("18.446744073709551617", 1, 1, true)
	f("170141183460469231731.687303715884105727", 1<<63-1, 1<<64-1, true)
	f("170141183460469231731.687303715884105728", 0, 0, false)
	f("0.0000000000000000001", 0, 0, false)
	f("-1", 0, 0, false)
}
