package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"farthing/internal/postgres"
)

// examples is where the example consumers are, from here.
const examples = "../examples"

// program is an example consumer with a database of its own.
type program struct {
	name     string
	command  []string
	postgres *postgres.Server
	args     []string // broker, topic, keys
	process  *exec.Cmd
	said     bytes.Buffer  // by the process that runs
	ended    chan struct{} // closed once it has
	err      error         // how; after ended
}

// newPrograms builds both examples.
func newPrograms(ctx context.Context, t *testing.T, dir string, postgres *postgres.Server) []*program {
	t.Helper()
	node := nodeProgram(ctx, t, dir)
	binary := filepath.Join(dir, "consumer-go")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, ".")
	cmd.Dir = filepath.Join(examples, "consumer-go")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build consumer-go: %v\n%s", err, out)
	}
	programs := []*program{{name: "consumer_go", command: []string{binary}}, {name: "consumer_node", command: node}}
	for _, p := range programs {
		p.postgres = postgres
	}
	return programs
}

// nodeProgram is a copy of the example beside its modules, which npm fetches once for each lock file. Without node and npm the test is skipped,
// with CI=true it fails.
func nodeProgram(ctx context.Context, t *testing.T, dir string) []string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil && os.Getenv("CI") == "true" {
			t.Fatal(err)
		} else if err != nil {
			t.Skip("the consumers are not run: ", err)
		}
	}
	copied := filepath.Join(dir, "consumer-node")
	if err := os.CopyFS(copied, sourcesOf(t)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(nodeModules(ctx, t, copied), filepath.Join(copied, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return []string{"node", filepath.Join(copied, "main.js")}
}

// sourcesOf is the node example without what a developer has installed there.
func sourcesOf(t *testing.T) fs.FS {
	t.Helper()
	root := filepath.Join(t.TempDir(), "sources")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"*.js", "*.json", "*.sql"} {
		files, err := filepath.Glob(filepath.Join(examples, "consumer-node", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s in the example: %v", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err == nil {
				err = os.WriteFile(filepath.Join(root, filepath.Base(file)), text, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return os.DirFS(root)
}

// nodeModules returns the modules of the lock file in sources, from the cache of this tree.
func nodeModules(ctx context.Context, t *testing.T, sources string) string {
	t.Helper()
	lock, err := os.ReadFile(filepath.Join(sources, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := filepath.Abs("../.cache/consumer-node")
	if err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(cache, fmt.Sprintf("%x", sha256.Sum256(lock))[:16])
	if _, err := os.Stat(kept); err == nil {
		return filepath.Join(kept, "node_modules")
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(fresh, os.DirFS(sources)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = fresh
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	if err := os.Rename(fresh, kept); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	return filepath.Join(kept, "node_modules")
}

// start starts the program, from the topic's start or from where it was.
func (p *program) start(t *testing.T, fromStart bool) {
	t.Helper()
	args := append(append([]string{}, p.command[1:]...), p.args...)
	args = append(args, "--database", p.postgres.DSN(p.name))
	if fromStart {
		args = append(args, "--from-start")
	}
	p.process = exec.Command(p.command[0], args...)
	p.process.Env = append(os.Environ(), "KAFKAJS_NO_PARTITIONER_WARNING=1", "NODE_NO_WARNINGS=1")
	p.said.Reset()
	p.process.Stdout, p.process.Stderr = &p.said, &p.said
	if err := p.process.Start(); err != nil {
		t.Fatal(err)
	}
	p.ended = make(chan struct{})
	go func(ended chan struct{}, process *exec.Cmd) {
		p.err = process.Wait()
		close(ended)
	}(p.ended, p.process)
	p.killAtEnd(t)
}

// kill sends SIGKILL and waits. A program that had ended by itself before is an error.
func (p *program) kill() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended: %w: %s", p.name, errors.Join(p.err, errors.New("nobody had killed it")), p.said.String())
	default:
	}
	_ = p.process.Process.Kill() // it may end at this very moment
	<-p.ended
	return nil
}

// mustFail waits until the program has stopped with an error that has mention in it.
func (p *program) mustFail(ctx context.Context, t *testing.T, mention string) {
	t.Helper()
	select {
	case <-p.ended:
	case <-ctx.Done():
		t.Fatalf("%s goes on: %s", p.name, p.said.String())
	}
	if p.err == nil || !strings.Contains(p.said.String(), mention) {
		t.Errorf("%s ended (%v) without %q: %s", p.name, p.err, mention, p.said.String())
	}
}

// query asks the program's database.
func (p *program) query(ctx context.Context, t *testing.T, sql string) string {
	t.Helper()
	out, err := p.postgres.Query(ctx, p.name, sql)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// harass kills the program at random moments, tells so, and starts it again, until stop is closed. The program runs then.
func (p *program) harass(t *testing.T, draw func(n int64) int64, killed chan<- struct{}, stop <-chan struct{}, wg *sync.WaitGroup, giveUp func()) {
	wg.Go(func() {
		for n := 0; ; n++ {
			p.start(t, n%2 == 1)
			// From before it has connected to well into its work.
			alarm := time.NewTimer(50*time.Millisecond + time.Duration(draw(int64(1200*time.Millisecond))))
			select {
			case <-stop:
				alarm.Stop()
				t.Logf("%s was killed %d times", p.name, n)
				return
			case <-alarm.C:
			}
			if err := p.kill(); err != nil {
				t.Error(err)
				giveUp()
				return
			}
			select {
			case killed <- struct{}{}:
			default:
			}
		}
	})
}
