package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"farthing/bench/child"
	"farthing/bench/client"
	"farthing/publish/kafkatest"
)

// TestMatrix is the fault matrix on the whole: the built binary publishes to a real broker through a proxy that says when a
// produce request or its answer passes, and is killed exactly there, or something else happens to it. After each row an independent
// consumer that follows the contract has every line once, with the bytes that the server shows, the ledger verifies, and reconcile is green. The rest
// of the matrix is in TestMatrixCluster, publish/matrix_test.go and cmd/farthing/matrix_test.go.
func TestMatrix(t *testing.T) {
	proxy := kafkatest.NewProxy(t)
	broker := kafkatest.StartOwn(t, "advertised.listeners=BROKER://"+proxy.Addr,
		"broker.session.timeout.ms=1500", "broker.heartbeat.interval.ms=300") // a killed broker may come back once its session has ended
	proxy.To(broker.Addr)
	dir := t.TempDir()
	binary := build(t.Context(), t, dir)
	for _, row := range []struct {
		name string
		run  func(ctx context.Context, t *testing.T, m *machine)
	}{
		{"killed between seal and attempt", killedBeforeAttempt},
		{"killed between attempt and send", killedBeforeSend},
		{"killed between send and append", killedBeforeAppend},
		{"killed between append and ack", killedBeforeAck},
		{"killed between ack and mark", killedBeforeMark},
		{"disk full while marking", diskFullWhileMarking},
		{"connection cut after the append", connectionCut},
		{"broker killed after the append", brokerKilled},
		{"message too large", messageTooLarge},
		{"topic deleted and restored", topicDeleted},
		{"two servers, the copy first", copyTakesOver},
		{"two servers, the old one first", copyIsForked},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			name := strings.ReplaceAll(row.name, " ", "-")
			m := newMachine(t, []string{proxy.Addr}, binary, filepath.Join(t.TempDir(), "data"), "matrix."+strings.ReplaceAll(name, ",", ""))
			m.proxy, m.broker = proxy, broker
			t.Cleanup(m.heal)
			m.begin(ctx)
			row.run(ctx, t, m)
			m.check(ctx)
		})
	}
}

// matrixAccounts pay something in within each window; matrixLines are theirs and the operator's.
const (
	matrixAccounts = 12
	matrixLines    = matrixAccounts + 1
)

// machine is one server with its data and the topic it publishes to.
type machine struct {
	t       *testing.T
	proxy   *kafkatest.Proxy  // nil in a cluster
	broker  *kafkatest.Broker // behind the proxy
	brokers []string
	binary  string
	data    string
	topic   string
	server  *child.Server
	client  *client.Client
	kafka   *consumer
	windows int
	mark    string // makes what this machine books its own
}

func newMachine(t *testing.T, brokers []string, binary, data, topic string) *machine {
	t.Helper()
	m := &machine{t: t, brokers: brokers, binary: binary, data: data, topic: topic, mark: filepath.Base(data)}
	scratch := t.TempDir()
	m.server = child.New(child.Options{Binary: binary, Data: data, Scratch: scratch, Log: logFile(t, scratch), Args: []string{
		"--kafka", strings.Join(brokers, ","), "--kafka-topic", topic, "--kafka-notifications-topic=", "--create-topics", "--settle-every", "0"}})
	m.client = client.New(m.server.URL, client.Options{})
	t.Cleanup(func() {
		_ = m.server.Kill() // does nothing after Terminate
		m.client.Close()
	})
	return m
}

// heal has the proxy let everything pass.
func (m *machine) heal() {
	m.proxy.OnRequest(nil)
	m.proxy.OnAnswer(nil)
	m.proxy.Away(false)
}

// begin has the first window published.
func (m *machine) begin(ctx context.Context) {
	m.t.Helper()
	m.start(ctx)
	m.kafka = newConsumerOf(m.t, m.brokers[0], m.topic)
	m.settle(ctx)
	m.kafka.untilSealed(ctx, m.t, 1)
	m.awaitMetric(ctx, `farthing_relay_state{state="waiting"} 1`)
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) start(ctx context.Context) {
	m.t.Helper()
	m.must(m.server.Start(ctx))
}

// crash sends SIGKILL and waits for the end.
func (m *machine) crash() {
	m.t.Helper()
	m.must(m.server.Kill())
}

// settle has every account pay something in, and closes the window.
func (m *machine) settle(ctx context.Context) {
	m.t.Helper()
	m.windows++
	for i := range matrixAccounts {
		account := fmt.Sprintf("customer-%d", i)
		m.must(m.client.Open(ctx, client.Account{ID: account, Currency: "USD", Kind: "customer", Billing: "prepaid"}))
		m.must(m.client.TopUp(ctx, account, fmt.Sprintf("%s-%d-%d", m.mark, m.windows, i), client.M(fmt.Sprintf("%d.25", m.windows))))
	}
	_, err := m.client.CloseWindow(ctx, fmt.Sprintf("%s-%d", m.mark, m.windows))
	m.must(err)
}

// metrics returns the lines of /metrics that begin so.
func (m *machine) metrics(ctx context.Context, prefix string) []string {
	m.t.Helper()
	_, body, err := m.client.Do(ctx, http.MethodGet, "/metrics", "", nil)
	m.must(err)
	var lines []string
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, prefix) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// awaitMetric waits until /metrics has the line.
func (m *machine) awaitMetric(ctx context.Context, line string) {
	m.t.Helper()
	eventually(ctx, m.t, line, func() bool { return len(m.metrics(ctx, line)) > 0 })
}

// eventually waits until cond is so.
func eventually(ctx context.Context, t *testing.T, what string, cond func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !cond() {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

// check compares what a consumer has with what the server shows, each once, and verifies the ledger.
func (m *machine) check(ctx context.Context) {
	m.t.Helper()
	batches, lines := checkKafka(ctx, m.t, m.client, m.kafka)
	if batches != m.windows || lines != matrixLines*m.windows {
		m.t.Errorf("%d batches with %d lines, want %d windows of %d", batches, lines, m.windows, matrixLines)
	}
	m.awaitMetric(ctx, fmt.Sprintf("farthing_relay_confirmed_records %d", batches+lines))
	for _, name := range []string{"sent_records", "found_records", "resends", "sessions", "failures"} {
		m.t.Log(m.metrics(ctx, "farthing_relay_"+name))
	}
	if err := m.server.Terminate(); err != nil {
		m.t.Errorf("SIGTERM must end with exit 0: %v", err)
	}
	m.kafka.checkOnce(ctx, m.t, batches, lines)
	if _, err := child.Verify(ctx, m.binary, m.data); err != nil {
		m.t.Error(err)
	}
	if said, err := m.reconcile(ctx); err != nil {
		m.t.Errorf("reconcile: %v: %s", err, said)
	}
}

// reconcile holds the topic against the ledger, which no server may have open.
func (m *machine) reconcile(ctx context.Context) (said string, err error) {
	out, err := exec.CommandContext(ctx, m.binary, "reconcile", "--kafka", strings.Join(m.brokers, ","), "--topic", m.topic, "--data", m.data).CombinedOutput()
	return string(out), err
}

// hold stops the first produce request with records, or the answer to it, until somebody says what to do with it.
type hold struct {
	here chan struct{} // closed when it has come
	on   chan bool     // one value: whether it goes on
}

func newHold(ctx context.Context, set func(func(kafkatest.Produce) bool)) *hold {
	h := &hold{here: make(chan struct{}), on: make(chan bool, 1)}
	var come atomic.Bool
	set(func(what kafkatest.Produce) bool {
		if what.Fence || come.Swap(true) {
			return true
		}
		close(h.here)
		select {
		case goes := <-h.on:
			return goes
		case <-ctx.Done():
			return false
		}
	})
	return h
}

func (h *hold) await(ctx context.Context, t *testing.T) {
	t.Helper()
	select {
	case <-h.here:
	case <-ctx.Done():
		t.Fatal("nothing came to be held")
	}
}

// killedBeforeAttempt: the window is sealed, and the relay has not got as far as to say what it will send.
func killedBeforeAttempt(ctx context.Context, t *testing.T, m *machine) {
	m.crash()
	m.proxy.Away(true)
	m.start(ctx)
	m.settle(ctx)
	m.crash()
	m.proxy.Away(false)
	m.start(ctx)
}

// killedBeforeSend: the triple is durable, and the request never leaves.
func killedBeforeSend(ctx context.Context, t *testing.T, m *machine) {
	h := newHold(ctx, m.proxy.OnRequest)
	m.settle(ctx)
	h.await(ctx, t)
	m.crash()
	h.on <- false
	m.start(ctx)
}

// killedBeforeAppend: the dead server's request comes to the broker when its successor has published already.
func killedBeforeAppend(ctx context.Context, t *testing.T, m *machine) {
	h := newHold(ctx, m.proxy.OnRequest)
	m.settle(ctx)
	h.await(ctx, t)
	m.crash()
	m.start(ctx)
	m.kafka.untilSealed(ctx, t, m.windows)
	refused := newHold(ctx, m.proxy.OnAnswer)
	h.on <- true
	refused.await(ctx, t)
	refused.on <- true
}

// killedBeforeAck: the records stand in the topic, and nobody was told.
func killedBeforeAck(ctx context.Context, t *testing.T, m *machine) {
	h := newHold(ctx, m.proxy.OnAnswer)
	m.settle(ctx)
	h.await(ctx, t)
	m.crash()
	h.on <- false
	m.start(ctx)
	m.awaitMetric(ctx, fmt.Sprintf("farthing_relay_found_records_total %d", matrixLines+1))
}

// killedBeforeMark lets the answer go and kills at once: somewhere about the mark. cmd/farthing stops exactly there.
func killedBeforeMark(ctx context.Context, t *testing.T, m *machine) {
	h := newHold(ctx, m.proxy.OnAnswer)
	m.settle(ctx)
	h.await(ctx, t)
	h.on <- true
	m.crash()
	m.start(ctx)
}

// diskFullWhileMarking has every write to a file fail from when the answer is on its way: the server must end, for it cannot
// tell what is durable any more, and find the records when it starts again.
func diskFullWhileMarking(ctx context.Context, t *testing.T, m *machine) {
	h := newHold(ctx, m.proxy.OnAnswer)
	m.settle(ctx)
	h.await(ctx, t)
	pid := m.server.PID()
	out, err := exec.CommandContext(ctx, "prlimit", "--pid", fmt.Sprint(pid), "--fsize=0").CombinedOutput()
	if err != nil {
		t.Fatalf("prlimit: %v: %s", err, out)
	}
	h.on <- true
	eventually(ctx, t, "the server ends", func() bool { return !alive(pid) })
	err = m.server.Kill()
	if err == nil || !strings.Contains(err.Error(), "storage failed, stopping") {
		t.Fatalf("it ended saying: %v", err)
	}
	m.start(ctx)
	m.awaitMetric(ctx, fmt.Sprintf("farthing_relay_found_records_total %d", matrixLines+1))
}

// alive says whether the process is there and not only waited for.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return len(rest) > 0 && rest[0] != 'Z' && rest[0] != 'X'
}

// copyOf makes a machine on a copy of the data, which nobody may be using.
func (m *machine) copyOf() *machine {
	m.t.Helper()
	data := m.data + "-copy"
	m.must(os.CopyFS(data, os.DirFS(m.data)))
	m.must(os.Chmod(filepath.Join(data, "signing-key.pem"), 0o600)) // as a copy of a directory usually keeps it
	twin := newMachine(m.t, m.brokers, m.binary, data, m.topic)
	twin.windows, twin.kafka = m.windows, m.kafka
	return twin
}

// copyTakesOver has a window of the old server on its way when the copy starts and publishes its own of the same number. The old
// one's must not get in, and it must say so.
func copyTakesOver(ctx context.Context, t *testing.T, m *machine) {
	m.must(m.server.Terminate())
	twin := m.copyOf()
	m.start(ctx)
	m.awaitMetric(ctx, `farthing_relay_state{state="waiting"} 1`)
	h := newHold(ctx, m.proxy.OnRequest)
	m.settle(ctx)
	h.await(ctx, t)
	twin.start(ctx)
	twin.settle(ctx)
	twin.kafka.untilSealed(ctx, t, twin.windows)
	h.on <- true
	m.awaitMetric(ctx, `farthing_relay_state{state="fenced"} 1`)
	m.settle(ctx) // goes nowhere
	twin.settle(ctx)
	m.crash()
	var exit *exec.ExitError
	if said, err := m.reconcile(ctx); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("reconcile of the ledger that was replaced ends with %v: %s", err, said)
	}
	m.server, m.client, m.data, m.windows, m.mark = twin.server, twin.client, twin.data, twin.windows, twin.mark
}

// copyIsForked has the copy start when the old server has published what the copy does not know: the copy stops, and the old one goes on.
func copyIsForked(ctx context.Context, t *testing.T, m *machine) {
	m.must(m.server.Terminate())
	twin := m.copyOf()
	m.start(ctx)
	m.settle(ctx)
	m.kafka.untilSealed(ctx, t, m.windows)
	twin.start(ctx)
	twin.awaitMetric(ctx, `farthing_relay_state{state="forked"} 1`)
	twin.settle(ctx) // goes nowhere
	m.settle(ctx)
	twin.crash()
	var exit *exec.ExitError
	if said, err := twin.reconcile(ctx); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("reconcile of the forked copy ends with %v: %s", err, said)
	}
}
