package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// probe is a command tree with a flag of every kind that commands use.
type probe struct {
	globals

	Serve probeServe `cmd:"" help:"Serve."`
	Other struct {
		OnlyHere int
	} `cmd:"" help:"Another command, whose flags the file may hold too."`
}

type probeServe struct {
	Listen      string        `default:"127.0.0.1:8080"`
	Kafka       []string      `help:"Brokers."`
	SettleEvery time.Duration `default:"1h"`
	Workers     int           `default:"2"`
	CreateTopic bool
	Data        string `required:""`
}

func testContext() (*Context, *bytes.Buffer, *bytes.Buffer) {
	var stdout, stderr bytes.Buffer
	return &Context{Ctx: context.Background(), Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr}, &stdout, &stderr
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "farthing.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func parseProbe(t *testing.T, args ...string) (probeServe, string) {
	t.Helper()
	var p probe
	ctx, _, stderr := testContext()
	call, code := parse(&p, args, ctx)
	if call == nil && code != exitUsage {
		t.Fatalf("nothing to run, exit code %d", code)
	}
	return p.Serve, stderr.String()
}

// TestPrecedence sets one flag in all four places, then takes the strongest
// away, one after the other.
func TestPrecedence(t *testing.T) {
	path := writeFile(t, "listen: file:1\nsettle-every: 3m\ndata: /file\n")
	f := func(want string, args ...string) {
		t.Helper()
		got, problem := parseProbe(t, append([]string{"serve", "--data=x"}, args...)...)
		if got.Listen != want || problem != "" {
			t.Errorf("%q: listen %q, want %q; %s", args, got.Listen, want, problem)
		}
	}
	t.Setenv("FARTHING_LISTEN", "env:1")
	f("flag:1", "--config="+path, "--listen=flag:1")
	f("env:1", "--config="+path)
	t.Setenv("FARTHING_LISTEN", "")
	f("", "--config="+path) // set and empty is set
	if err := os.Unsetenv("FARTHING_LISTEN"); err != nil {
		t.Fatal(err)
	}
	f("file:1", "--config="+path)
	f("127.0.0.1:8080")

	t.Setenv("FARTHING_CONFIG", path)
	got, problem := parseProbe(t, "serve")
	if got.Data != "/file" || got.SettleEvery != 3*time.Minute || problem != "" {
		t.Errorf("file named by the environment: %+v; %s", got, problem)
	}
}

func TestFileValues(t *testing.T) {
	path := writeFile(t, `
listen: "[::1]:80"
kafka: [a:9092, "b:9092", 'c,d']
settle-every: 90s
workers: 0x10
create-topic: true
data: /var/lib/farthing
only-here: 7       # of another command
log-level: debug
`)
	got, problem := parseProbe(t, "serve", "--config", path)
	want := probeServe{"[::1]:80", []string{"a:9092", "b:9092", "c,d"}, 90 * time.Second, 16, true, "/var/lib/farthing"}
	if !reflect.DeepEqual(got, want) || problem != "" {
		t.Errorf("got %+v\nwant %+v; %s", got, want, problem)
	}
	got, problem = parseProbe(t, "serve", "--config", writeFile(t, "kafka: a:1,b:2\ndata: d\n"))
	if len(got.Kafka) != 2 || problem != "" {
		t.Errorf("a list as on the command line: %q; %s", got.Kafka, problem)
	}
	if _, problem := parseProbe(t, "serve", "--data=d", "--config", writeFile(t, "# nothing\n")); problem != "" {
		t.Errorf("an empty file: %s", problem)
	}
}

func TestFileRefused(t *testing.T) {
	f := func(text string, mention ...string) {
		t.Helper()
		_, problem := parseProbe(t, "serve", "--data=d", "--config", writeFile(t, text))
		for _, want := range mention {
			if !strings.Contains(problem, want) {
				t.Errorf("%q: the message does not mention %q:\n%s", text, want, problem)
			}
		}
	}
	f("listne: x\n", "line 1: listne: unknown", "known keys are create-topic, data, kafka, listen, log-format, log-level, only-here, settle-every, workers")
	f("a: 1\nb: 2\n", "line 1: a: unknown", "line 2: b: unknown")
	f("settle_every: 1h\n", "settle_every: unknown")
	f("config: other.yaml\n", "config: unknown")
	f("listen: a\nlisten: b\n", "listen")
	f("listen:\n", "line 1: listen: has no value")
	f("listen: {a: b}\n", "line 1: listen: want one value")
	f("kafka: [[a]]\n", "line 1: kafka: want one value")
	f("listen: [a, b]\n", "listen takes one value, not a list")
	f("workers: many\n", "workers", "many")
	f("settle-every: soon\n", "settle-every", "soon")
	f("- listen\n", "want a mapping")
	f("listen: a\n---\nlisten: b\n", "more than one YAML document")
	f("listen: [\n", "yaml")
	f(strings.Repeat("#", configBytesMax+1), "larger than")
	if _, problem := parseProbe(t, "serve", "--data=d", "--config=/nonexistent/farthing.yaml"); !strings.Contains(problem, "no such file") {
		t.Errorf("an absent file: %s", problem)
	}
}
