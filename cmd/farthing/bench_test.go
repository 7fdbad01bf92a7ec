package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"farthing/bench/client"
	"farthing/bench/report"
	"farthing/bench/twin"
)

func clientAt(url string) *client.Client { return client.New(client.At(url), client.Options{}) }

// runBench parses and runs `bench` with args.
func runBench(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var tree struct {
		Bench benchCmd `cmd:""`
	}
	var out, errs bytes.Buffer
	ctx := &Context{Ctx: context.Background(), Stdout: &out, Stderr: &errs, Log: slog.New(slog.DiscardHandler)}
	call, _ := parse(&tree, append([]string{"bench"}, append([]string{"--repeats=1", "--rates=0", "--no-limits", "--no-profile", "--no-peers"}, args...)...), ctx)
	if call == nil {
		t.Fatalf("not parsed: %s", errs.String())
	}
	err = call.Run(ctx)
	return out.String(), errs.String(), err
}

func TestBenchAgainstURL(t *testing.T) {
	server := httptest.NewServer(twin.New())
	defer server.Close()
	file := filepath.Join(t.TempDir(), "report.json")
	out, progress, err := runBench(t, "--url", server.URL, "--workload=single", "--connections=2", "--accounts=10", "--models=3",
		"--duration=1100ms", "--warm-up=10ms", "--json", file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "single") || !strings.Contains(progress, "events/s") {
		t.Errorf("stdout %s\nstderr %s", out, progress)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got report.Report
	if err := json.Unmarshal(raw, &got); err != nil || len(got.Runs) != 1 || got.Runs[0].Events == 0 {
		t.Errorf("%v: %s", err, raw)
	}
	for markdown, want := range map[bool]string{true: "**Targets**", false: "╭"} {
		var text bytes.Buffer
		again := benchReportCmd{File: file, Markdown: markdown}
		if err := again.Run(&Context{Ctx: context.Background(), Stdout: &text}); err != nil || !strings.Contains(text.String(), want) {
			t.Errorf("%v: %s", err, text.String())
		}
	}
}

func TestBenchRefusesBadOptions(t *testing.T) {
	_, _, err := runBench(t, "--url", "ftp://x", "--connections=-3")
	if usage := (usageError{}); !errors.As(err, &usage) {
		t.Errorf("got %v", err)
	}
}
