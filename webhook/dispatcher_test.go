package webhook

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"farthing/refusal"
)

func TestCreate(t *testing.T) {
	o := options()
	o.AllowPrivate, o.Types, o.EndpointsMax = false, []string{"credit.low", "hold.expired"}, 2
	store, source := newStore(), newSource(7)
	d := newDispatcher(t, o, store, source)
	const url = "https://example.com/hook"
	f := func(s Spec, want string) Endpoint {
		t.Helper()
		e, created, no := d.Create(s)
		is := fmt.Sprint("created ", created)
		if no != nil {
			is = string(no.Code) + " " + no.Reason
		}
		if is != want {
			t.Errorf("%+v: %s, want %s: %v", s, is, want, no)
		}
		return e
	}
	f(Spec{ID: "a", URL: "http://example.com"}, "invalid invalid_url")
	f(Spec{ID: "a", URL: "https://10.1.2.3"}, "invalid private_address")
	f(Spec{ID: "a", URL: url, Types: []string{"credit.high"}}, "invalid unknown_type")
	f(Spec{ID: "a", URL: url, Types: []string{"credit.low", "hold.expired", "credit.low"}}, "invalid invalid_types")
	f(Spec{ID: "a", URL: url, From: from(1 << 53)}, "invalid invalid_number")
	if len(store.rows) != 0 {
		t.Fatalf("a refusal stored %v", store.rows)
	}
	a := f(Spec{ID: "a", URL: url, Types: []string{"hold.expired", "credit.low"}}, "created true")
	if a.From != 7 || a.Delivered != 7 || len(a.Secret) != 32 || fmt.Sprint(a.Types) != "[credit.low hold.expired]" || a.Created.IsZero() || a.Disabled {
		t.Errorf("%+v", a)
	}
	source.add(1, "credit.low")
	same := Spec{ID: "a", URL: url, Types: []string{"credit.low", "hold.expired"}}
	if again := f(same, "created false"); !reflect.DeepEqual(again, a) {
		t.Errorf("%+v, want %+v", again, a)
	}
	same.Secret, same.From = a.Secret, from(7)
	f(same, "created false")
	other := func(change func(*Spec)) {
		t.Helper()
		s := same
		change(&s)
		f(s, "id_conflict content")
	}
	other(func(s *Spec) { s.URL += "/" })
	other(func(s *Spec) { s.Types = nil })
	other(func(s *Spec) { s.Types = s.Types[:1] })
	other(func(s *Spec) { s.Secret = newSecret() })
	other(func(s *Spec) { s.From = from(8) })
	f(Spec{ID: "b", URL: url, From: from(0)}, "created true")
	f(Spec{ID: "c", URL: url}, "invalid too_many_webhooks")
	f(Spec{ID: "b", URL: url}, "created false")
	if _, no := d.Delete("b"); no != nil {
		t.Fatal(no)
	}
	source.fail(errors.New("torn"))
	f(Spec{ID: "c", URL: url, From: from(3)}, "internal storage")
	source.fail(refusal.New(refusal.NotReady, "draining", "later"))
	f(Spec{ID: "c", URL: url, From: from(3)}, "not_ready draining")
	source.fail(nil)
	f(Spec{ID: "c", URL: url, From: from(3)}, "created true")

	// All of it is there after a restart.
	before, _ := d.Endpoints()
	d = newDispatcher(t, o, store.crash(newRandom(t)), source)
	if after, _ := d.Endpoints(); !reflect.DeepEqual(after, before) || len(after) != 2 || after[0].ID != "a" {
		t.Errorf("%+v, before %+v", after, before)
	}
}

func TestEnable(t *testing.T) {
	d := newDispatcher(t, options(), newStore(), newSource(7))
	if _, no := d.Enable("a", nil); no == nil || no.Reason != "unknown_webhook" {
		t.Error(no)
	}
	create(t, d, "a", "http://127.0.0.1:1")
	if _, no := d.Enable("a", from(1<<53)); no == nil || no.Reason != "invalid_number" {
		t.Error(no)
	}
	if e, no := d.Enable("a", from(5)); no != nil || e.Delivered != 5 || e.From != 0 {
		t.Errorf("%+v %v", e, no)
	}
	if e, no := d.Endpoint("a"); no != nil || e.Delivered != 5 {
		t.Errorf("%+v %v", e, no)
	}
	if _, no := d.Endpoint("b"); no == nil || no.Reason != "unknown_webhook" {
		t.Error(no)
	}
}

// TestDroppedStart: nothing starts where notifications are gone, and what is refused changes nothing.
func TestDroppedStart(t *testing.T) {
	source := newSource(7)
	d := newDispatcher(t, options(), newStore(), source)
	create(t, d, "a", "http://127.0.0.1:1")
	source.fail(refusal.New(refusal.NotFound, "notifications_exported", "gone"))
	if _, _, no := d.Create(Spec{ID: "b", URL: "http://127.0.0.1:1", From: from(3)}); no == nil || no.Reason != "notifications_exported" {
		t.Error(no)
	}
	if _, no := d.Enable("a", from(3)); no == nil || no.Reason != "notifications_exported" {
		t.Error(no)
	}
	if e, no := d.Endpoint("a"); no != nil || e.Delivered != 0 {
		t.Errorf("%+v %v", e, no)
	}
	if e, _, no := d.Create(Spec{ID: "c", URL: "http://127.0.0.1:1"}); no != nil || e.From != 7 {
		t.Errorf("the newest is known whatever was dropped: %+v %v", e, no)
	}
}

func TestWebhookID(t *testing.T) {
	f := func(ledger, want string) {
		t.Helper()
		o := options()
		o.Ledger = ledger
		if got := newDispatcher(t, o, newStore(), newSource(0)).webhookID(12); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	f("ledger-7", "ntf-ledger-7-12")
	f("eu.prod.1", "ntf-eu~prod~1-12")
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Options{}, newStore(), newSource(0)); err == nil || !strings.Contains(err.Error(), "ledger") {
		t.Error(err)
	}
	store := newStore()
	store.rows["a"] = [2]string{`{"version":2}`, `{}`}
	if _, err := New(options(), store, newSource(0)); err == nil || !strings.Contains(err.Error(), "endpoint a") {
		t.Error(err)
	}
	store = newStore()
	store.failing = errors.New("torn")
	if _, err := New(options(), store, newSource(0)); err == nil {
		t.Error("no error")
	}
}
