package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"farthing/engine"
	"farthing/httpapi"
	"farthing/journal"
	"farthing/webhook"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestServeWebhooks takes endpoints through restarts: with and without the flag that lets
// them be on this machine.
func TestServeWebhooks(t *testing.T) {
	args := []string{"--data=" + filepath.Join(t.TempDir(), "data"), "--settle-every=0"}
	const endpoint = `{"id":"hook/1","url":"http://127.0.0.1:9/hook","from":0,"types":["credit.low"]}`
	s := serveOn(t, args...)
	f := func(want int, mention, method, path, body string) string {
		t.Helper()
		status, text := send(t, method, s.url+path, "", body)
		if status != want || !strings.Contains(text, mention) {
			t.Errorf("%s %s: %d %s, want %d with %q", method, path, status, text, want, mention)
		}
		return text
	}
	f(422, "https://", "POST", "/v1/webhooks", endpoint)
	f(422, "private_address", "POST", "/v1/webhooks", `{"id":"a","url":"https://10.0.0.1","from":0}`)
	f(422, "unknown_type", "POST", "/v1/webhooks", `{"id":"a","url":"https://example.com","from":0,"types":["credit.high"]}`)
	f(200, `"items":[]`, "GET", "/v1/webhooks", "")
	s.stop()

	s = serveOn(t, append(args, "--webhooks-allow-private")...)
	var made struct{ Secret string }
	if err := json.Unmarshal([]byte(f(201, "whsec_", "POST", "/v1/webhooks", endpoint)), &made); err != nil || len(made.Secret) != len("whsec_")+44 {
		t.Errorf("secret of %d bytes: %v", len(made.Secret), err)
	}
	f(200, `"state":"active"`, "POST", "/v1/webhooks", endpoint)
	s.expectMetrics("\nfarthing_webhook_active_endpoints 1", "\nfarthing_webhook_disabled_endpoints 0", "\nfarthing_webhook_failing_endpoints 0",
		"\nfarthing_webhook_deliveries_total 0", "\nfarthing_webhook_failures_total 0")
	s.stop()

	// What is there stays there when the flag is gone; the dialer sees to the rest.
	s = serveOn(t, args...)
	for _, path := range []string{"/v1/webhooks", "/v1/webhooks/hook%2F1"} {
		if text := f(200, `"url":"http://127.0.0.1:9/hook"`, "GET", path, ""); strings.Contains(text, "whsec") || strings.Contains(text, "secret") {
			t.Errorf("%s shows the secret: %s", path, text)
		}
	}
	f(200, `"delivered":3`, "POST", "/v1/webhooks/hook%2F1/enable", `{"from":3}`)
	f(200, "hook/1", "DELETE", "/v1/webhooks/hook%2F1", "")
	f(404, "unknown_webhook", "GET", "/v1/webhooks/hook%2F1", "")
	s.stop()

	s = serveOn(t, args...)
	f(200, `"items":[]`, "GET", "/v1/webhooks", "")
	s.stop()
}

// TestServeNotificationsTopic: the second stream has a relay of its own unless its topic is
// empty.
func TestServeNotificationsTopic(t *testing.T) {
	args := append([]string{"--data=" + filepath.Join(t.TempDir(), "data"), "--settle-every=0"}, kafkaArgs(t, 0)...)
	s := serveOn(t, args...)
	s.expectMetrics("\nfarthing_relay_state{state=\"lost\"} 0", "\nfarthing_notification_relay_state{state=\"lost\"} 0", "\nfarthing_notification_relay_confirmed_records 0")
	s.stop()
	s = serveOn(t, append(args, "--kafka-notifications-topic=")...)
	if _, page := s.get("/metrics", ""); strings.Contains(page, "farthing_notification_relay_") || !strings.Contains(page, "farthing_relay_state") {
		t.Error("figures of a relay of notifications, but their topic is empty")
	}
	s.stop()
}

// TestWebhookSlotBeforeOpen: until the ledger is open, webhooks are not ready.
func TestWebhookSlotBeforeOpen(t *testing.T) {
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	server := httpapi.New(&engineSlot{}, httpapi.Options{Webhooks: &webhookSlot{}})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	for _, request := range []string{"GET /v1/webhooks", "GET /v1/webhooks/a", "POST /v1/webhooks", "POST /v1/webhooks/a/enable", "DELETE /v1/webhooks/a"} {
		method, path, _ := strings.Cut(request, " ")
		if status, body := send(t, method, "http://"+l.Addr().String()+path, "", `{}`); status != 503 || !strings.Contains(body, "not_ready") {
			t.Errorf("%s: %d %s", request, status, body)
		}
	}
	var slot webhookSlot
	_, _, no := slot.Create(webhook.Spec{})
	if no == nil || no.Code != "not_ready" {
		t.Error(no)
	}
	for _, ask := range []func() error{
		func() error { _, no := slot.Enable("a", nil); return no },
		func() error { _, no := slot.Delete("a"); return no },
		func() error { _, no := slot.Endpoint("a"); return no },
	} {
		if err := ask(); !strings.HasPrefix(err.Error(), "not_ready") {
			t.Error(err)
		}
	}
	if err := server.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// hook is an endpoint on loopback that notes the bodies it gets, by their ids.
type hook struct {
	server *httptest.Server
	bodies chan string
}

func newHook(t *testing.T) *hook {
	h := &hook{bodies: make(chan string, 100)}
	h.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.bodies <- r.Header.Get("webhook-id") + " " + string(body)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(h.server.Close)
	return h
}

func (h *hook) next(t *testing.T) string {
	t.Helper()
	select {
	case body := <-h.bodies:
		return body
	case <-time.After(patience):
		t.Fatal("nothing came")
		return ""
	}
}

// TestNotificationsLeave follows notifications out of the ledger: what the list shows goes to
// an endpoint and to Kafka with the same bytes, before and after a restart, and verify finds
// the publisher's rows right.
func TestNotificationsLeave(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	kafka := kafkaArgs(t, 0)
	args := append([]string{"--data=" + data, "--settle-every=0", "--ledger-id=led.7", "--webhooks-allow-private"}, kafka...)
	s := serveOn(t, args...)
	post := func(path, body string) {
		t.Helper()
		if status, text := send(t, "POST", s.url+path, "", body); status/100 != 2 {
			t.Fatalf("%s: %d %s", path, status, text)
		}
	}
	freeze := func(n int) {
		t.Helper()
		post("/v1/accounts/acme/freeze", fmt.Sprintf(`{"id":"f%d","reason":"<late> & later"}`, n))
		post("/v1/accounts/acme/resume", fmt.Sprintf(`{"id":"r%d"}`, n))
	}
	post("/v1/accounts", `{"id":"acme","currency":"USD","kind":"customer","billing":"prepaid"}`)
	freeze(1)
	early, late := newHook(t), newHook(t)
	post("/v1/webhooks", fmt.Sprintf(`{"id":"early","url":%q,"from":0}`, early.server.URL))
	post("/v1/webhooks", fmt.Sprintf(`{"id":"late","url":%q}`, late.server.URL))
	freeze(2)
	var got []string
	got = append(got, early.next(t), early.next(t))
	if first := late.next(t); first != got[1] {
		t.Errorf("the endpoint that started at the newest got %s first, want %s", first, got[1])
	}
	s.stop()
	s = serveOn(t, args...)
	freeze(3)
	for len(got) < 3 { // a position may have been lost, then some come again
		if body := early.next(t); !slices.Contains(got, body) {
			got = append(got, body)
		}
	}
	s.awaitMetric("farthing_notification_relay_confirmed_records 3")
	checkNotifications(t, s, got, strings.TrimPrefix(kafka[0], "--kafka="))
	s.stop()
	if _, err := engine.Verify(engine.VerifyOptions{Journal: journal.Options{Dir: data, Logger: slog.New(slog.DiscardHandler)}}); err != nil {
		t.Error(err)
	}
}

// checkNotifications compares what an endpoint got with the list and with the topic.
func checkNotifications(t *testing.T, s *serving, got []string, broker string) {
	t.Helper()
	var listed struct{ Items []json.RawMessage }
	_, text := s.get("/v1/notifications", "")
	if err := json.Unmarshal([]byte(text), &listed); err != nil || len(listed.Items) != len(got) {
		t.Fatalf("%d of %d are listed: %v", len(listed.Items), len(got), err)
	}
	client := must(kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics("farthing.notifications"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())))(t)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for n := 0; n < len(got); {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for _, record := range fetches.Records() {
			header := map[string]string{}
			for _, h := range record.Headers {
				header[h.Key] = string(h.Value)
			}
			if header["stream_seq"] == "" {
				continue // a fence
			}
			n++
			if header["stream_seq"] != fmt.Sprint(n) || header["ce_id"] != fmt.Sprint("ntf-led.7-", n) || header["ce_type"] != "farthing.notification.account.suspended" || string(record.Key) != "acme" {
				t.Errorf("record %d: key %s, %v", n, record.Key, header)
			}
			value := string(record.Value)
			if want := fmt.Sprintf("ntf-led~7-%d %s", n, value); got[n-1] != want || string(listed.Items[n-1]) != value {
				t.Errorf("number %d\nendpoint %s\nKafka %s\nlist %s", n, got[n-1], want, listed.Items[n-1])
			}
		}
	}
}

// awaitMetric asks until a line stands in the metrics.
func (s *serving) awaitMetric(line string) {
	s.t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, page := s.get("/metrics", ""); strings.Contains(page, "\n"+line+"\n") {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			s.t.Fatalf("no %q in time", line)
		}
	}
}
