package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

func ptr[T any](v T) *T { return &v }

// TestCreditRequests compares what is sent, route by route.
func TestCreditRequests(t *testing.T) {
	var sent string
	answer := `{}`
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		sent = r.Method + " " + r.RequestURI + " " + string(body)
		_, _ = io.WriteString(w, answer)
	})
	ctx := t.Context()
	at := time.Date(2026, 12, 1, 1, 0, 0, 0, time.FixedZone("", 3600)).UTC()
	f := func(want string, err error) {
		t.Helper()
		if err != nil || sent != want {
			t.Errorf("%v\n got %s\nwant %s", err, sent, want)
		}
	}
	did := func(_ any, err error) error { return err }
	event := Event{ID: "e", Source: "s", Type: "api.calls", Subject: "a"}
	const eventText = `{"id":"e","source":"s","type":"api.calls","subject":"a","data":{}}`
	scope := &Scope{Types: []string{"llm"}, Match: map[string]string{"model": "m"}}

	f(`POST /v1/accounts {"id":"k","currency":"USD","kind":"customer","parent":"u","owner":"o"}`,
		c.Open(ctx, Account{ID: "k", Currency: "USD", Kind: "customer", Parent: "u", Owner: "o"}))
	f(`POST /v1/accounts/a%2Fb/grants {"id":"g","kind":"promo","amount":"5","priority":0,"expires_at":"2026-12-01T00:00:00Z","scope":{"types":["llm"],"match":{"model":"m"}}}`,
		did(c.Grant(ctx, "a/b", NewGrant{ID: "g", Kind: "promo", Amount: M("5.00"), Priority: ptr[uint32](0), ExpiresAt: &at, Scope: scope})))
	f(`GET /v1/accounts/a/grants?limit=1000 `, did(c.Grants(ctx, "a")))
	f(`POST /v1/accounts/a/refunds {"id":"r","amount":"1"}`, did(c.Refund(ctx, "a", NewRefund{ID: "r", Amount: M("1")})))
	f(`POST /v1/moves {"id":"m","from":"a","to":"b","amount":"1"}`, did(c.Move(ctx, NewMove{ID: "m", From: "a", To: "b", Amount: M("1")})))
	f(`POST /v1/accounts/a/freeze {"id":"s","reason":"late"}`, did(c.Freeze(ctx, "a", "s", "late")))
	f(`POST /v1/accounts/a/resume {"id":"s"}`, did(c.Resume(ctx, "a", "s", "")))
	f(`POST /v1/accounts/a/close {"id":"s"}`, did(c.CloseAccount(ctx, "a", "s", "")))

	f(`PUT /v1/accounts/a/limits {"limits":[]}`, did(c.PutLimits(ctx, "a", NewLimits{})))
	f(`PUT /v1/accounts/a/limits {"id":"l","overdraft_limit":"10","limits":[{"name":"n","per":"day","amount":"0","count":7,"mode":"soft","scope":{"types":["llm"],"match":{"model":"m"}},"allotment":true}]}`,
		did(c.PutLimits(ctx, "a", NewLimits{ID: "l", Overdraft: "10", Limits: []Limit{{Name: "n", Per: "day", Amount: ptr(M("0")), Count: ptr[uint64](7), Mode: "soft", Scope: scope, Allotment: true}}})))
	f(`PUT /v1/accounts/a/limits {"overdraft_limit":null,"limits":[]}`, did(c.PutLimits(ctx, "a", NewLimits{Overdraft: "null"})))
	f(`GET /v1/accounts/a/limits `, did(c.Limits(ctx, "a")))
	f(`PUT /v1/accounts/a/settings {}`, did(c.PutSettings(ctx, "a", NewSettings{})))
	f(`PUT /v1/accounts/a/settings {"excess":{"policy":"allow_up_to","limit":"2"},"abandoned":"capture","auto_topup":{"threshold":"1","amount":"5"}}`,
		did(c.PutSettings(ctx, "a", NewSettings{Excess: &Excess{"allow_up_to", ptr(M("2"))}, Abandoned: "capture", AutoTopUp: &AutoTopUp{Threshold: M("1"), Amount: M("5")}})))
	f(`GET /v1/accounts/a/settings `, did(c.Settings(ctx, "a")))

	f(`POST /v1/holds {"id":"h","account":"a","estimate":{"type":"llm","data":{"model":"m","usage":{"output":3}}},"ttl":"1m30s"}`,
		did(c.Hold(ctx, NewHold{ID: "h", Account: "a", Estimate: &Estimate{"llm", "m", map[string]uint64{"output": 3}}, TTL: 90 * time.Second})))
	f(`POST /v1/holds [{"id":"h","account":"a","amount":"0.5","currency":"USD"}]`,
		did(c.Holds(ctx, []NewHold{{ID: "h", Account: "a", Amount: ptr(M("0.50")), Currency: "USD"}})))
	f(`POST /v1/holds/h%2F1/extend {"id":"x","amount":"1","event":`+eventText+`}`, did(c.Extend(ctx, "h/1", Extension{ID: "x", Amount: ptr(M("1")), Event: &event})))
	f(`POST /v1/holds/h/capture {"event":`+eventText+`}`, did(c.Capture(ctx, "h", event)))
	f(`POST /v1/holds/h/capture {"amount":"0.1"}`, did(c.CaptureAmount(ctx, "h", M("0.1"))))
	f(`POST /v1/captures [{"hold":"h","event":`+eventText+`},{"hold":"i","amount":"2"}]`,
		did(c.Captures(ctx, []NewCapture{{Hold: "h", Event: &event}, {Hold: "i", Amount: ptr(M("2"))}})))
	f(`POST /v1/holds/h/void `, did(c.VoidHold(ctx, "h")))
	f(`GET /v1/holds/h `, did(c.GetHold(ctx, "h")))

	f(`POST /v1/accounts/a/subscriptions {"id":"s","period":"month","anchor":31,"allowance":"10","price":"5","rollover":{"max":"2"}}`,
		did(c.Subscribe(ctx, "a", NewSubscription{ID: "s", Period: "month", Anchor: 31, Allowance: M("10"), Price: ptr(M("5")), Rollover: &Rollover{Max: M("2")}})))
	f(`POST /v1/subscriptions/s/change {"id":"c","at":"now","price":"0"}`, did(c.ChangeSubscription(ctx, "s", SubscriptionChange{ID: "c", At: "now", Price: ptr(M("0"))})))
	f(`POST /v1/subscriptions/s/cancel {"at":"period_end","id":"c"}`, did(c.CancelSubscription(ctx, "s", "c", "period_end")))
	f(`GET /v1/subscriptions/s `, did(c.Subscription(ctx, "s")))
	f(`GET /v1/accounts/a/subscriptions?limit=1000 `, did(c.Subscriptions(ctx, "a")))

	f(`POST /v1/accounts/a/topup-requests {"amount":"5","id":"q"}`, did(c.AskTopUp(ctx, "a", "q", M("5"))))
	f(`GET /v1/accounts/a/topup-requests?limit=1000 `, did(c.TopUpRequests(ctx, "a")))
	f(`POST /v1/topup-requests/tr-1/answer {"id":"t","status":"paid","amount":"6"}`, did(c.AnswerTopUp(ctx, "tr-1", TopUpAnswer{ID: "t", Status: "paid", Amount: ptr(M("6"))})))
	f(`GET /v1/notifications?after=7&limit=1000&wait=2s `, did(c.Notifications(ctx, 7, 2*time.Second)))
	f(`GET /v1/notifications?after=0&limit=1000 `, did(c.Notifications(ctx, 0, 0)))
}

// answered asks a server that gives one answer.
func answered[T any](t *testing.T, status int, body string, ask func(context.Context, *Client) (T, error)) (T, error) {
	t.Helper()
	return ask(t.Context(), serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
}

// TestCreditAnswers reads answers as the server spells them.
func TestCreditAnswers(t *testing.T) {
	f := func(got any, err error, want string) {
		t.Helper()
		if s := fmt.Sprint(got); err != nil || s != want {
			t.Errorf("%v\n got %s\nwant %s", err, s, want)
		}
	}
	h, err := answered(t, 201, `{"id":"h","account":"a","state":"held","amount":"0.5","available":"99.25","expires":"2026-11-23T10:01:00Z","sequence":41}`,
		func(ctx context.Context, c *Client) (Held, error) { return c.Hold(ctx, NewHold{}) })
	f([]any{h.ID, h.State, h.Amount, *h.Available, h.Expires.Minute(), h.Sequence}, err, "[h held 0.5 99.25 1 41]")
	h, err = answered(t, 200, `{"id":"h","extension":"x","state":"held","amount":"0.5","sequence":41}`,
		func(ctx context.Context, c *Client) (Held, error) { return c.Extend(ctx, "h", Extension{}) })
	f([]any{h.Extension, h.Available == nil, h.Expires == nil}, err, "[x true true]")
	all, err := answered(t, 200, `{"held":1,"duplicates":2,"refused":[{"index":3,"id":"h","code":"insufficient_funds","reason":"limit","detail":"d","account":"team","limit":"daily","asked":"2","left":"1.5"}],
		"refused_more":4,"rejected":[{"index":5,"id":"i","code":"invalid","reason":"invalid_ttl","detail":"d"}],"rejected_more":6,"sequence":7}`,
		func(ctx context.Context, c *Client) (HeldAll, error) { return c.Holds(ctx, nil) })
	r := all.Refused[0]
	f([]any{all.Held, all.Duplicates, r.Index, r.Reason, r.Account, r.Limit, r.Asked, r.Left, all.RefusedMore, all.Rejected[0].Reason, all.RejectedMore, all.Sequence}, err,
		"[1 2 3 limit team daily 2 1.5 4 invalid_ttl 6 7]")
	view, err := answered(t, 200, `{"id":"h","account":"a","currency":"USD","state":"refused","amount":"2","charged":"0","released":"0","lost":"0","ttl":"1m0s","created":"2026-11-23T10:00:00Z",
		"expires":"2026-11-23T10:01:00Z","ended":null,"sequence":7,"end":null,"estimate":null,"grants":[{"grant":"g","amount":"1"}],"extensions":[{"id":"x","amount":"1","ttl":null,"time":"2026-11-23T10:00:00Z","sequence":8,"reported":true}],
		"captured":null,"refused":{"account":"a","limit":"credit","asked":"2","left":"1"},"would_have_refused":["a/n"]}`,
		func(ctx context.Context, c *Client) (HoldHistory, error) { return c.GetHold(ctx, "h") })
	f([]any{view.State, view.Refused.Limit, view.Ended == nil, view.End == nil, view.Captured == nil, view.Grants[0].Amount, view.Extensions[0].Reported, view.WouldHaveRefused}, err,
		"[refused credit true true true 1 true [a/n]]")
	limits, err := answered(t, 200, `{"account":"a","currency":"USD","overdraft_limit":null,"limits":[{"name":"n","per":"day","amount":"9","count":null,"mode":"hard","scope":{"types":[],"match":{}},"allotment":false,
		"period":"2026-11-23T00:00:00Z","spent":"1","held":"2","calls":3,"passed":true,"would_have_refused":0,"recent":[]}],"sequence":4}`,
		func(ctx context.Context, c *Client) (Limits, error) { return c.Limits(ctx, "a") })
	l := limits.Limits[0]
	f([]any{limits.Overdraft == nil, l.Name, *l.Amount, l.Count == nil, l.Period.Day(), l.Spent, l.Held, l.Calls, l.Passed}, err, "[true n 9 true 23 1 2 3 true]")
	sub, err := answered(t, 200, `{"id":"s","account":"a","period":"month","anchor":31,"starts_at":"2026-11-23T10:00:00Z","allowance":"10","price":"5","priority":50,"scope":{"types":[],"match":{}},"rollover":null,
		"state":"active","period_number":2,"period_start":null,"period_end":null,"next":{"allowance":"20","price":"5","priority":50,"scope":{},"rollover":{"max":"2","periods":3}},"credited":"0.5","sequence":9,"time":"2026-11-23T10:00:00Z"}`,
		func(ctx context.Context, c *Client) (Subscription, error) { return c.Subscription(ctx, "s") })
	f([]any{sub.Allowance, sub.Price, sub.Next.Allowance, sub.Next.Rollover.Periods, sub.PeriodNumber, *sub.Anchor}, err, "[10 5 20 3 2 31]")
	news, err := answered(t, 200, `{"items":[{"account":"a","data":{"available":"1","threshold":"2"},"sequence":3,"time":"2026-11-23T10:00:00Z","type":"credit.low"}],"next":""}`,
		func(ctx context.Context, c *Client) ([]Notification, error) { return c.Notifications(ctx, 2, 0) })
	f([]any{len(news), news[0].Sequence, news[0].Type, string(news[0].Data)}, err, `[1 3 credit.low {"available":"1","threshold":"2"}]`)
	b, err := answered(t, 200, `{"id":"k","kind":"customer","currency":"USD","parent":"u","owner":null,"root":"r","state":"frozen","metadata":{},"posted":"0","held":"1","available":"2","sequence":1}`,
		func(ctx context.Context, c *Client) (Balance, error) { return c.Balance(ctx, "k") })
	f([]any{b.Parent, b.Owner == "", b.Root, b.State, b.Overdraft == nil}, err, "[u true r frozen true]")
}

func TestShortfall(t *testing.T) {
	_, err := answered(t, 402, `{"status":402,"code":"insufficient_funds","reason":"limit","detail":"no","account":"team","limit":"calls","asked":"1","left":"0"}`,
		func(ctx context.Context, c *Client) (Held, error) { return c.Hold(ctx, NewHold{}) })
	s, ok := ShortfallOf(err)
	if !ok || s.Account != "team" || s.Limit != "calls" || s.Asked.String() != "1" || !s.Left.IsZero() || ReasonOf(err) != "limit" {
		t.Errorf("%+v, %v", s, err)
	}
	if want := "POST /v1/holds: 402 insufficient_funds (limit): no"; err.Error() != want {
		t.Error(err)
	}
	for _, other := range []error{nil, errors.New("x"), &Problem{Code: "invalid"}} {
		if _, ok := ShortfallOf(other); ok {
			t.Errorf("%v has a shortfall", other)
		}
	}
	if ReasonOf(io.EOF) != "" {
		t.Error("a reason of something that is no refusal")
	}
}
