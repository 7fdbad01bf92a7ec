package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// reconciled runs the command and returns exit code, output and messages.
func reconciled(t *testing.T, args ...string) (code int, out, messages string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(append([]string{"reconcile"}, args...), &Context{Ctx: t.Context(), Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr})
	return code, stdout.String(), stderr.String()
}

// settleOnce charges a customer and closes the window.
func (s *serving) settleOnce(n int) {
	s.t.Helper()
	post := func(path, body string) {
		if code, text := send(s.t, http.MethodPost, s.url+path, "", body); code/100 != 2 {
			s.t.Fatalf("POST %s: %d %s", path, code, text)
		}
	}
	post("/v1/accounts", `{"id":"acme","currency":"USD","kind":"customer","billing":"postpaid"}`)
	code, text := send(s.t, http.MethodPut, s.url+"/v1/prices/v1", "", `{"effective_from":"2020-01-01T00:00:00Z","prices":[{"meter":"call","currency":"USD","components":{"call":"1.25"}}]}`)
	if code/100 != 2 {
		s.t.Fatal(code, text)
	}
	post("/v1/events", fmt.Sprintf(`{"id":"e%d","source":"t","type":"call","subject":"acme"}`, n))
	post("/v1/settlements", fmt.Sprintf(`{"id":"s%d"}`, n))
}

// TestReconcile holds a topic against a running server and, once that has stopped, against its data. A record
// that somebody else has written under a number of the ledger makes it red.
func TestReconcile(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	kafka := kafkaArgs(t, 3)
	s := serveOn(t, append([]string{"--data=" + data, "--settle-every=0", "--ledger-id=led.7"}, kafka...)...)
	s.settleOnce(1)
	s.settleOnce(2)
	s.awaitPublishedAll()
	args := []string{kafka[0], "--topic=money"}
	green := func(side ...string) {
		t.Helper()
		code, out, messages := reconciled(t, append(args, side...)...)
		if code != exitOK || !strings.Contains(out, "all agrees: topic money/0") || !strings.Contains(out, "2 sealed, 2 whole") {
			t.Errorf("%v: exit code %d\n%s%s", side, code, out, messages)
		}
	}
	green("--url=" + s.url)
	s.stop()
	green("--data=" + data)

	writer := must(kgo.NewClient(kgo.SeedBrokers(strings.TrimPrefix(kafka[0], "--kafka="))))(t)
	defer writer.Close()
	forged := &kgo.Record{Topic: "money", Value: []byte("{}"), Headers: []kgo.RecordHeader{{Key: "stream_seq", Value: []byte("2")}}}
	if err := writer.ProduceSync(t.Context(), forged).FirstErr(); err != nil {
		t.Fatal(err)
	}
	code, out, messages := reconciled(t, append(args, "--data="+data, "--json")...)
	var report struct {
		Green       bool
		Differences []struct {
			Kind      string
			StreamSeq int `json:"stream_seq"`
		}
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if code != exitFailure || report.Green || len(report.Differences) != 1 || report.Differences[0].Kind != "content" || report.Differences[0].StreamSeq != 2 {
		t.Errorf("exit code %d, report %s, messages %s", code, out, messages)
	}
}

// awaitPublishedAll waits until the server knows where its last batch stands.
func (s *serving) awaitPublishedAll() {
	s.t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(patience)
	for {
		if _, text := s.get("/v1/settlements", ""); !strings.Contains(text, `"published":null`) {
			return
		}
		select {
		case <-ticker.C:
		case <-timeout:
			s.t.Fatal("not all is published in time")
		}
	}
}

// TestReconcileUsage shows the exit codes where nothing is compared.
func TestReconcileUsage(t *testing.T) {
	f := func(want int, mention string, args ...string) {
		t.Helper()
		code, out, messages := reconciled(t, args...)
		if code != want || !strings.Contains(messages, mention) || out != "" {
			t.Errorf("%v: exit code %d, want %d\n%s%s", args, code, want, out, messages)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f(2, "--kafka", "--url=a")
	f(2, "--url", "--kafka=a:1")
	f(2, "--data", "--kafka=a:1", "--url=a", "--data=b")
	f(2, "is not host:port", "--kafka=a", "--url=a")
	f(2, "is for --url", "--kafka=a:1", "--data=b", "--key-file="+empty)
	f(2, "does not hold one key", "--kafka=a:1", "--url=a", "--key-file="+empty)
	f(3, "no ledger", "--kafka=127.0.0.1:1", "--data="+t.TempDir())
	f(3, "connection refused", "--kafka=127.0.0.1:1", "--url=127.0.0.1:1")
}
