package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"farthing/bench/client"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// serving is `farthing serve` run within the test, with its arguments, log and
// signal.
type serving struct {
	t      *testing.T
	url    string
	signal context.CancelFunc
	lines  chan string // of the log; closed at the end
	code   chan int
}

// patience bounds every wait; none is expected to come near it.
const patience = 30 * time.Second

// serveOn starts a server on a free port and returns once it says it is ready.
func serveOn(t *testing.T, args ...string) *serving {
	t.Helper()
	s := &serving{t: t, lines: make(chan string, 1000), code: make(chan int, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	s.signal = cancel
	read, write := io.Pipe()
	go func() {
		defer close(s.lines)
		for scan := bufio.NewScanner(read); scan.Scan(); {
			s.lines <- scan.Text()
		}
	}()
	go func() {
		code := run(append([]string{"serve", "--listen=127.0.0.1:0"}, args...),
			&Context{Ctx: ctx, Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: write})
		_ = write.Close()
		s.code <- code
	}()
	line := s.awaitLog(`msg=ready`)
	s.url = "http://" + regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(line)[1]
	t.Cleanup(cancel)
	return s
}

// awaitLog returns the next line of the log that has mention in it.
func (s *serving) awaitLog(mention string) string {
	s.t.Helper()
	var seen []string
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				s.t.Fatalf("no %q in the log:\n%s", mention, strings.Join(seen, "\n"))
			}
			if seen = append(seen, line); strings.Contains(line, mention) {
				return line
			}
		case <-timeout:
			s.t.Fatalf("no %q in time in the log:\n%s", mention, strings.Join(seen, "\n"))
		}
	}
}

// stop ends the context, as SIGTERM does, and expects exit code 0.
func (s *serving) stop() {
	s.t.Helper()
	s.signal()
	s.awaitLog("msg=stopped")
	if code := <-s.code; code != exitOK {
		s.t.Errorf("exit code %d", code)
	}
}

// get returns status and body of one GET with a key, or without.
func (s *serving) get(path, key string) (int, string) {
	s.t.Helper()
	return send(s.t, http.MethodGet, s.url+path, key, "")
}

// testClient gives up long before the tests do. Its requests close their connections.
var testClient = &http.Client{Timeout: time.Minute}

func send(t *testing.T, method, url, key, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	req.Close = true
	resp, err := testClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// must is for calls that cannot fail in these tests.
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// kafkaArgs starts a broker in memory. With records of others it has the topic, and in it
// that many records that no ledger sent.
func kafkaArgs(t *testing.T, ofOthers int) []string {
	t.Helper()
	options := []kfake.Opt{kfake.NumBrokers(1)}
	if ofOthers > 0 {
		options = append(options, kfake.SeedTopics(1, "money"))
	}
	cluster := must(kfake.NewCluster(options...))(t)
	t.Cleanup(cluster.Close)
	if ofOthers > 0 {
		writer := must(kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...)))(t)
		defer writer.Close()
		for range ofOthers {
			if err := writer.ProduceSync(t.Context(), &kgo.Record{Topic: "money", Value: []byte("?")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return []string{"--kafka=" + strings.Join(cluster.ListenAddrs(), ","), "--kafka-topic=money", "--create-topics"}
}

// awaitPublished asks until the first batch is published.
func (s *serving) awaitPublished() *client.Published {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	c := client.New(client.At(s.url), client.Options{})
	defer c.Close()
	for {
		if p := must(c.Settlements(ctx))(s.t)[0].Published; p != nil {
			return p
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			s.t.Fatal("the batch was not published in time")
		}
	}
}

func (s *serving) expectMetrics(wants ...string) {
	s.t.Helper()
	_, page := s.get("/metrics", "")
	for _, want := range wants {
		if !strings.Contains(page, want) {
			s.t.Errorf("no %q in the metrics", want[1:])
		}
	}
}
