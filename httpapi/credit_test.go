package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"farthing/engine"
	"farthing/meter"
	"farthing/refusal"
)

// books sends a body twice: first the engine has not seen it, then it has. The engine must be
// asked for want, and openapi.yaml must allow the body.
func (r *rig) books(method, target, body string, want any) (answer string) {
	r.t.Helper()
	statuses := []int{201, 200}
	if method == "PUT" {
		statuses[0] = 200
	}
	for i, status := range statuses {
		r.engine.existing, r.engine.credit.spec = i == 1, nil
		got := r.do(method, target, "application/json", body)
		got.want(r.t, status, "")
		if !reflect.DeepEqual(r.engine.credit.spec, want) {
			r.t.Errorf("%s %s %s\n  asked %+v\n wanted %+v", method, target, body, r.engine.credit.spec, want)
		}
		answer = got.body
	}
	r.engine.existing = false
	for _, fault := range r.bodyFaults(method, target, body) {
		r.t.Errorf("%s %s %s: %s", method, target, body, fault)
	}
	return answer
}

// absent is a field that is null, which is as good as absent.
var absent = regexp.MustCompile(`"(\w+)":null,?`)

// bodyFaults checks the body of a request against openapi.yaml.
func (r *rig) bodyFaults(method, raw, body string) []string {
	var parsed target
	parsed.parse([]byte(raw))
	rt, _ := r.server.routeOf([]byte(method), &parsed)
	body = absent.ReplaceAllStringFunc(body, func(field string) string {
		if strings.HasPrefix(field, `"overdraft_limit"`) {
			return field
		}
		return ""
	})
	body = strings.ReplaceAll(body, `,}`, `}`)
	return loadSchemas().bodyFaults(loadContract().operation(rt.method, rt.pattern).Body.Content["application/json"], body)
}

// refuses sends a body that must be refused without asking the engine.
func (r *rig) refuses(method, target, body, reason string) {
	r.t.Helper()
	r.engine.credit.spec = nil
	got := r.do(method, target, "application/json", body)
	if got.status != 422 {
		r.t.Errorf("%s %s: %d %s", target, body, got.status, got.body)
		return
	}
	if _, is := got.problem(r.t); is != reason {
		r.t.Errorf("%s %s: reason %s, want %s", target, body, is, reason)
	}
	if r.engine.credit.spec != nil {
		r.t.Errorf("%s %s: the engine was asked", target, body)
	}
}

func sameText(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// creditBody is a body that has every field of its route, and what of it is needed.
type creditBody struct {
	method, target, body string
	required             []string
	amounts              []string // above 0
	bounds               []string // amounts that may be 0
}

func creditBodies() []creditBody {
	scope := `"scope":{"types":["b","a"],"match":{"model":"x"}}`
	return []creditBody{
		{"POST", "/v1/accounts/a/grants", `{"id":"i","kind":"promo","amount":"1","priority":7,"expires_at":"2027-01-01",` + scope + `}`,
			[]string{"id", "kind", "amount"}, []string{"amount"}, nil},
		{"POST", "/v1/accounts/a/refunds", `{"id":"i","amount":"1","grant":"g","reference":"r"}`, []string{"id", "amount"}, []string{"amount"}, nil},
		{"POST", "/v1/moves", `{"id":"i","from":"a","to":"b","amount":"1"}`, []string{"id", "from", "to", "amount"}, []string{"amount"}, nil},
		{"PUT", "/v1/accounts/a/limits", `{"id":"i","overdraft_limit":"1","limits":[]}`, []string{"limits"}, nil, []string{"overdraft_limit"}},
		{"PUT", "/v1/accounts/a/settings", `{"id":"i","excess":{"policy":"cap"},"abandoned":"void","credit_low":"1","grant_expiring":"1h","auto_topup":{"threshold":"1","amount":"1"}}`,
			nil, nil, []string{"credit_low"}},
		{"POST", "/v1/accounts/a/freeze", `{"id":"i","reason":"r"}`, []string{"id"}, nil, nil},
		{"POST", "/v1/accounts/a/resume", `{"id":"i","reason":"r"}`, []string{"id"}, nil, nil},
		{"POST", "/v1/accounts/a/close", `{"id":"i","reason":"r"}`, []string{"id"}, nil, nil},
		{"POST", "/v1/accounts/a/topup-requests", `{"id":"i","amount":"1"}`, []string{"id", "amount"}, []string{"amount"}, nil},
		{"POST", "/v1/topup-requests/tr-1/answer", `{"id":"i","status":"paid","amount":"1","reference":"r"}`, []string{"id", "status"}, []string{"amount"}, nil},
		{"POST", "/v1/accounts/a/subscriptions", `{"id":"i","period":"month","anchor":31,"starts_at":"2027-01-01","allowance":"1","price":"1","priority":7,` + scope + `,"rollover":{"max":"1"}}`,
			[]string{"id", "period", "allowance"}, []string{"allowance"}, []string{"price"}},
		{"POST", "/v1/subscriptions/s/change", `{"id":"i","at":"now","allowance":"1","price":"1","priority":7,` + scope + `,"rollover":{"max":"1"}}`,
			[]string{"id", "at"}, []string{"allowance"}, []string{"price"}},
		{"POST", "/v1/subscriptions/s/cancel", `{"id":"i","at":"now"}`, []string{"id", "at"}, nil, nil},
	}
}

// TestCreditBodiesAreStrict spoils one field after the other of every body.
func TestCreditBodiesAreStrict(t *testing.T) {
	r := newRig(t, Options{})
	missing := make(map[string]bool)
	for _, rt := range creditRoutes() {
		if rt.bodyMax > 0 {
			missing[rt.method+" "+rt.pattern] = true
		}
	}
	for _, b := range creditBodies() {
		var parsed target
		parsed.parse([]byte(b.target))
		rt, _ := r.server.routeOf([]byte(b.method), &parsed)
		delete(missing, rt.method+" "+rt.pattern)
		r.spoil(b)
	}
	for name := range missing {
		t.Errorf("%s: no body of it was spoiled", name)
	}
}

func (r *rig) spoil(b creditBody) {
	t := r.t
	t.Helper()
	whole := r.do(b.method, b.target, "application/json", b.body)
	if whole.status/100 != 2 {
		t.Errorf("%s: %s", b.target, whole.body)
	}
	for _, fault := range r.bodyFaults(b.method, b.target, b.body) {
		t.Errorf("%s %s: %s", b.method, b.target, fault)
	}
	f := func(field, value, reason string) {
		t.Helper()
		var fields map[string]json.RawMessage
		if err := json.Unmarshal([]byte(b.body), &fields); err != nil {
			t.Fatal(err)
		}
		if fields[field] = json.RawMessage(value); value == "" {
			delete(fields, field)
		}
		body, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		r.refuses(b.method, b.target, string(body), reason)
	}
	f("note", `""`, "unknown_field")
	f("ID", `"i"`, "unknown_field")
	r.refuses(b.method, b.target, `{"id":"i",`+b.body[1:], "duplicate_key")
	for _, name := range b.required {
		f(name, ``, "missing_field")
		f(name, `null`, "missing_field")
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(b.body), &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f(name, `true`, "wrong_type")
	}
	f("id", `"a b"`, "invalid_id")
	f("id", `""`, "invalid_id")
	for _, name := range b.amounts {
		f(name, `"0"`, "invalid_amount")
		f(name, `"-1"`, "invalid_amount")
	}
	for _, name := range b.bounds {
		f(name, `"-1"`, "negative_amount")
	}
	for _, name := range append(b.bounds, b.amounts...) {
		f(name, `1`, "wrong_type")
		f(name, `"0.0000000000000000001"`, "invalid_amount")
		f(name, `"1e3"`, "invalid_amount")
		f(name, `"1000000000000000000000"`, "amount_overflow")
	}
}

// TestCreditIsTheCustomers has what all routes about an account refuse.
func TestCreditIsTheCustomers(t *testing.T) {
	r := newRig(t, Options{})
	for _, b := range creditBodies() {
		if of, isAccount := strings.CutPrefix(b.target, "/v1/accounts/a"); isAccount {
			r.refuses(b.method, "/v1/accounts/operator"+of, b.body, "reserved_id")
			r.refuses(b.method, "/v1/accounts/a%20b"+of, b.body, "invalid_id")
		}
		for _, no := range []*refusal.Refusal{
			refusal.New(refusal.NotFound, "unknown_account", "no"), refusal.New(refusal.Invalid, "not_a_root", "no"),
			refusal.New(refusal.AccountConflict, "account_closed", "no"), refusal.New(refusal.IDConflict, "content", "no")} {
			r.engine.refused = no
			got := r.do(b.method, b.target, "application/json", b.body)
			if code, reason := got.problem(t); code != string(no.Code) || reason != no.Reason {
				t.Errorf("%s: %s", b.target, got.body)
			}
		}
		r.engine.refused = nil
	}
	r.refuses("POST", "/v1/topup-requests/a%20b/answer", `{"id":"i","status":"paid"}`, "invalid_id")
	r.refuses("POST", "/v1/subscriptions/a%20b/change", `{"id":"i","at":"now","price":"1"}`, "invalid_id")
	r.refuses("POST", "/v1/subscriptions/a%20b/cancel", `{"id":"i","at":"now"}`, "invalid_id")
}

func TestCreditScopes(t *testing.T) {
	for _, rt := range creditRoutes() {
		want := ScopeAdmin
		if rt.method == "GET" {
			want = ScopeRead
		}
		if rt.scope != want {
			t.Errorf("%s %s: scope %v", rt.method, rt.pattern, rt.scope)
		}
	}
}

func TestGrants(t *testing.T) {
	r := newRig(t, Options{})
	const target = "/v1/accounts/a%2Fb/grants"
	got := r.books("POST", target, `{"id":"g1","kind":"promo","amount":"12.50"}`, engine.GrantSpec{ID: "g1", Account: "a/b", Kind: "promo", Amount: amount("12.5"), Priority: 100})
	sameText(t, got, `{"id":"g1","account":"a/b","kind":"promo","amount":"12.5","priority":100,"expires_at":null,"scope":{"types":[],"match":{}},"subscription":null,`+
		`"used":"0","remaining":"12.5","held":"0","expired":"0","state":"open","sequence":21,"time":"2026-11-23T10:00:00Z"}`)
	expires := time.Date(2026, 12, 31, 23, 0, 0, 500, time.UTC)
	got = r.books("POST", target, `{"id":"g2","kind":"paid","amount":"0.000000000000000001","priority":0,"expires_at":"2027-01-01T00:00:00.0000005+01:00",`+
		`"scope":{"types":["z","b"],"match":{"tier":"gold","model":"gpt-4o"}}}`, engine.GrantSpec{ID: "g2", Account: "a/b", Kind: "paid", Amount: amount("0.000000000000000001"), Expires: expires,
		Scope: engine.Scope{Types: []string{"b", "z"}, Match: []meter.Dimension{{Key: "model", Value: "gpt-4o"}, {Key: "tier", Value: "gold"}}}})
	sameText(t, got, `{"id":"g2","account":"a/b","kind":"paid","amount":"0.000000000000000001","priority":0,"expires_at":"2026-12-31T23:00:00.0000005Z",`+
		`"scope":{"types":["b","z"],"match":{"model":"gpt-4o","tier":"gold"}},"subscription":null,"used":"0","remaining":"0.000000000000000001","held":"0","expired":"0","state":"open","sequence":21,"time":"2026-11-23T10:00:00Z"}`)
	r.books("POST", target, `{"id":"g3","kind":"subscription","amount":"1","priority":1000000,"expires_at":"2027-01-01","scope":{}}`,
		engine.GrantSpec{ID: "g3", Account: "a/b", Kind: "subscription", Amount: amount("1"), Priority: 1000000, Expires: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)})
	r.books("POST", target, `{"id":"g3","kind":"paid","amount":"1","priority":null,"expires_at":null,"scope":null}`,
		engine.GrantSpec{ID: "g3", Account: "a/b", Kind: "paid", Amount: amount("1"), Priority: 100})
	f := func(fields, reason string) {
		t.Helper()
		r.refuses("POST", target, `{"id":"g","amount":"1",`+fields+`}`, reason)
	}
	f(`"kind":"gift"`, "invalid_kind")
	f(`"kind":"Paid"`, "invalid_kind")
	f(`"kind":"paid","priority":1000001`, "invalid_priority")
	f(`"kind":"paid","priority":-1`, "wrong_type")
	f(`"kind":"paid","priority":1.5`, "wrong_type")
	f(`"kind":"paid","priority":"1"`, "wrong_type")
	f(`"kind":"paid","priority":18446744073709551616`, "wrong_type")
	f(`"kind":"paid","expires_at":"tomorrow"`, "invalid_time")
	f(`"kind":"paid","expires_at":"2201-01-01"`, "invalid_time")
	f(`"kind":"paid","expires_at":1`, "wrong_type")

	r.engine.asked = nil
	sameText(t, r.get("/v1/accounts/acme/grants?limit=2&cursor=c").body, `{"items":[{"id":"g1","account":"acme","kind":"subscription","amount":"5","priority":50,"expires_at":"2026-11-23T10:00:00Z",`+
		`"scope":{"types":[],"match":{}},"subscription":"s1","used":"1","remaining":"3","held":"0.5","expired":"1","state":"expired","sequence":21,"time":"2026-11-23T10:00:00Z"}],"next":"n"}`)
	sameText(t, fmt.Sprint(r.engine.asked), "[acme c 2]")
}

func TestCreditScopeBodies(t *testing.T) {
	r := newRig(t, Options{})
	ids := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(`"t%d"`, i)
		}
		return strings.Join(list, ",")
	}
	dims := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(`"d%d":"v"`, i)
		}
		return strings.Join(list, ",")
	}
	x := strings.Repeat("x", 300)
	f := func(scope, reason string) {
		t.Helper()
		for _, route := range [][3]string{
			{"POST", "/v1/accounts/a/grants", `{"id":"i","kind":"paid","amount":"1","scope":%s}`},
			{"PUT", "/v1/accounts/a/limits", `{"limits":[{"name":"n","per":"day","amount":"1","scope":%s}]}`},
			{"POST", "/v1/accounts/a/subscriptions", `{"id":"i","period":"day","allowance":"1","scope":%s}`},
			{"POST", "/v1/subscriptions/s/change", `{"id":"i","at":"now","scope":%s}`},
		} {
			body := fmt.Sprintf(route[2], scope)
			if reason != "" {
				r.refuses(route[0], route[1], body, reason)
			} else if got := r.do(route[0], route[1], "application/json", body); got.status/100 != 2 {
				t.Errorf("%s: %s", body, got.body)
			}
		}
	}
	f(`{}`, "")
	f(`{"types":null,"match":null}`, "")
	f(`{"types":[],"match":{}}`, "")
	f(`{"types":[`+ids(16)+`],"match":{`+dims(8)+`}}`, "")
	f(`{"types":["`+x[:128]+`"],"match":{"`+x[:64]+`":"`+x[:256]+`","e":""}}`, "")
	f(`[]`, "wrong_type")
	f(`"all"`, "wrong_type")
	f(`{"meters":["a"]}`, "unknown_field")
	f(`{"types":["a"],"types":["b"]}`, "duplicate_key")
	f(`{"types":"a"}`, "wrong_type")
	f(`{"types":{}}`, "wrong_type")
	f(`{"types":[7]}`, "wrong_type")
	f(`{"types":[null]}`, "wrong_type")
	f(`{"types":["a b"]}`, "invalid_id")
	f(`{"types":[""]}`, "invalid_id")
	f(`{"types":["`+x[:129]+`"]}`, "invalid_id")
	f(`{"types":["a","b","a"]}`, "duplicate_type")
	f(`{"types":[`+ids(17)+`]}`, "too_many_types")
	f(`{"match":[]}`, "wrong_type")
	f(`{"match":{"model":7}}`, "wrong_type")
	f(`{"match":{"model":null}}`, "wrong_type")
	f(`{"match":{"model":["x"]}}`, "wrong_type")
	f(`{"match":{"":"x"}}`, "invalid_dimension")
	f(`{"match":{"`+x[:65]+`":"x"}}`, "invalid_dimension")
	f(`{"match":{"model":"`+x[:257]+`"}}`, "invalid_dimension")
	f(`{"match":{"model":"x","m\u006fdel":"y"}}`, "duplicate_key")
	f(`{"match":{`+dims(9)+`}}`, "too_many_dimensions")
	f(`{"match":{"model":"\ud800"}}`, "invalid_string")
}

func TestRefundsAndMoves(t *testing.T) {
	r := newRig(t, Options{})
	got := r.books("POST", "/v1/accounts/a/refunds", `{"id":"r1","amount":"12.50","grant":"g1","reference":"wire 7, ümlaut"}`,
		engine.RefundSpec{ID: "r1", Account: "a", Amount: amount("12.5"), Grant: "g1", Reference: "wire 7, ümlaut"})
	sameText(t, got, `{"id":"r1","account":"a","amount":"12.5","grant":"g1","reference":"wire 7, ümlaut","sequence":21,"time":"2026-11-23T10:00:00Z"}`)
	got = r.books("POST", "/v1/accounts/a/refunds", `{"id":"r1","amount":"1","grant":null}`, engine.RefundSpec{ID: "r1", Account: "a", Amount: amount("1")})
	sameText(t, got, `{"id":"r1","account":"a","amount":"1","grant":null,"reference":"","sequence":21,"time":"2026-11-23T10:00:00Z"}`)
	r.refuses("POST", "/v1/accounts/a/refunds", `{"id":"r1","amount":"1","grant":"a b"}`, "invalid_id")
	r.refuses("POST", "/v1/accounts/a/refunds", `{"id":"r1","amount":"1","reference":"a\nb"}`, "invalid_text")
	r.refuses("POST", "/v1/accounts/a/refunds", `{"id":"r1","amount":"1","reference":"`+strings.Repeat("x", 257)+`"}`, "invalid_text")

	got = r.books("POST", "/v1/moves", `{"id":"m1","from":"a","to":"b/c","amount":"0.5"}`, engine.MoveSpec{ID: "m1", From: "a", To: "b/c", Amount: amount("0.5")})
	sameText(t, got, `{"id":"m1","from":"a","to":"b/c","amount":"0.5","sequence":21,"time":"2026-11-23T10:00:00Z"}`)
	r.refuses("POST", "/v1/moves", `{"id":"m1","from":"a","to":"a","amount":"0.5"}`, "same_account")
	r.refuses("POST", "/v1/moves", `{"id":"m1","from":"a b","to":"a","amount":"0.5"}`, "invalid_id")
	r.refuses("POST", "/v1/moves", `{"id":"m1","from":"a","to":"a b","amount":"0.5"}`, "invalid_id")
	r.refuses("POST", "/v1/moves", `{"id":"m1","from":"operator","to":"a","amount":"0.5"}`, "reserved_id")
	r.refuses("POST", "/v1/moves", `{"id":"m1","from":"a","to":"operator","amount":"0.5"}`, "reserved_id")

	r.engine.refused = refusal.New(refusal.InsufficientFunds, "credit", "less is left")
	r.engine.refused.Shortfall = &refusal.Shortfall{Account: "a", Limit: "credit", Asked: "1", Left: "0.5"}
	for target, body := range map[string]string{"/v1/accounts/a/refunds": `{"id":"i","amount":"1"}`, "/v1/moves": `{"id":"i","from":"a","to":"b","amount":"1"}`} {
		got := r.post(target, body)
		got.want(t, 402, "insufficient_funds")
		if !strings.Contains(got.body, `"asked":"1","left":"0.5"`) {
			t.Error(got.body)
		}
	}
}

func TestStatusChanges(t *testing.T) {
	r := newRig(t, Options{})
	for action, state := range map[string]string{"freeze": "frozen", "resume": "open", "close": "closed"} {
		target := "/v1/accounts/a/" + action
		got := r.books("POST", target, `{"id":"f1","reason":"chargeback"}`, engine.StatusSpec{ID: "f1", Account: "a", Action: action, Reason: "chargeback"})
		sameText(t, got, `{"id":"f1","account":"a","action":"`+action+`","reason":"chargeback","state":"`+state+`","sequence":21,"time":"2026-11-23T10:00:00Z"}`)
		r.books("POST", target, `{"id":"f1","reason":null}`, engine.StatusSpec{ID: "f1", Account: "a", Action: action})
		r.refuses("POST", target, `{"id":"f1","reason":"a\nb"}`, "invalid_reason")
		r.refuses("POST", target, `{"id":"f1","reason":"`+strings.Repeat("x", 501)+`"}`, "invalid_reason")
	}
	for _, reason := range []string{"account_closed", "balance_not_zero", "open_holds", "open_children"} {
		r.engine.refused = refusal.New(refusal.AccountConflict, reason, "no")
		got := r.post("/v1/accounts/a/close", `{"id":"f1"}`)
		got.want(t, 409, "account_conflict")
	}
}

func TestTopUpRequests(t *testing.T) {
	r := newRig(t, Options{})
	got := r.books("POST", "/v1/accounts/a/topup-requests", `{"id":"q1","amount":"20.00"}`, engine.TopUpAskSpec{ID: "q1", Account: "a", Amount: amount("20")})
	sameText(t, got, `{"id":"tr-21","account":"a","currency":"USD","amount":"20","by":"customer","state":"open","topup":null,"created":"2026-11-23T10:00:00Z","answered":null,"sequence":21}`)
	const target = "/v1/topup-requests/tr-21/answer"
	got = r.books("POST", target, `{"id":"t1","status":"paid"}`, engine.TopUpReplySpec{ID: "t1", Request: "tr-21", Paid: true})
	sameText(t, got, `{"id":"tr-21","account":"acme","currency":"USD","amount":"5","by":"auto","state":"paid","topup":"t1","created":"2026-11-23T10:00:00Z","answered":"2026-11-23T10:00:00Z","sequence":22}`)
	paid := amount("4.99")
	r.books("POST", target, `{"id":"t1","status":"paid","amount":"4.99","reference":"card 7"}`, engine.TopUpReplySpec{ID: "t1", Request: "tr-21", Paid: true, Amount: &paid, Reference: "card 7"})
	r.books("POST", target, `{"id":"t1","status":"declined","amount":null,"reference":"do not honour"}`, engine.TopUpReplySpec{ID: "t1", Request: "tr-21", Reference: "do not honour"})
	r.refuses("POST", target, `{"id":"t1","status":"open"}`, "invalid_status")
	r.refuses("POST", target, `{"id":"t1","status":"declined","amount":"1"}`, "not_for_declined")
	r.refuses("POST", target, `{"id":"t1","status":"paid","reference":"a\nb"}`, "invalid_text")
	r.engine.refused = refusal.New(refusal.RequestConflict, "request_open", "no")
	r.post("/v1/accounts/a/topup-requests", `{"id":"q1","amount":"1"}`).want(t, 409, "request_conflict")
	r.post(target, `{"id":"t1","status":"paid"}`).want(t, 409, "request_conflict")
	r.engine.refused, r.engine.asked = nil, nil
	sameText(t, r.get("/v1/accounts/acme/topup-requests?cursor=c").body, `{"items":[{"id":"tr-9","account":"acme","currency":"USD","amount":"5","by":"auto","state":"open","topup":null,`+
		`"created":"2026-11-23T10:00:00Z","answered":null,"sequence":9}],"next":""}`)
	sameText(t, fmt.Sprint(r.engine.asked), "[acme c 100]")
}
