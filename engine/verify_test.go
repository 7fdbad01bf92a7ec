package engine

import (
	"fmt"
	"testing"
)

// TestVerifyAgrees runs verify over a history with runs, deltas, windows and a restart.
func TestVerifyAgrees(t *testing.T) {
	r := standard(t, func(o *Options) { o.RunIdentities, o.CheckpointBytes = 50, 2000 })
	n := 0
	for window := range 5 {
		for range 40 {
			var calls []call
			for range 7 {
				n++
				calls = append(calls, llm(fmt.Sprint("e", n), []string{"acme", "beta"}[n%2], []string{"m1", "m2"}[n%3/2], n, n*3))
			}
			if got := r.post(calls...); got.Accepted != 7 {
				t.Fatalf("%+v", got)
			}
		}
		if window == 2 {
			r.reopen()
		}
		r.settle(fmt.Sprint("w", window))
	}
	r.close()
	report, err := Verify(VerifyOptions{Journal: r.o.Journal})
	if err != nil {
		t.Fatal(err)
	}
	if report.Events != uint64(n) || report.Windows != 5 || report.Batches != 5 || report.Checkpoints != 1 || report.Runs < 5 || report.Accounts != 3 {
		t.Fatalf("%+v", report)
	}
}
