package bench

import (
	"slices"
	"testing"
)

// TestZipfPayers draws payers by Zipf's law: newly each time a turn is sent, the same for the same seed, all of them at least possible, and few
// with much.
func TestZipfPayers(t *testing.T) {
	const accounts = 1000
	w := Workload{Zipf: true, Batch: 100}
	p, again, other := newPayers(w, accounts, 5), newPayers(w, accounts, 5), newPayers(w, accounts, 6)
	turn := &turn{start: 77}
	counts, differ := make([]int, accounts), 0
	const sendings = 2000
	for n := range uint64(sendings) {
		for i := range w.Batch {
			payer := p.of(turn, i, n)
			counts[payer]++
			if payer != again.of(turn, i, n) {
				t.Fatal("the same seed draws other payers")
			}
			if payer != other.of(turn, i, n) {
				differ++
			}
		}
	}
	slices.Sort(counts)
	slices.Reverse(counts)
	top := 0
	for _, n := range counts[:accounts/100] {
		top += n
	}
	share := float64(top) / (sendings * float64(w.Batch))
	if share < 0.33 || share > 0.45 || counts[accounts-1] == 0 && counts[accounts*9/10] == 0 {
		t.Errorf("the first hundredth of the payers has %.2f of the events, the last %d", share, counts[accounts-1])
	}
	if differ == 0 {
		t.Error("another seed draws the same payers")
	}
	if one := newPayers(w, 1, 5); one.of(turn, 3, 9) != 0 {
		t.Error("one payer is not the only one")
	}
}

// TestMixedTurns has the shares that the workload is described by, and the trace's tokens stay within what a hold reserves.
func TestMixedTurns(t *testing.T) {
	w := Workload{Mixed: true, Batch: 1, Variants: 100}
	count := map[turnKind]int{}
	for i := range w.Variants {
		count[w.kindOf(i)]++
	}
	if count[events] != 90 || count[holds] != 9 || count[reads] != 1 {
		t.Errorf("%v", count)
	}
	if traceAnswer[len(traceAnswer)-1] > estimatedOutput || !slices.IsSorted(traceAnswer[:]) || !slices.IsSorted(tracePrompt[:]) {
		t.Error("the quantiles are none, or beyond what a hold reserves")
	}
}
