package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestBenchHolds drives the workloads of holds on a real server, which then passes verify.
func TestBenchHolds(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := serveOn(t, "--data="+data, "--settle-every=0")
	f := func(mention string, args ...string) {
		t.Helper()
		args = append(args, "--url", s.url, "--connections=3", "--models=3", "--duration=200ms", "--warm-up=10ms")
		out, _, err := runBench(t, args...)
		if err != nil || !strings.Contains(out, mention) || !strings.Contains(out, " pairs ") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	f("holds", "--workload=holds", "--batch=100", "--accounts=50")
	f("holds", "--workload=holds", "--accounts=1", "--hold-by=amount")
	f("holds, chains", "--workload=holds", "--batch=100", "--accounts=50", "--chain")
	f("holds-single", "--workload=holds-single", "--accounts=50")
	f("holds-single, chains", "--workload=holds-single", "--accounts=1", "--chain")

	s.stop()
	ctx, stdout, stderr := testContext()
	if code := run([]string{"verify", "--data=" + data}, ctx); code != exitOK {
		t.Errorf("verify ends with %d: %s%s", code, stdout, stderr)
	}
}
