package httpapi

import (
	"slices"
	"strings"
	"testing"

	"farthing/refusal"
	"farthing/webhook"
)

// fakeWebhooks is a registry without deliveries.
type fakeWebhooks struct {
	all     []webhook.Endpoint
	specs   []webhook.Spec
	enabled []uint64 // numbers to go on after
	refused *refusal.Refusal
}

func (f *fakeWebhooks) Create(s webhook.Spec) (webhook.Endpoint, bool, *refusal.Refusal) {
	f.specs = append(f.specs, s)
	if f.refused != nil {
		return webhook.Endpoint{}, false, f.refused
	}
	if e, no := f.Endpoint(s.ID); no == nil {
		return e, false, nil
	}
	e := webhook.Endpoint{ID: s.ID, URL: s.URL, Types: s.Types, Secret: s.Secret, Created: someTime}
	if e.Secret == nil {
		e.Secret = webhook.Secret(strings.Repeat("\x00", 24))
	}
	f.all = append(f.all, e)
	return e, true, nil
}

func (f *fakeWebhooks) Endpoints() ([]webhook.Endpoint, *refusal.Refusal) { return f.all, f.refused }

func (f *fakeWebhooks) Endpoint(id string) (webhook.Endpoint, *refusal.Refusal) {
	i := slices.IndexFunc(f.all, func(e webhook.Endpoint) bool { return e.ID == id })
	if i < 0 {
		return webhook.Endpoint{}, refusal.New(refusal.NotFound, "unknown_webhook", "no")
	}
	return f.all[i], f.refused
}

func (f *fakeWebhooks) Enable(id string, from *uint64) (webhook.Endpoint, *refusal.Refusal) {
	if from != nil {
		f.enabled = append(f.enabled, *from)
	}
	return f.Endpoint(id)
}

func (f *fakeWebhooks) Delete(id string) (webhook.Endpoint, *refusal.Refusal) {
	e, no := f.Endpoint(id)
	f.all = slices.DeleteFunc(f.all, func(e webhook.Endpoint) bool { return e.ID == id })
	return e, no
}

const someSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// TestWebhookSecretIsShownOnce follows an endpoint through its life.
func TestWebhookSecretIsShownOnce(t *testing.T) {
	r := newRig(t, Options{Webhooks: &fakeWebhooks{}})
	body := `{"id":"a/b","url":"https://example.com/hook","types":["credit.low"],"secret":"` + someSecret + `","from":7}`
	got := r.post("/v1/webhooks", body)
	got.want(t, 201, "")
	if want := `{"id":"a/b","url":"https://example.com/hook","secret":"` + someSecret + `","types":["credit.low"],"from":0,"state":"active","created":"2026-11-23T10:00:00Z","delivered":0,"failures":0,"last_error":null,"last_error_at":null,"next_attempt":null}`; got.body != want {
		t.Errorf("\n got %s\nwant %s", got.body, want)
	}
	f := func(method, target, body string, status int) {
		t.Helper()
		kind := ""
		if body != "" {
			kind = "application/json"
		}
		got := r.do(method, target, kind, body)
		got.want(t, status, "")
		if strings.Contains(got.body, "secret") || strings.Contains(got.body, "whsec") || (status == 200 && !strings.Contains(got.body, `"id":"a/b"`)) {
			t.Errorf("%s %s: %s", method, target, got.body)
		}
	}
	f("POST", "/v1/webhooks", body, 200)
	f("GET", "/v1/webhooks", "", 200)
	f("GET", "/v1/webhooks/a%2Fb", "", 200)
	f("POST", "/v1/webhooks/a%2Fb/enable", `{}`, 200)
	f("POST", "/v1/webhooks/a%2Fb/enable", `{"from":9}`, 200)
	f("DELETE", "/v1/webhooks/a%2Fb", "", 200)
	f("DELETE", "/v1/webhooks/a%2Fb", "", 404)
	f("GET", "/v1/webhooks/a%2Fb", "", 404)
	if strings.Contains(r.logged.String(), "whsec") {
		t.Error("a secret was logged")
	}
}

func TestWebhookBodies(t *testing.T) {
	w := &fakeWebhooks{}
	r := newRig(t, Options{Webhooks: w})
	f := func(target, body string, status int, reason string) {
		t.Helper()
		got := r.post(target, body)
		if got.status != status {
			t.Fatalf("%s: %d %s", body, got.status, got.body)
		}
		if status < 300 {
			return
		}
		if _, is := got.problem(t); is != reason || strings.Contains(got.body, "abcd") {
			t.Errorf("%s: %s, want %s", body, got.body, reason)
		}
	}
	f("/v1/webhooks", `{"id":"a"}`, 422, "missing_field")
	f("/v1/webhooks", `{"url":"https://example.com"}`, 422, "missing_field")
	f("/v1/webhooks", `{"id":"a","url":7}`, 422, "wrong_type")
	f("/v1/webhooks", `{"id":"a","url":"https://example.com","types":"x"}`, 422, "wrong_type")
	f("/v1/webhooks", `{"id":"a","url":"https://example.com","types":[1]}`, 422, "wrong_type")
	f("/v1/webhooks", `{"id":"a","url":"https://example.com","from":-1}`, 422, "wrong_type")
	f("/v1/webhooks", `{"id":"a","url":"https://example.com","secret":"abcd"}`, 422, "invalid_secret")
	f("/v1/webhooks", `{"id":"a","url":"https://example.com","secret":"whsec_abcd"}`, 422, "invalid_secret")
	f("/v1/webhooks", `{"id":"a","url":"https://example.com","state":"active"}`, 422, "unknown_field")
	f("/v1/webhooks/a/enable", `{"to":1}`, 422, "unknown_field")
	f("/v1/webhooks/a/enable", `{}`, 404, "unknown_webhook")
	if len(w.specs) != 0 {
		t.Errorf("the dispatcher was asked: %v", w.specs)
	}
	f("/v1/webhooks", `{"id":"a","url":"https://example.com","types":null,"secret":null,"from":null}`, 201, "")
	if s := w.specs[0]; s.Types != nil || s.Secret != nil || s.From != nil {
		t.Errorf("%+v", s)
	}
	f("/v1/webhooks/a/enable", `{"from":9}`, 200, "")
	if !slices.Equal(w.enabled, []uint64{9}) {
		t.Error(w.enabled)
	}
	w.refused = refusal.New(refusal.IDConflict, "content", "other")
	f("/v1/webhooks", `{"id":"a","url":"https://example.com"}`, 409, "content")
}

func TestWebhookPages(t *testing.T) {
	w := &fakeWebhooks{}
	r := newRig(t, Options{Webhooks: w})
	for _, id := range []string{"a", "b", "c"} {
		w.all = append(w.all, webhook.Endpoint{ID: id, Disabled: id == "b", LastError: "status 500", LastErrorAt: someTime, Created: someTime})
	}
	f := func(query string, want ...string) {
		t.Helper()
		got := r.get("/v1/webhooks" + query)
		got.want(t, 200, "")
		for _, text := range want {
			if !strings.Contains(got.body, text) {
				t.Errorf("%s: no %s in %s", query, text, got.body)
			}
		}
	}
	f("", `"id":"a"`, `"id":"b"`, `"id":"c"`, `"state":"disabled"`, `"last_error":"status 500"`, `"next":""`)
	f("?limit=2", `"id":"a"`, `"id":"b"`, `"next":"b"`)
	f("?limit=2&cursor=b", `[{"id":"c"`, `"next":""`)
	f("?cursor=c", `"items":[]`)
	r.get("/v1/webhooks?limit=0").want(t, 422, "invalid")
}

// TestNoWebhooks: a server without a dispatcher says so on every route.
func TestNoWebhooks(t *testing.T) {
	r := newRig(t, Options{})
	f := func(got reply) {
		t.Helper()
		got.want(t, 404, "not_found")
		if _, reason := got.problem(t); reason != "no_webhooks" {
			t.Error(got.body)
		}
	}
	f(r.post("/v1/webhooks", `{"id":"a","url":"https://example.com"}`))
	f(r.get("/v1/webhooks"))
	f(r.get("/v1/webhooks/a"))
	f(r.do("DELETE", "/v1/webhooks/a", "", ""))
	f(r.post("/v1/webhooks/a/enable", `{}`))
}
