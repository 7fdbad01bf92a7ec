package e2e

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"farthing/bench/child"
	"farthing/bench/client"
	"farthing/publish/kafkatest"
)

// limit is far above the two minutes that the test may take, so that what hung
// is shown by its own error.
const limit = 4 * time.Minute

// TestRealInput is the acceptance test; see the package comment. A run is
// repeated with FARTHING_E2E_SEED, except for the instants of the kills.
func TestRealInput(t *testing.T) {
	traceFile, priceFile := input(t, "azure_llm_conv_2023.csv"), input(t, "model_prices.json")
	seed := seedOf(t)
	broker := kafkatest.StartOwn(t).Addr
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()

	dir := t.TempDir()
	binary := build(ctx, t, dir)
	imported := importPrices(ctx, t, binary, priceFile)
	rng := rand.New(rand.NewPCG(seed, 1))
	s := realScenario(t, rng, traceFile, priceFile, imported)
	book, err := s.book(imported)
	if err != nil {
		t.Fatal(err)
	}
	want, err := newOracle(s)
	if err != nil {
		t.Fatal(err)
	}

	data := filepath.Join(dir, "data")
	server := child.New(child.Options{
		Binary: binary, Data: data, Scratch: dir, Log: logFile(t, dir),
		Args: []string{"--kafka", broker, "--create-topics", "--settle-every", "24h"},
	})
	if err := server.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Kill() }() // does nothing after Terminate
	c := client.New(server.URL, client.Options{})
	f := &flow{t: t, rng: rng, target: process{server}, client: c}
	f.play(ctx, s, book)

	batches := readBatches(ctx, t, c)
	checkBalances(ctx, t, c, want, checkLines(t, want, batches))
	checkUsage(ctx, t, c, want)
	checkEvents(ctx, t, c, want, s, batches)
	checkTrial(ctx, t, c)
	f.checkNothingLeft(ctx)
	kafka := newConsumer(t, broker)
	published, lines := checkKafka(ctx, t, c, kafka)

	if err := server.Terminate(); err != nil {
		t.Errorf("SIGTERM must end with exit 0: %v", err)
	}
	kafka.checkOnce(ctx, t, published, lines)
	said, err := child.Verify(ctx, binary, data)
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d events in %d requests, %d batches; verify: %s", len(s.events), len(s.batches), len(batches), said)
}

// process is the server as a child process.
type process struct{ server *child.Server }

func (p process) URL() string { return p.server.URL() }

// Crash sends SIGKILL and starts the server again.
func (p process) Crash(ctx context.Context) error {
	if err := p.server.Kill(); err != nil {
		return err
	}
	return p.server.Start(ctx)
}

// input returns the path of a shared input file and skips without it.
func input(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join("..", "..", "shared", "data", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("skipped: no real input at ../shared/data/%s beside the repository", name)
	}
	return path
}

// seedOf prints the run's seed.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("FARTHING_E2E_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("FARTHING_E2E_SEED=%d", seed)
	return seed
}

func build(ctx context.Context, t *testing.T, dir string) string {
	t.Helper()
	binary := filepath.Join(dir, "farthing")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "farthing/cmd/farthing").CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// importPrices runs `farthing prices import` as a user would.
func importPrices(ctx context.Context, t *testing.T, binary, file string) client.Book {
	t.Helper()
	out, err := exec.CommandContext(ctx, binary, "prices", "import", "--format", "litellm", file).Output()
	if err != nil {
		t.Fatalf("prices import: %v", err)
	}
	var book client.Book
	if err := json.Unmarshal(out, &book); err != nil {
		t.Fatalf("prices import: %v", err)
	}
	return book
}

// realScenario is the scenario of trace and price list.
func realScenario(t *testing.T, rng *rand.Rand, traceFile, priceFile string, imported client.Book) *scenario {
	t.Helper()
	rows, err := os.Open(traceFile)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	trace, err := readTrace(rows)
	if err != nil {
		t.Fatal(err)
	}
	models := readModels(t, priceFile, imported)
	if len(trace) < 19_000 || len(models) < modelsMax {
		t.Fatalf("%d requests and %d usable models in the input", len(trace), len(models))
	}
	return newScenario(rng, trace, models, time.Now())
}

// readModels are the models of the price list that were imported.
func readModels(t *testing.T, priceFile string, imported client.Book) []model {
	t.Helper()
	list, err := os.Open(priceFile)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = list.Close() }()
	listed, err := listedModels(list)
	if err != nil {
		t.Fatal(err)
	}
	models, err := importedOnly(listed, imported)
	if err != nil {
		t.Fatal(err)
	}
	return models
}

// logFile takes the server's log; what it says last is shown when the test
// fails.
func logFile(t *testing.T, dir string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer func() { _ = f.Close() }()
		log, err := os.ReadFile(f.Name())
		if t.Failed() && err == nil {
			t.Logf("the server's log ends:\n%s", log[max(0, len(log)-4000):])
		}
	})
	return f
}
