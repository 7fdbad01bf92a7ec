package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// A story that fails becomes a scenario file: cut down as far as it goes on failing the same way,
// with what is answered below each line. TestSimulationFiles retells it.

// numbers differ between two tellings of the same failure.
var simNumbers = regexp.MustCompile(`[0-9]+`)

func (f *simFailure) kind() string {
	text, _, _ := strings.Cut(f.text, "\n")
	words := strings.Fields(simNumbers.ReplaceAllString(text, "0"))
	return strings.Join(words[:min(len(words), 6)], " ")
}

// simShrinker leaves lines out of a story.
type simShrinker struct {
	t     testing.TB
	y     *simStory
	kind  string
	tries int
}

// shrinkTries bounds the tellings of one story.
const shrinkTries = 1500

// shrink returns the fewest lines found that fail like the story did.
func (y *simStory) shrink(t testing.TB) []simLine {
	x := &simShrinker{t: t, y: y, kind: y.failed.kind(), tries: shrinkTries}
	lines := y.lines
	for size := len(lines) / 2; size > 0 && x.tries > 0; {
		before := len(lines)
		for at := 0; at < len(lines); {
			if less := without(lines, at, size); x.fails(less) {
				lines = less
			} else {
				at += size
			}
		}
		if len(lines) == before || size > 1 {
			size /= 2
		}
	}
	return x.inside(lines)
}

func without(lines []simLine, at, n int) []simLine {
	return append(append([]simLine{}, lines[:at]...), lines[min(at+n, len(lines)):]...)
}

// inside leaves out events of requests and makes steps fewer.
func (x *simShrinker) inside(lines []simLine) []simLine {
	for i := range lines {
		for n := 0; n < len(lines[i].input) && len(lines[i].input) > 1; {
			less := append([]simLine{}, lines...)
			less[i].input = append(append([]string{}, lines[i].input[:n]...), lines[i].input[n+1:]...)
			if x.fails(less) {
				lines = less
			} else {
				n++
			}
		}
		for lines[i].cmd == "steps" && lines[i].number(0) > 1 {
			less := append([]simLine{}, lines...)
			if less[i].args = []string{fmt.Sprint(lines[i].number(0) / 2)}; !x.fails(less) {
				break
			}
			lines = less
		}
	}
	return lines
}

func (x *simShrinker) fails(lines []simLine) bool {
	if x.tries--; x.tries < 0 {
		return false
	}
	failed := x.y.retell(x.t, lines)
	return failed != nil && failed.kind() == x.kind
}

// write makes a scenario file of lines of the story and says where it is.
func (y *simStory) write(t testing.TB, dir string, lines []simLine) string {
	t.Helper()
	failed := y.retell(t, lines)
	if failed == nil {
		t.Fatal("the story does not fail any more")
	}
	world := line("world", fmt.Sprintf("seed=%d", y.seed))
	if y.kind.credit {
		world.args = append(world.args, "credit")
	}
	if y.kind.retain {
		world.args = append(world.args, "retain")
	}
	if y.kind.bug != "" {
		world.args = append(world.args, "bug="+y.kind.bug)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "# Found by TestSimulation. The outcome below is the failure; once it is mended, -rewrite makes it the regression test.\n\n")
	fmt.Fprintf(&out, "%s%s\n", world.text(), "ok\n")
	for i := range lines {
		answer := "ok\n"
		if i == len(lines)-1 {
			answer = outcomeText(failed)
		}
		fmt.Fprintf(&out, "%s%s\n", lines[i].text(), answer)
	}
	path := filepath.Join(dir, fmt.Sprintf("%d.txt", y.seed))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func outcomeText(failed *simFailure) string {
	if failed == nil {
		return "ok\n"
	}
	first, _, _ := strings.Cut(failed.text, "\n")
	return "failed: " + strings.TrimSpace(first) + "\n"
}

// retellFile lives through a scenario file.
func retellFile(t *testing.T, path string) {
	var s *sim
	var failed *simFailure
	datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
		if d.Cmd == "world" {
			s, failed = worldOf(t, d), nil
			return "ok\n"
		}
		if failed != nil {
			return "over\n"
		}
		l := lineOfFile(d)
		failed = guarded(func() { s.do(&l) })
		return outcomeText(failed)
	})
	if s != nil {
		s.over()
	}
}

func worldOf(t *testing.T, d *datadriven.TestData) *sim {
	var seed uint64
	var kind simKind
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "seed":
			if _, err := fmt.Sscan(a.Vals[0], &seed); err != nil {
				t.Fatal(err)
			}
		case "credit":
			kind.credit = true
		case "retain":
			kind.retain = true
		case "bug":
			kind.bug = a.Vals[0]
		}
	}
	return newSim(t, seed, kind)
}

func lineOfFile(d *datadriven.TestData) simLine {
	l := simLine{cmd: d.Cmd}
	for _, a := range d.CmdArgs {
		l.args = append(l.args, a.Key)
	}
	for in := range strings.Lines(d.Input) {
		l.input = append(l.input, strings.TrimSpace(in))
	}
	return l
}

// TestSimulationFiles retells the stories that were found.
func TestSimulationFiles(t *testing.T) {
	datadriven.Walk(t, filepath.Join("testdata", "sim"), retellFile)
}

// TestSimulationFindsPlantedFaults plants a fault, which the simulation has to find, to cut down to a
// few lines and to write down, and the file has to fail in the same way.
func TestSimulationFindsPlantedFaults(t *testing.T) {
	for bug, words := range map[string]string{
		"unsynced":  "lost: ",             // a commit returns before it is durable
		"forgetful": "is booked at",       // a start forgets identities
		"resend":    "is published after", // what is in doubt is sent under another sequence
	} {
		t.Run(bug, func(t *testing.T) {
			var y *simStory
			for seed := uint64(1); seed < 200 && (y == nil || y.failed == nil || !strings.Contains(y.failed.text, words)); seed++ {
				y = simulate(t, seed, simKind{bug: bug}, 200)
			}
			if y.failed == nil || !strings.Contains(y.failed.text, words) {
				t.Fatal("it is not found")
			}
			lines := y.shrink(t)
			path := y.write(t, t.TempDir(), lines)
			t.Logf("seed %d: %d lines of %d: %s", y.seed, len(lines), len(y.lines), y.failed.text)
			if len(lines) > 25 {
				t.Errorf("%d lines are left of %d", len(lines), len(y.lines))
			}
			retellFile(t, path)
			if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), "failed: ") {
				t.Fatalf("%v\n%s", err, text)
			}
		})
	}
}
