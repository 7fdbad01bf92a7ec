package webhook

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestSignature has the example of the specification's own libraries.
func TestSignature(t *testing.T) {
	secret, no := ParseSecret(someSecret)
	if no != nil {
		t.Fatal(no)
	}
	got := secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestParseSecret(t *testing.T) {
	f := func(text string, ok bool) {
		t.Helper()
		s, no := ParseSecret(text)
		if (no == nil) != ok || (ok && s.Reveal() != text) {
			t.Errorf("%q: %v", text, no)
		}
		if no != nil && len(text) > 10 && strings.Contains(no.Detail, text[10:]) {
			t.Errorf("the refusal repeats the secret: %v", no)
		}
	}
	of := func(n int) string { return Secret(strings.Repeat("x", n)).Reveal() }
	f(someSecret, true)
	f(of(24), true)
	f(of(64), true)
	f(of(23), false)
	f(of(65), false)
	f("", false)
	f("whsec_", false)
	f(strings.TrimPrefix(someSecret, "whsec_"), false)
	f("WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", false)
	f(someSecret+"\n", false)
	f("whsec_MfKQ9r8GKYqrTwjUPD8I\nLPZIo2LaLaSw", false)
	f(of(25)[:len(of(25))-1], false)                   // without its padding
	f("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_", false) // the other alphabet
	f(of(25)[:len(of(25))-3]+"F==", false)             // bits beyond the last byte
	a, b := newSecret(), newSecret()
	f(a.Reveal(), true)
	if a.equal(b) {
		t.Error("two secrets are the same")
	}
}

// TestSecretsDoNotPrint: nothing that formats or logs an endpoint shows its secret.
func TestSecretsDoNotPrint(t *testing.T) {
	secret, _ := ParseSecret(someSecret)
	e := Endpoint{ID: "a", Secret: secret}
	var logged strings.Builder
	log := slog.New(slog.NewJSONHandler(&logged, nil))
	log.Info("x", "secret", secret, "endpoint", e)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "endpoint", e, "secret", secret)
	for _, text := range []string{fmt.Sprint(e), fmt.Sprintf("%v %+v %#v %s %q", e, e, e, e.Secret, e.Secret), logged.String()} {
		if strings.Contains(text, "MfKQ") || strings.Contains(text, fmt.Sprintf("%d", []byte(secret))) || !strings.Contains(text, "hidden") {
			t.Error(text)
		}
	}
}

func TestCheckURL(t *testing.T) {
	f := func(text, reason, private string) {
		t.Helper()
		for allow, want := range map[bool]string{false: reason, true: private} {
			is := ""
			no := checkURL(text, allow)
			if no != nil {
				is = no.Reason
			}
			if is != want {
				t.Errorf("%s, private allowed %v: %q, want %q", text, allow, is, want)
			}
			if no != nil && strings.Contains(no.Detail, "token") {
				t.Errorf("the refusal repeats the URL: %v", no)
			}
		}
	}
	f("https://example.com/hook?token=1", "", "")
	f("HTTPS://example.com:8443", "", "")
	f("https://8.8.8.8/", "", "")
	f("https://[2606:4700:4700::1111]:8443/", "", "")
	f("http://example.com/?token", "invalid_url", "")
	f("https://127.0.0.1/?token", "private_address", "")
	f("https://[::ffff:10.0.0.1]/", "private_address", "")
	f("https://[fe80::1%25eth0]/", "private_address", "")
	f("https://u:token@example.com/", "invalid_url", "invalid_url")
	f("https://token@example.com/", "invalid_url", "invalid_url")
	f("https://example.com/#token", "invalid_url", "invalid_url")
	f("ftp://example.com/token", "invalid_url", "invalid_url")
	f("//example.com/token", "invalid_url", "invalid_url")
	f("https:example.com/token", "invalid_url", "invalid_url")
	f("https:///token", "invalid_url", "invalid_url")
	f("https://:443/", "invalid_url", "invalid_url")
	f("https://exa mple.com/token", "invalid_url", "invalid_url")
	f("https://example.com/token%zz", "invalid_url", "invalid_url")
	f("https://example.com/\ntoken", "invalid_url", "invalid_url")
	f("https://example.com:65535/", "", "")
	f("https://example.com:/", "", "")
	f("https://example.com:0/token", "invalid_url", "invalid_url")
	f("https://example.com:65536/token", "invalid_url", "invalid_url")
	f("", "invalid_url", "invalid_url")
	f("https://example.com/"+strings.Repeat("x", urlBytesMax), "invalid_url", "invalid_url")
}

func someEndpoint() Endpoint {
	secret, _ := ParseSecret(someSecret)
	at := time.Date(2026, 11, 23, 10, 0, 0, 123, time.UTC)
	return Endpoint{ID: "a/b", URL: "https://example.com/<ü>", Secret: secret, Types: []string{"credit.low"}, From: 1 << 60, Created: at, Disabled: true,
		Delivered: 1<<64 - 1, Failures: 3, LastError: "status 500", LastErrorAt: at, NextAttempt: at}
}

func TestRows(t *testing.T) {
	for _, e := range []Endpoint{someEndpoint(), {ID: "x", URL: "u", Secret: Secret("s")}} {
		got, err := decodeEndpoint(e.ID, e.registry(), e.progress())
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%v\n got %+v\nwant %+v", err, got, e)
		}
	}
}

// FuzzRows: a row decodes to what gives an equal row, or is refused without repeating it.
func FuzzRows(f *testing.F) {
	e := someEndpoint()
	f.Add(string(e.registry()), string(e.progress()))
	f.Add(`{"version":1,"secret":"c2VjcmV0"}`, `{}`)
	f.Add(`{"version":1,"secret":"c2VjcmV0"}x`, `{"failures":-1}`)
	f.Add("", "null")
	f.Fuzz(func(t *testing.T, registry, progress string) {
		e, err := decodeEndpoint("id", []byte(registry), []byte(progress))
		if err != nil {
			if err.Error() != "webhook: the rows of endpoint id do not decode" {
				t.Error(err)
			}
			return
		}
		again, err := decodeEndpoint("id", e.registry(), e.progress())
		if err != nil || string(again.registry()) != string(e.registry()) || string(again.progress()) != string(e.progress()) {
			t.Errorf("%v: %s, %s", err, e.registry(), e.progress())
		}
	})
}

func TestPlain(t *testing.T) {
	f := func(err error, want string) {
		t.Helper()
		if got := plain(err); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(&url.Error{Op: "Post", URL: "https://example.com/?token", Err: errors.New("reset\r\nby peer\x00")}, "reset  by peer ")
	f(errors.New("\xff, x"), "?, x")
	f(errors.New(strings.Repeat("é", 400)), strings.Repeat("é", 250)+"…")
	f(errors.New("x"+strings.Repeat("é", 400)), "x"+strings.Repeat("é", 249)+"…")
}

func TestOptions(t *testing.T) {
	if err := (Options{Ledger: "l"}).EnsureDefaults().Validate(); err != nil {
		t.Error(err)
	}
	bad := Options{EndpointsMax: -1, Timeout: -1, Schedule: []time.Duration{0}}.EnsureDefaults().Validate()
	for _, mention := range []string{"ledger", "-1 endpoints", "-1ns", "delay of 0s"} {
		if bad == nil || !strings.Contains(bad.Error(), mention) {
			t.Errorf("no %q in %v", mention, bad)
		}
	}
	o := Options{}.EnsureDefaults()
	total := time.Duration(0)
	for _, d := range o.Schedule {
		if spread := o.Jitter(d); spread < d || spread > d+d/5 {
			t.Errorf("%v became %v", d, spread)
		}
		total += d
	}
	if want := 75*time.Hour + 35*time.Minute + 5*time.Second; total != want {
		t.Errorf("the schedule takes %v, the specification's %v", total, want)
	}
}
