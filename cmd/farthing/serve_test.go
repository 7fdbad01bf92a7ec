package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"farthing/apikey"
	"farthing/bench/client"
	"farthing/engine"
	"farthing/httpapi"
	"farthing/journal"
	"farthing/publish"

	"github.com/prometheus/client_golang/prometheus"
)

// parseServe parses a command line of serve without running it.
func parseServe(t *testing.T, args ...string) serveCmd {
	t.Helper()
	var cmds commands
	ctx, _, stderr := testContext()
	if call, code := parse(&cmds, append([]string{"serve"}, args...), ctx); call == nil {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	return cmds.Serve
}

func TestServeFlags(t *testing.T) {
	got := parseServe(t, "--data=d")
	want := serveCmd{
		Data: "d", Listen: "127.0.0.1:8080", KafkaTopic: publish.DefaultTopic,
		DedupWindow: engine.DefaultDedupWindow, MaxRequests: 4096, MaxEvents: 2_000_000, MaxBytes: 256 << 20,
		RunIdentities: 1 << 20, DedupMemory: 1 << 30, CheckpointBytes: 256 << 20, KafkaNotificationsTopic: "farthing.notifications",
		QueueTarget: 100 * time.Millisecond, MinFree: 1 << 30, DiskStallMax: time.Minute,
		KafkaCompression: "gzip", KafkaResultsTopic: "farthing.settlement-results",
		accessFlags: accessFlags{MaxConnections: 16384}, retainFlags: retainFlags{ExportFormat: "ndjson"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("defaults\n%+v, want\n%+v", got, want)
	}
	if err := got.validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	t.Setenv("FARTHING_KAFKA", "a:1,b:2")
	t.Setenv("FARTHING_API_KEYS", "keys.yaml")
	t.Setenv("FARTHING_SETTLE_EVERY", "5m")
	got = parseServe(t, "--data=d", "--config", writeFile(t, "max-bytes: 1000\nledger-id: l\ncreate-topics: true\n"))
	want.Kafka, want.APIKeys = []string{"a:1", "b:2"}, "keys.yaml"
	every := 5 * time.Minute
	want.SettleEvery = &every
	want.MaxBytes, want.LedgerID, want.CreateTopics = 1000, "l", true
	if !reflect.DeepEqual(got, want) {
		t.Errorf("with environment and file\n%+v, want\n%+v", got, want)
	}
}

// TestServeRefuses: what can be seen before anything is opened is exit code 2,
// and no data directory appears.
func TestServeRefuses(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Dir(data), link); err != nil {
		t.Fatal(err)
	}
	f := func(code int, mention string, args ...string) {
		t.Helper()
		ctx, _, stderr := testContext()
		if got := run(append([]string{"serve", "--data=" + data}, args...), ctx); got != code || !strings.Contains(stderr.String(), mention) {
			t.Errorf("%q: exit code %d, want %d and %q in:\n%s", args, got, code, mention, stderr)
		}
	}
	f(2, "loopback", "--listen=0.0.0.0:0")
	f(2, "give --api-keys", "--listen=:0")
	f(2, "--settle-every=1ms", "--settle-every=1ms")
	f(2, "never fires", "--settle-cron=0 0 30 2 *")
	f(2, "no time zone", "--settle-cron=@daily", "--settle-zone=Mars/Olympus")
	f(2, "exclude each other", "--settle-cron=@daily", "--settle-every=1h")
	f(2, "no currency XXX", "--settle-threshold=XXX=5")
	f(2, "--dedup-window=1m0s", "--dedup-window=1m")
	f(2, "is no id", "--ledger-id=a b")
	f(2, "--max-requests=0", "--max-requests=0", "--max-bytes=-1")
	f(2, "--max-bytes=-1", "--max-requests=0", "--max-bytes=-1")
	f(2, "is not host:port", "--kafka=broker")
	f(2, `compression "zip"`, "--kafka=a:1", "--kafka-compression=zip")
	f(2, "SASL mechanism", "--kafka=a:1", "--kafka-sasl=NTLM", "--kafka-user=u", "--kafka-password-file="+writeFile(t, "secret"))
	f(1, "want each other", "--kafka=a:1", "--kafka-user=u")
	f(2, "a topic of its own", "--kafka=a:1", "--kafka-topic=x", "--kafka-notifications-topic=x")
	f(2, "--kafka-notifications-topic", "--kafka=a:1", "--kafka-notifications-topic=a b")
	f(2, "in the data directory", "--listen-file="+filepath.Join(data, "address"))
	f(2, "in the data directory", "--listen-file="+filepath.Join(link, "data", "below", "address"))
	f(1, "no such file", "--api-keys="+data+".absent")
	f(1, "address already in use", "--listen="+occupied(t))
	f(1, "--listen-file", "--listen=127.0.0.1:0", "--listen-file="+filepath.Join(t.TempDir(), "absent", "address"))
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data directory was touched: %v", err)
	}
}

// occupied is an address that somebody listens on.
func occupied(t *testing.T) string {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// TestServeNotALedger: a directory with something else in it is left alone, and
// the listener that was open already is closed.
func TestServeNotALedger(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "letter"), []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, _, stderr := testContext()
	if code := run([]string{"serve", "--listen=127.0.0.1:0", "--data=" + dir}, ctx); code != exitFailure || !strings.Contains(stderr.String(), dir) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// TestServe runs a server through its life, twice on the same data: what was
// answered is answered again the same.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	data, listenFile := filepath.Join(dir, "data"), filepath.Join(dir, "address")
	args := []string{"--data=" + data, "--listen-file=" + listenFile, "--ledger-id=ledger-7", "--settle-every=0"}
	s := serveOn(t, args...)
	checkListenFile(t, s, listenFile)
	if status, body := s.get("/readyz", ""); status != 200 {
		t.Errorf("/readyz: %d %s", status, body)
	}
	use(t, s)
	before := answers(t, s)
	checkMetrics(t, s)
	s.stop()

	s = serveOn(t, args...)
	checkListenFile(t, s, listenFile)
	if after := answers(t, s); !reflect.DeepEqual(after, before) {
		t.Errorf("after the restart\n%v, before\n%v", after, before)
	}
	s.stop()
}

func checkListenFile(t *testing.T, s *serving, path string) {
	t.Helper()
	if text := must(os.ReadFile(path))(t); "http://"+string(text) != s.url {
		t.Errorf("the listen file says %q, the server is at %s", text, s.url)
	}
}

// use opens accounts, puts prices, books three events and closes a window.
func use(t *testing.T, s *serving) {
	t.Helper()
	ctx, c := t.Context(), client.New(client.At(s.url), client.Options{})
	defer c.Close()
	for _, a := range []client.Account{
		{ID: "acme", Currency: "USD", Kind: "customer", Billing: "postpaid"},
		{ID: "atlas", Currency: "USD", Kind: "provider"},
	} {
		if err := c.Open(ctx, a); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.PutPrices(ctx, "v1", client.Book{EffectiveFrom: time.Unix(0, 0).UTC(), Prices: []client.Price{{
		Meter: "api.calls", Currency: "USD", Match: map[string]string{}, Payee: "atlas",
		Components: map[string]json.RawMessage{"call": json.RawMessage(`"1.255"`)},
	}}}); err != nil {
		t.Fatal(err)
	}
	var events []client.Event
	for _, id := range []string{"1", "2", "3"} {
		events = append(events, client.Event{ID: id, Source: "test", Type: "api.calls", Subject: "acme"})
	}
	if got := must(c.Post(ctx, events))(t); got.Accepted != 3 {
		t.Errorf("accepted %+v", got)
	}
	closed := must(c.CloseWindow(ctx, "w1"))(t)
	if len(closed.Batches) != 1 || !closed.Batches[0].Paid.Equal(client.M("3.76").Decimal) {
		t.Errorf("closed %+v, want one batch that pays 3.76 of 3.765", closed)
	}
	s.awaitLog(`msg="window sealed" windows=1`)
}

// answers is what must be the same before and after a restart.
func answers(t *testing.T, s *serving) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, path := range []string{
		"/v1/accounts/acme", "/v1/accounts/atlas/transfers", "/v1/accounts/acme/usage", "/v1/events/test/2",
		"/v1/prices/v1", "/v1/settlements", "/v1/trial-balance",
	} {
		status, body := s.get(path, "")
		if status != 200 {
			t.Errorf("%s: %d %s", path, status, body)
		}
		got[path] = body
	}
	if !strings.Contains(got["/v1/accounts/acme"], `"posted":"-0.005"`) {
		t.Errorf("acme is %s, want -0.005 left of 3.765 after collecting 3.76", got["/v1/accounts/acme"])
	}
	return got
}

func checkMetrics(t *testing.T, s *serving) {
	t.Helper()
	s.expectMetrics(
		"\nfarthing_ready 1", "\nfarthing_settlement_windows 1", "\nfarthing_outbox_sealed_records 4", "\nfarthing_outbox_published_records 0",
		"\nfarthing_outbox_depth_records 4", "\nfarthing_admitted_requests 0", "\nfarthing_admitted_events 0", "\nfarthing_admitted_bytes 0",
		"\nfarthing_ring_depth ", "\nfarthing_accounts ", "\nfarthing_identity_runs ", "\nfarthing_outbox_age_seconds ", "\nfarthing_price_versions 1",
		"\nfarthing_store_disk_bytes ", "\nfarthing_store_stalls_total 0", "\nfarthing_store_stall_seconds_total 0",
		"\nfarthing_watermark_sequence{name=\"durable\"} ", "\nfarthing_watermark_sequence{name=\"sealed\"} ",
		"\nfarthing_group_commands_bucket", "\nfarthing_group_bytes_sum ", "\nfarthing_group_commit_seconds_count ",
		"\nfarthing_build_info{", "\ngo_goroutines ", "\nprocess_cpu_seconds_total ",
	)
	_, page := s.get("/metrics", "")
	if strings.Contains(page, "farthing_relay_") {
		t.Error("figures of a relay, but there are no brokers")
	}
}

func TestServeKeys(t *testing.T) {
	dir := t.TempDir()
	secrets, file := map[string]string{}, ""
	for i, scope := range []apikey.Scopes{apikey.Ingest, apikey.Read, apikey.Admin} {
		key := must(apikey.New(apikey.KeyID(scope.String()), scope, apikey.Limits{}, [apikey.SecretBytes]byte{byte(i), 1}))(t)
		secrets[scope.String()] = key.Secret
		file += key.Entry
	}
	path := filepath.Join(dir, "keys.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serveOn(t, "--data="+filepath.Join(dir, "data"), "--api-keys="+path)
	f := func(want int, method, target, key string) {
		t.Helper()
		if got, body := send(t, method, s.url+target, key, `{"id":"a","currency":"USD","kind":"provider"}`); got != want {
			t.Errorf("%s %s: %d, want %d: %s", method, target, got, want, body)
		}
	}
	f(200, "GET", "/readyz", "")
	f(401, "GET", "/v1/accounts", "")
	f(401, "GET", "/v1/accounts", secrets["read"]+"x")
	f(403, "GET", "/v1/accounts", secrets["ingest"])
	f(403, "POST", "/v1/accounts", secrets["read"])
	f(201, "POST", "/v1/accounts", secrets["admin"])
	f(200, "GET", "/v1/accounts", secrets["read"])
	s.stop()
}

// TestServeKafka publishes to a broker in memory a batch that was sealed before
// the broker was named. Then another broker takes its place, whose topic has other
// records where ours were confirmed: publishing stops, serving does not.
func TestServeKafka(t *testing.T) {
	args := []string{"--data=" + filepath.Join(t.TempDir(), "data"), "--settle-every=0"}
	s := serveOn(t, args...)
	use(t, s)
	s.stop()

	s = serveOn(t, append(args, kafkaArgs(t, 0)...)...)
	if p := s.awaitPublished(); p.Topic != "money" || p.LastOffset-p.FirstOffset != 3 {
		t.Errorf("published at %+v, want three lines and the manifest in a row", p)
	}
	s.expectMetrics("\nfarthing_outbox_depth_records 0", "\nfarthing_outbox_age_seconds 0", "\nfarthing_relay_sent_records_total 4",
		"\nfarthing_relay_state{state=\"lost\"} 0")
	s.stop()

	s = serveOn(t, append(args, kafkaArgs(t, 20)...)...)
	s.awaitLog("they stay in the outbox\" stream=settlements")
	s.expectMetrics("\nfarthing_relay_state{state=\"lost\"} 1", "\nfarthing_ready 1")
	s.stop()
}

// TestServeDrains stops a server in the middle of traffic: exactly what was
// answered is booked.
func TestServeDrains(t *testing.T) {
	const senders, warm = 8, 200
	data := filepath.Join(t.TempDir(), "data")
	s := serveOn(t, "--data="+data, "--settle-every=0")
	use(t, s)
	var booked atomic.Int64
	warmed, once := make(chan struct{}), sync.Once{}
	var wg sync.WaitGroup
	for n := range senders {
		wg.Go(func() {
			c := client.New(client.At(s.url), client.Options{})
			defer c.Close()
			for i := 0; ; i++ {
				got, err := c.Post(t.Context(), []client.Event{{ID: fmt.Sprint(n, "-", i), Source: "drain", Type: "api.calls", Subject: "acme"}})
				if err != nil {
					return // refused or cut off: the server is going
				}
				if booked.Add(int64(got.Accepted)) > warm {
					once.Do(func() { close(warmed) })
				}
			}
		})
	}
	select {
	case <-warmed:
	case <-time.After(patience):
		t.Fatal("the senders did not get going")
	}
	s.stop()
	wg.Wait()
	report := must(engine.Verify(engine.VerifyOptions{Journal: journal.Options{Dir: data, Logger: slog.New(slog.DiscardHandler)}}))(t)
	if want := uint64(booked.Load()) + 3; report.Events != want {
		t.Errorf("%d events are booked, %d were answered", report.Events, want)
	}
}

// TestSlotBeforeOpen: while the journal is replayed, the process is alive, not
// ready, and refuses everything that needs the ledger.
func TestSlotBeforeOpen(t *testing.T) {
	slot := &engineSlot{}
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	metrics := newLedgerMetrics(slot, time.Now)
	server := httpapi.New(slot, httpapi.Options{Collectors: []prometheus.Collector{metrics}})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	f := func(want int, mention, method, path string) {
		t.Helper()
		got, body := send(t, method, "http://"+l.Addr().String()+path, "", `{}`)
		if got != want || !strings.Contains(body, mention) {
			t.Errorf("%s %s: %d %s, want %d with %q", method, path, got, body, want, mention)
		}
	}
	f(200, "alive", "GET", "/healthz")
	f(200, "farthing_ready 0", "GET", "/metrics")
	for _, path := range []string{
		"/readyz", "/v1/accounts", "/v1/accounts/a", "/v1/accounts/a/transfers", "/v1/accounts/a/usage", "/v1/trial-balance", "/v1/prices",
		"/v1/prices/v", "/v1/settlements", "/v1/settlements/" + strings.Repeat("a", 64), "/v1/events/s/i", "/v1/unpriced",
	} {
		f(503, "not_ready", "GET", path)
	}
	f(503, "not_ready", "POST", "/v1/events")
	f(503, "not_ready", "POST", "/v1/accounts")
	if err := errors.Join(server.Drain(t.Context()), <-served); err != nil {
		t.Error(err)
	}
}

func TestOutboxAge(t *testing.T) {
	m := newLedgerMetrics(&engineSlot{}, func() time.Time { return time.Unix(100, 0) })
	f := func(ns int64, want float64) {
		t.Helper()
		if got := m.age(ns); got != want {
			t.Errorf("age of %d: %v, want %v", ns, got, want)
		}
	}
	f(0, 0)
	f(98_500_000_000, 1.5)
	f(101_000_000_000, 0)
}

// TestServeHelpNamesEveryVariable covers the advanced flags too, which have a
// heading of their own in the help.
func TestServeHelpNamesEveryVariable(t *testing.T) {
	for _, command := range []string{"serve", "verify"} {
		ctx, stdout, _ := testContext()
		if code := run([]string{command, "--help"}, ctx); code != exitOK {
			t.Fatalf("%s: exit code %d", command, code)
		}
		for _, match := range regexp.MustCompile(`(?m)^ +(?:-h, )?--([a-z-]+)`).FindAllStringSubmatch(stdout.String(), -1) {
			if name := match[1]; name != "help" && !strings.Contains(stdout.String(), "$FARTHING_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))) {
				t.Errorf("%s: no variable for --%s in:\n%s", command, name, stdout)
			}
		}
	}
}
