package kafkatest

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tools is all that kafka.sh may call besides Java and Maven, which a small machine has too. It has no ps.
var tools = []string{"base64", "bash", "cat", "cksum", "cut", "dirname", "env", "flock", "grep", "head", "mkdir", "rm", "sed", "sleep", "tail", "tr"}

// smallMachine returns a PATH with nothing else than tools, Java and Maven.
func smallMachine(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range append([]string{"java", "mvn"}, tools...) {
		path, err := exec.LookPath(name)
		if err != nil && (name == "java" || name == "mvn") {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skipf("%v: %v", ErrMissing, err)
		}
		if err == nil {
			err = os.Symlink(path, filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// onSmallMachine returns a broker that is not up, with a state directory of its own.
func onSmallMachine(t *testing.T, env ...string) (b *Broker, dir string) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a broker")
	}
	path := smallMachine(t)
	Start(t) // has Maven bring the jars, with all the tools that it wants
	script, err := findScript()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	b = &Broker{script: script, env: append(append(os.Environ(), "KAFKA_STATE_DIR="+dir, "FARTHING_TEST_KAFKA_PORT=", "KAFKA_PROPERTIES=", "PATH="+path), env...)}
	t.Cleanup(func() {
		if err := b.Down(); err != nil {
			t.Error(err)
		}
		noProcess(t, dir)
	})
	return b, dir
}

// processes names those that have dir in their command line.
func processes(t *testing.T, dir string) (pids []string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(lines) == 0 {
		t.Fatalf("%d processes, %v", len(lines), err)
	}
	for _, file := range lines {
		line, err := os.ReadFile(file) // an ended process has none
		if err == nil && bytes.Contains(line, []byte(dir)) {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}

func noProcess(t *testing.T, dir string) {
	t.Helper()
	if left := processes(t, dir); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}

// TestUpAndDown starts a broker where there is no ps, and ends it.
func TestUpAndDown(t *testing.T) {
	b, dir := onSmallMachine(t)
	addr, err := b.run("up")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if again, err := b.run("up"); err != nil || again != addr {
		t.Fatalf("up again gave %s, %v; want %s", again, err, addr)
	}
	if env, err := b.run("env"); err != nil || env != "FARTHING_TEST_KAFKA="+addr {
		t.Fatalf("env gave %s, %v", env, err)
	}
	if pids := processes(t, dir); len(pids) != 1 {
		t.Fatalf("processes %v", pids)
	}
	if err := b.Down(); err != nil {
		t.Fatal(err)
	}
	noProcess(t, dir)
	if env, err := b.run("env"); err == nil {
		t.Fatalf("env after down gave %s", env)
	}
}

// TestFailedUp has the start fail after the broker's process has begun: nothing of it is left.
func TestFailedUp(t *testing.T) {
	t.Run("port taken", func(t *testing.T) {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		_, port, err := net.SplitHostPort(taken.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		b, dir := onSmallMachine(t, "FARTHING_TEST_KAFKA_PORT="+port)
		if addr, err := b.run("up"); err == nil || errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "did not start") {
			t.Fatalf("up gave %s, %v", addr, err)
		}
		noProcess(t, dir)
	})
	t.Run("nobody reads the address", func(t *testing.T) {
		b, dir := onSmallMachine(t)
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		cmd := exec.Command(b.script, "up")
		cmd.Env, cmd.Stdout = b.env, full
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) {
			t.Fatalf("up gave %v", err)
		}
		noProcess(t, dir)
	})
}
