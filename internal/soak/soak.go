package soak

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The environment of a run.
const (
	sizeVariable   = "FARTHING_SOAK"        // "full": full sizes
	seedVariable   = "FARTHING_SEED"        // the seed of every test, to repeat one
	reportVariable = "FARTHING_SOAK_REPORT" // file that rows are appended to
	commitVariable = "FARTHING_SOAK_COMMIT" // what is tested, for the rows
)

// Full reports whether this is the long run.
func Full() bool { return os.Getenv(sizeVariable) == "full" }

// Pick returns the size of this run.
func Pick[T any](small, full T) T {
	if Full() {
		return full
	}
	return small
}

// Seed returns the seed of a test, a new one or that of FARTHING_SEED, and logs how to repeat it.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv(seedVariable); text != "" {
		given, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
		seed = given
	}
	t.Logf("seed %d (%s=%d repeats it)", seed, seedVariable, seed)
	return seed
}

// Counts are figures of a run by name: "crashes", "events lost". A count or text with its unit.
type Counts map[string]any

// Row is what one test came to, as it stands in the report file.
type Row struct {
	Subject string    `json:"subject"`
	Test    string    `json:"test"`
	Commit  string    `json:"commit"`
	Seed    uint64    `json:"seed,omitempty"`
	Seconds float64   `json:"seconds"`
	Counts  Counts    `json:"counts"`
	Ended   time.Time `json:"ended"`
}

// Run is one test's run, from its start to its row.
type Run struct {
	t     testing.TB
	seed  uint64
	began time.Time
}

// Start begins a run with a seed of its own.
func Start(t testing.TB) *Run {
	t.Helper()
	return &Run{t: t, seed: Seed(t), began: time.Now()}
}

// Seed is the run's seed.
func (r *Run) Seed() uint64 { return r.seed }

// Report logs what the run came to and, in a full run, appends its row to the report.
func (r *Run) Report(subject string, counts Counts) {
	r.t.Helper()
	report(r.t, Row{Subject: subject, Test: r.t.Name(), Seed: r.seed, Seconds: time.Since(r.began).Seconds(), Counts: counts})
}

// Report is Run.Report for a test that has no seed and no clock of its own.
func Report(t testing.TB, subject string, counts Counts) {
	t.Helper()
	report(t, Row{Subject: subject, Test: t.Name(), Counts: counts})
}

func report(t testing.TB, row Row) {
	t.Helper()
	t.Logf("%s: %s", row.Subject, row.Counts)
	path := os.Getenv(reportVariable)
	if !Full() || path == "" {
		return
	}
	row.Ended, row.Commit = time.Now().UTC(), os.Getenv(commitVariable)
	line, err := json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	if err := appendLine(path, line); err != nil {
		t.Fatal(err)
	}
}

// writing orders the lines of one process; those of several are appended whole by the system.
var writing sync.Mutex

func appendLine(path string, line []byte) error {
	writing.Lock()
	defer writing.Unlock()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}

// String lists the counts by name.
func (c Counts) String() string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(c)) {
		out = append(out, fmt.Sprintf("%s %s", name, Text(c[name])))
	}
	return strings.Join(out, ", ")
}

// Text writes a figure with its thousands set off.
func Text(v any) string {
	digits := fmt.Sprint(v)
	if f, ok := v.(float64); ok { // JSON's number: a million would be 1e+06
		digits = strconv.FormatFloat(f, 'f', -1, 64)
	}
	if _, err := strconv.ParseInt(digits, 10, 64); err != nil {
		return digits
	}
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}
