package kafkatest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// exitMissing is kafka.sh's answer when Java or Maven are missing.
const exitMissing = 69

// ErrMissing says that there is no broker, because this machine lacks Java or Maven and CI is not set to true.
var ErrMissing = errors.New("kafkatest: no real Kafka here")

// Broker is a broker of its own, for tests that stop it or need other settings than the shared one.
type Broker struct {
	// Addr is host:port on loopback.
	Addr     string
	script   string
	env      []string
	guardian *exec.Cmd
	hold     io.Closer // the guardian's pipe
}

// shared starts the broker of this test binary once and remembers the outcome.
var shared = sync.OnceValues(func() (*Broker, error) {
	if addr := os.Getenv("FARTHING_TEST_KAFKA"); addr != "" {
		return &Broker{Addr: addr}, nil
	}
	return launch(nil)
})

// Start returns the host:port of the broker that the tests of this binary share. Without Java or Maven it skips t,
// with CI=true it fails t.
func Start(t testing.TB) (addr string) {
	t.Helper()
	b, err := shared()
	check(t, err)
	return b.Addr
}

// StartOwn starts a broker for t alone, with further broker settings (key=value), and ends it with t. FARTHING_TEST_KAFKA
// does not apply.
func StartOwn(t testing.TB, properties ...string) *Broker {
	t.Helper()
	b, err := launch(nil, properties...)
	check(t, err)
	t.Cleanup(b.close)
	return b
}

// Down stops the broker; its data and address stay for Up.
func (b *Broker) Down() error { return b.tell("down") }

// Kill ends the broker with SIGKILL; its data and address stay for Up.
func (b *Broker) Kill() error { return b.tell("kill") }

// Freeze stops the broker's process where it is: its connections stay open and nothing answers. Kill and Down end it all the same.
func (b *Broker) Freeze() error { return b.tell("freeze") }

// Thaw has a frozen broker go on.
func (b *Broker) Thaw() error { return b.tell("thaw") }

func (b *Broker) tell(command string) error {
	_, err := b.run(command)
	return err
}

// Up starts the broker after Down or Kill, on the same address.
func (b *Broker) Up() error {
	addr, err := b.run("up")
	if err == nil && addr != b.Addr {
		err = fmt.Errorf("the broker came back on %s instead of %s", addr, b.Addr)
	}
	return err
}

func check(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// launch starts a broker in a new directory under a guardian, with more in its environment.
func launch(env []string, properties ...string) (*Broker, error) {
	script, err := findScript()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "farthing-kafka-")
	if err != nil {
		return nil, err
	}
	b := &Broker{script: script, env: append(os.Environ(), "KAFKA_STATE_DIR="+dir,
		"FARTHING_TEST_KAFKA_PORT=", "KAFKA_PROPERTIES="+strings.Join(properties, "\n"))}
	b.env = append(b.env, env...)
	if err := b.guard(dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if b.Addr, err = b.run("up"); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// guard starts the process that cleans up after this one. It leads a session of its own, so that an interrupt from the
// terminal ends the tests and not it.
func (b *Broker) guard(dir string) error {
	const wait = `cat >/dev/null; "$0" kill; rm -rf -- "$1"`
	b.guardian = exec.Command("bash", "-c", wait, b.script, dir)
	b.guardian.Env = b.env
	b.guardian.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	hold, err := b.guardian.StdinPipe()
	if err != nil {
		return err
	}
	b.hold = hold
	return b.guardian.Start()
}

// close lets the guardian do its work and waits for it. A broker that was not started here has none.
func (b *Broker) close() {
	if b.guardian == nil {
		return
	}
	b.hold.Close()
	if err := b.guardian.Wait(); err != nil {
		fmt.Fprintln(os.Stderr, "kafkatest: stop the broker:", err)
	}
	b.guardian = nil
}

// run calls the script and returns what it prints.
func (b *Broker) run(command string) (string, error) {
	var out, errs bytes.Buffer
	cmd := exec.Command(b.script, command)
	cmd.Env, cmd.Stdout, cmd.Stderr = b.env, &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err := cmd.Run()
	text := strings.TrimSpace(errs.String())
	var exit *exec.ExitError
	switch {
	case err == nil:
		return strings.TrimSpace(out.String()), nil
	case errors.As(err, &exit) && exit.ExitCode() == exitMissing && os.Getenv("CI") != "true":
		return "", fmt.Errorf("%w: %s", ErrMissing, text)
	}
	return "", fmt.Errorf("kafkatest: kafka.sh %s: %w: %s", command, err, text)
}

// findScript looks for kafka/kafka.sh beside the go.mod above the working directory, which go test sets to the package's.
func findScript() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "kafka", "kafka.sh"), nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("kafkatest: no go.mod above the working directory")
		}
	}
}
