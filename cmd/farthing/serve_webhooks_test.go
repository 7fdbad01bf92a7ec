package main

import (
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"farthing/httpapi"
	"farthing/webhook"
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
