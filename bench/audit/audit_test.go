package audit

import (
	"strings"
	"testing"

	"farthing/bench/client"
)

// line is one line, its amounts in the order of the equation.
func line(n int, account, direction, in, credits, debits, amount, out string, events uint64) client.Line {
	return client.Line{
		Line: n, Account: account, Direction: direction, CarriedIn: client.M(in), GrossCredits: client.M(credits),
		GrossDebits: client.M(debits), Amount: client.M(amount), CarriedOut: client.M(out), Events: events,
	}
}

// sound is two windows without a fault.
func sound() []Batch {
	return []Batch{
		{client.Manifest{Window: 2, Currency: "USD", FirstSequence: 11, LastSequence: 20, Events: 1}, []client.Line{
			line(0, "acme", "collect", "-0.005", "0", "0.005", "0.01", "0", 1),
			line(1, "maker", "pay", "0.005", "0.005", "0", "0.01", "0", 0),
			line(2, "operator", "none", "-5", "0", "0", "0", "-5", 0),
		}},
		{client.Manifest{Window: 1, Currency: "USD", FirstSequence: 1, LastSequence: 10, Events: 3}, []client.Line{
			line(0, "acme", "collect", "0", "5", "6.235", "1.23", "-0.005", 3),
			line(1, "maker", "pay", "0", "6.235", "0", "6.23", "0.005", 0),
			line(2, "operator", "none", "0", "0", "5", "0", "-5", 0),
		}},
	}
}

func kinds() map[string]string { return map[string]string{"acme": "customer", "maker": "provider"} }

func TestWindowsSound(t *testing.T) {
	totals, faults := Windows(sound(), kinds())
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	got := totals[Key{"acme", "USD"}]
	if got.Debits.String() != "6.24" || got.Credits.String() != "5" || got.Settled.String() != "-1.24" || got.Events != 4 || !got.CarriedOut.IsZero() {
		t.Errorf("%+v", got)
	}
}

// Each single falsification is found and named.
func TestWindowsFindsFaults(t *testing.T) {
	f := func(want string, falsify func(b []Batch)) {
		t.Helper()
		batches := sound()
		falsify(batches)
		_, faults := Windows(batches, kinds())
		for _, fault := range faults {
			if strings.Contains(fault.Error(), want) {
				return
			}
		}
		t.Errorf("no fault says %q: %v", want, faults)
	}
	first := func(b []Batch) []client.Line { return b[1].Lines }
	f("to settle", func(b []Batch) { first(b)[0].CarriedOut = client.M("-0.006") })
	f("carried in", func(b []Batch) { b[0].Lines[1].CarriedIn = client.M("0.004") })
	f("want -1.23", func(b []Batch) { first(b)[0].Amount, first(b)[0].CarriedOut = client.M("1.24"), client.M("0.005") })
	f("want 6.23", func(b []Batch) { first(b)[1].Amount, first(b)[1].CarriedOut = client.M("6.235"), client.M("0") })
	f("direction", func(b []Batch) { first(b)[2].Direction = "pay" })
	f("stranger", func(b []Batch) { first(b)[1].Account = "nobody" })
	f("gross debits", func(b []Batch) { first(b)[0].GrossDebits = client.M("6.236") })
	f("returned sums", func(b []Batch) { first(b)[0].Returned = client.M("1") })
	f("events", func(b []Batch) { first(b)[0].Events++ })
	f("not sorted", func(b []Batch) { first(b)[0].Account = "zeta" })
	f("jump", func(b []Batch) { first(b)[1].Line = 4 })
	f("operator has 0", func(b []Batch) { b[1].Lines = first(b)[:2] })
	f("begins at", func(b []Batch) { b[0].Manifest.FirstSequence = 10 })
	f("two batches", func(b []Batch) { b[0].Manifest.Window = 1 })
}
