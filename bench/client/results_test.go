package client

import (
	"io"
	"net/http"
	"testing"
)

// TestResultRequests compares what is sent, route by route.
func TestResultRequests(t *testing.T) {
	var sent string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		sent = r.Method + " " + r.RequestURI + " " + string(body)
		_, _ = io.WriteString(w, `{"state":{"status":"paid"},"usage":[{"quantity":"1.5","amount":"-2"}],"amount":"3"}`)
	})
	ctx := t.Context()
	f := func(want string, err error) {
		t.Helper()
		if err != nil || sent != want {
			t.Errorf("%v\n got %s\nwant %s", err, sent, want)
		}
	}
	did := func(_ any, err error) error { return err }
	r, err := c.Result(ctx, "b", 7, NewResult{ID: "r", Status: "paid"})
	f(`POST /v1/settlements/b/lines/7/result {"id":"r","status":"paid"}`, err)
	if r.State == nil || r.State.Status != "paid" || !r.Amount.Equal(M("3").Decimal) {
		t.Errorf("%+v", r)
	}
	f(`POST /v1/settlements/b/lines/7/result {"id":"r","status":"failed","amount":"1","reference":"x"}`,
		did(c.Result(ctx, "b", 7, NewResult{ID: "r", Status: "failed", Amount: ptr(M("1")), Reference: "x"})))
	state, err := c.LineState(ctx, "b", 7)
	f(`GET /v1/settlements/b/lines/7 `, err)
	if state.Status != "paid" {
		t.Errorf("%+v", state)
	}
	f(`GET /v1/settlements/b/lines?limit=1000&status=open `, did(c.OpenLines(ctx, "b")))
	f(`GET /v1/in-transit?limit=1000 `, did(c.InTransit(ctx)))
	f(`GET /v1/accounts/a%2Fb/statements?limit=1000 `, did(c.Statements(ctx, "a/b")))
	s, err := c.Statement(ctx, "a/b", 3)
	f(`GET /v1/accounts/a%2Fb/statements/3 `, err)
	if len(s.Usage) != 1 || s.Usage[0].Quantity == nil || !s.Usage[0].Amount.IsNegative() {
		t.Errorf("%+v", s)
	}
	f(`GET /v1/accounts/a%2Fb/statements/3?format=csv `, did(c.StatementAs(ctx, "a/b", 3, "csv")))
	f(`GET /v1/settlement-results `, did(c.ResultFeed(ctx)))
}
