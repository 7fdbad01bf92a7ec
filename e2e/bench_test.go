package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"farthing/bench/report"
)

// TestBench runs the whole of a small benchmark on servers that it starts: limits, repeats, an open loop, a restart and profiles. Its report is
// whole in every form.
func TestBench(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir := t.TempDir()
	binary, file, page, profiles := build(ctx, t, dir), filepath.Join(dir, "report.json"), filepath.Join(dir, "report.html"), filepath.Join(dir, "profiles")
	if err := os.Mkdir(profiles, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, binary, "bench", "--workload=batch-1000,single,sustained,identities,restart", "--repeats=1", "--duration=300ms",
		"--sustained=600ms", "--identities=30000", "--profile-time=1s", "--warm-up=50ms", "--accounts=100", "--rates=0.5", "--no-peers", "--bench-data="+dir, "--profiles="+profiles, "--json="+file, "--html="+page)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got report.Report
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Runs) != 4 || len(got.Sustained) != 2 || len(got.Rates) != 2 || len(got.Restarts) != 1 || len(got.Stages) != 2 || len(got.Verify) != 3 || got.Unverified != 8 || len(got.Skipped) != 0 {
		t.Errorf("%s", out)
	}
	for _, run := range append(got.Runs, got.Rates...) {
		if s := run.Server; run.Events == 0 || s == nil || s.CPU <= 0 || s.JournalBytes <= 0 || s.DiskBytes < s.JournalBytes/2 || s.Resident <= 0 {
			t.Errorf("%s: %d events, server %+v", run.Title(), run.Events, s)
		}
	}
	for _, s := range got.Sustained {
		if s.Events == 0 || s.Sustained == nil || s.Events != s.Check.Events || s.Disk == nil || s.Disk.Bytes < int64(20*s.Events) || s.Disk.Start <= 0 {
			t.Errorf("%+v, disk %+v", s, s.Disk)
		}
	}
	for _, run := range got.Runs {
		if strings.Contains("hot zipf", run.Workload) && (run.Booked < 30_000 || run.Resident < 20<<20) {
			t.Errorf("%s: %d events, %d bytes", run.Workload, run.Booked, run.Resident)
		}
	}
	missing := 0
	for _, target := range got.Targets() {
		if target.Missing != "" {
			missing++
		}
	}
	if missing != 6 { // the others, a million accounts, and Go's benchmarks
		t.Errorf("%d targets have no figure: %s", missing, out)
	}
	if r := got.Restarts[0]; r.Events == 0 || r.Stop <= 0 || r.StartAfterStop <= 0 || r.StartAfterKill <= 0 {
		t.Errorf("%+v", r)
	}
	if l := got.Limits; l == nil || l.Empty == nil || l.Empty.RequestsPerSecond <= 0 || len(got.Ratios()) < 4 {
		t.Errorf("%+v, ratios %+v", l, got.Ratios())
	}
	for _, stages := range got.Stages {
		if len(stages.Stages) < 3 {
			t.Errorf("%+v", stages)
		}
	}
	if text, err := os.ReadFile(page); err != nil || len(text) < 10_000 {
		t.Errorf("a page of %d bytes: %v", len(text), err)
	}
	if kept, err := os.ReadDir(profiles); err != nil || len(kept) != 8 {
		t.Errorf("%v are kept: %v", kept, err)
	}
}
