package main

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
)

// Each lie about prepaid credit is found by the check of it.
func TestDemoFindsWrongCredit(t *testing.T) {
	lies := []struct{ method, path, truth, lie, found string }{
		{"POST", "/v1/holds/call-2/capture", `"charged":"0.5"`, `"charged":"0.3"`, "every hold, capture and refusal"},
		{"GET", "/v1/holds/call-3", `"grant":"welcome","amount":"0.52"`, `"grant":"welcome","amount":"0.5"`, "the holds that were open"},
		{"GET", "/v1/accounts/lumen/grants?", `"remaining":"0"`, `"remaining":"0.1"`, "the promo grant"},
		{"GET", "/v1/accounts/lumen/topup-requests?", `"state":"paid"`, `"state":"open"`, "low credit"},
		{"GET", "/v1/accounts/lumen-search/limits", `"spent":"3.82"`, `"spent":"3.81"`, "the budget"},
		{"GET", "/v1/accounts/acme-00", `"held":"0"`, `"held":"0.1"`, "nothing is held"},
	}
	out, _, err := runDemo(t, false, nil, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			said := httptest.NewRecorder()
			next.ServeHTTP(said, r)
			body := said.Body.Bytes()
			for _, l := range lies {
				if r.Method == l.method && strings.HasPrefix(r.RequestURI, l.path) {
					body = bytes.Replace(body, []byte(l.truth), []byte(l.lie), 1)
				}
			}
			w.WriteHeader(said.Code)
			_, _ = w.Write(body)
		})
	})
	if !errors.Is(err, errDemo) || strings.Count(out, "FAIL") != len(lies) {
		t.Errorf("%d lies, but: %v\n%s", len(lies), err, out)
	}
	for _, l := range lies {
		if !strings.Contains(out, "FAIL "+l.found) {
			t.Errorf("the answer %s to %s %s was believed", l.lie, l.method, l.path)
		}
	}
}

// The credit that the demo shows is what somebody wrote down by hand.
func TestDemoPurse(t *testing.T) {
	w := newDemoWorld(time.Now())
	p := newDemoPurse(w.plan)
	hold := func(h demoHold, grant, paid string) {
		t.Helper()
		r, short := p.hold(h, h.cost(w, h.estimate))
		if short != nil || r.grant.String() != grant || r.paid.String() != paid {
			t.Errorf("%s holds %s of the grant and %s; want %s and %s; refused for %+v", h.id, r.grant, r.paid, grant, paid, short)
		}
	}
	capture := func(h demoHold, cost, released, grant, paid string) {
		t.Helper()
		c := p.capture(h, decimal.RequireFromString(cost))
		if c.released.String() != released || c.grant.String() != grant || c.paid.String() != paid {
			t.Errorf("%s of %s: %+v, want %s released, %s of the grant, %s paid", h.id, cost, c, released, grant, paid)
		}
	}
	refused := func(h demoHold, account, limit, left string) {
		t.Helper()
		_, short := p.hold(h, h.cost(w, h.estimate))
		if short == nil || short.Account != account || short.Limit != limit || short.Left.String() != left {
			t.Errorf("%s is refused for %+v, want %s of %s, %s left", h.id, short, limit, account, left)
		}
	}
	first, other := w.plan.first[0], w.plan.first[1]
	second, third := w.plan.poorer[0], w.plan.poorer[1]
	hold(first, "0.6", "0")
	hold(second, "0.4", "0.2")
	hold(other, "0", "0.3")
	capture(first, "0.5", "0.1", "0.5", "0")
	capture(second, "0.75", "0", "0.5", "0.25") // 0.1 of the grant is free again
	capture(other, "0.4", "0", "0", "0.4")
	hold(third, "0", "0.6")
	if held := p.expire(third); held.sum().String() != "0.6" || p.available().String() != "1.85" {
		t.Errorf("%s held, %s available", held.sum(), p.available())
	}
	hold(third, "0", "0.6")
	refused(w.plan.later[1], demoBot, demoPerCall, "0.8")
	capture(third, "1.8", "0", "0", "1.8")
	refused(w.plan.later[3], demoOrg, "credit", "0.05")
	p.refill()
	refused(w.plan.later[2], demoTeam, demoBudget, "0.55")
	if want := []string{"hold.expired", "limit.reached", "credit.low", "topup.requested", "limit.reached"}; !slices.Equal(p.told, want) {
		t.Errorf("told %v, want %v", p.told, want)
	}
}

// A budget does not begin anew while the demo runs.
func TestBudgetPeriod(t *testing.T) {
	f := func(now, want string) {
		t.Helper()
		at, err := time.Parse(time.RFC3339, now)
		if got := budgetPeriod(at); err != nil || got != want {
			t.Errorf("%s: %s, want %s (%v)", now, got, want, err)
		}
	}
	f("2026-11-30T23:58:59Z", "month")
	f("2026-11-30T23:59:01Z", "total")
	f("2026-12-01T00:00:00Z", "month")
	f("2026-12-01T01:59:30+02:00", "total")
}
