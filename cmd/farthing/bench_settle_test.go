package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestBenchSettle closes a window on a real server, which publishes it and then passes verify.
func TestBenchSettle(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	kafka := kafkaArgs(t, 0)
	s := serveOn(t, append([]string{"--data=" + data, "--settle-every=0"}, kafka...)...)
	out, _, err := runBench(t, "--url", s.url, "--workload=window-close", "--connections=3", "--models=3", "--duration=100ms", "--warm-up=10ms",
		"--accounts=50", "--batch=100", kafka[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sealed", "events/s before", "lines/s were published", "a proof of inclusion took", "the lines of 53 participants"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	s.stop()
	ctx, stdout, stderr := testContext()
	if code := run([]string{"verify", "--data=" + data}, ctx); code != exitOK {
		t.Errorf("verify ends with %d: %s%s", code, stdout, stderr)
	}
}
