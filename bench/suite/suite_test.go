package suite

import (
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"farthing/bench"
	"farthing/bench/report"
	"farthing/bench/twin"
)

// TestSuiteAtURL measures a server that is there already: every repeat, every rate, and the limits that need no server of one's own. The rest
// is listed.
func TestSuiteAtURL(t *testing.T) {
	server := httptest.NewServer(twin.New())
	defer server.Close()
	single, err := bench.WorkloadsNamed("single")
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	o := Options{
		Dir: t.TempDir(), Workloads: single, Repeats: 2, Shares: []float64{0.25}, Limits: true, Restart: true, Profile: true, Say: func(what string) { said = append(said, what) },
		Run: bench.Options{URL: server.URL, Connections: 3, Accounts: 10, Models: 3, Warmup: 10 * time.Millisecond, Duration: 250 * time.Millisecond, Seed: 1},
	}
	got, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Runs) != 2 || len(got.Rates) != 1 || got.Rates[0].Rate <= 0 || got.Limits == nil || got.Limits.Fsync.P50 <= 0 || got.Limits.ScanBytesPerSecond <= 0 {
		t.Errorf("%+v", got)
	}
	for _, want := range []string{"an empty handler", "restart", "processor time"} {
		if !strings.Contains(strings.Join(got.Skipped, "\n"), want) {
			t.Errorf("%q is not said to be skipped: %q", want, got.Skipped)
		}
	}
	if len(said) < 4 {
		t.Errorf("said %q", said)
	}
	o.Run.URL = "http://127.0.0.1:1"
	if got, err = Run(t.Context(), o); err == nil || got.Limits == nil {
		t.Error("a server that is not there is measured, or what was measured before is lost")
	}
}

// TestStages tells what a stack belongs to by the functions on it, whatever lies above.
func TestStages(t *testing.T) {
	sample := func(cpu int64, functions ...string) *profile.Sample {
		s := &profile.Sample{Value: []int64{1, cpu}}
		for _, f := range functions { // the innermost first
			s.Location = append(s.Location, &profile.Location{Line: []profile.Line{{Function: &profile.Function{Name: f}}}})
		}
		return s
	}
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples"}, {Type: "cpu"}},
		Sample: []*profile.Sample{
			sample(5, "runtime.memmove", "farthing/engine.(*sequencer).ingest", "farthing/engine.(*sequencer).run"),
			sample(7, "runtime.memhash", "farthing/engine.(*sequencer).run"),
			sample(3, "internal/runtime/syscall.Syscall6", "internal/poll.(*FD).Write", "github.com/valyala/fasthttp.(*Server).serveConn"),
			sample(2, "github.com/valyala/fasthttp.(*Server).serveConn"),
			sample(1, "runtime.scanobject", "runtime.gcBgMarkWorker"),
			sample(4, "somewhere.else"),
		},
	}
	want := []report.Stage{{Name: "sequencer", CPU: 12}, {Name: "other", CPU: 4}, {Name: "sockets", CPU: 3}, {Name: "other HTTP", CPU: 2}, {Name: "garbage collection", CPU: 1}}
	if got := stagesOf(p); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got := stagesOf(&profile.Profile{}); got != nil {
		t.Errorf("%+v", got)
	}
}

// TestPlan has each step once, with repeats, and what goes on to many events once.
func TestPlan(t *testing.T) {
	all, err := bench.WorkloadsNamed("all")
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{report: &report.Report{}, Options: Options{Binary: "x", Workloads: all, Shares: []float64{0.5}, Sustained: time.Minute, Identities: 20_000_000,
		Limits: true, Restart: true, Profile: true, Peers: true}}
	var text strings.Builder
	text.WriteByte('\n')
	total := time.Duration(0)
	for _, st := range s.plan() {
		text.WriteString(st.what + "\n")
		total += st.guess
	}
	for what, want := range map[string]int{"limits": 1, "\nsingle, ": 3, "\nllm, ": 2, "\nbatch-1000, ": 4, "\ncompact, sustained for 30s": 1, "\nhot, ": 1, "\nzipf, ": 1, "at 50 %": 2, "restart": 1,
		"PostgreSQL": 2, "profile of ": len(profiledOfAll)} {
		if n := strings.Count(text.String(), what); n != want {
			t.Errorf("%d of %q in\n%s", n, what, text.String())
		}
	}
	t.Logf("it is guessed to take %v", total)
	if total > 8*time.Minute { // the sequencer's benchmark and the build come before
		t.Errorf("it is guessed to take %v", total)
	}
}

// TestLeft corrects what is left by what the beginning took.
func TestLeft(t *testing.T) {
	f := func(guess, took, done time.Duration, want string) {
		t.Helper()
		if got := left(guess, took, done); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(4*time.Minute, time.Second, time.Millisecond, "about 4 min")
	f(4*time.Minute, 2*time.Minute, time.Minute, "about 8 min")
	f(4*time.Minute, time.Hour, time.Minute, "about 16 min")
	f(59*time.Second, 0, 0, "less than a minute")
}
