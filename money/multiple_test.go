package money

import "testing"

func TestUpToMultiple(t *testing.T) {
	f := func(gap, unit, want string) {
		t.Helper()
		g, err := Parse(gap)
		if err != nil {
			t.Fatal(err)
		}
		u, err := Parse(unit)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := g.UpToMultiple(u); !ok || got.String() != want {
			t.Errorf("%s in steps of %s: %s, %v, want %s", gap, unit, got, ok, want)
		}
	}
	f("-5", "10", "10")
	f("0", "10", "10")
	f("10", "10", "10")
	f("10.000000000000000001", "10", "20")
	f("29.99", "10", "30")
	f("30", "10", "30")
	f("100000000000", "0.000000000000000003", "100000000000.000000000000000002")
	most := FromWords(1<<63-1, 1<<64-1)
	if _, ok := most.UpToMultiple(FromWords(1, 0)); ok {
		t.Error("a multiple beyond the largest amount was returned")
	}
}
