package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

func TestVerify(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := serveOn(t, "--data="+data, "--ledger-id=ledger-7", "--settle-every=0")
	use(t, s)
	s.stop()
	ctx, stdout, stderr := testContext()
	if code := run([]string{"verify", "--data=" + data}, ctx); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, want := range []string{"ledger       ledger-7", "3, 0 of them unpriced", "1, with 1 batches and 3 lines", "all agrees"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no %q in:\n%s", want, stdout)
		}
	}
	for _, terminal := range []bool{false, true} { // the progress goes to Stderr, whatever Stdout is
		ctx, _, stderr := testContext()
		ctx.StderrTerminal, ctx.Interactive = terminal, !terminal
		if code := run([]string{"verify", "--data=" + data}, ctx); code != exitOK || strings.Contains(stderr.String(), "\rverifying: ") != terminal {
			t.Errorf("terminal %v: exit code %d, %q", terminal, code, stderr)
		}
	}
	ctx, stdout, stderr = testContext()
	if code := run([]string{"verify", "--data=" + data + ".absent"}, ctx); code != exitFailure || stdout.Len() > 0 || stderr.Len() == 0 {
		t.Errorf("an absent ledger: exit code %d, %s, %s", code, stdout, stderr)
	}
}

func TestPercentLine(t *testing.T) {
	var out bytes.Buffer
	line := percentLine(&out)
	for done := range uint64(2001) {
		line(done, 2000)
	}
	if n := strings.Count(out.String(), "\r"); n != 101 || !strings.HasSuffix(out.String(), "100 % of 2,000 commands") {
		t.Errorf("%d lines, want 101: …%s", n, out.String()[max(0, out.Len()-60):])
	}
}
