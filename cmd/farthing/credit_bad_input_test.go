package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// badCredit is a ledger with something of everything that bad input could damage.
type badCredit struct {
	*serving
	t    *testing.T
	seen string // what could be read after the last refusal; "" after something was booked
}

// TestCreditBadInput sends what no client should send of prepaid credit to a real server. Each is refused with its code
// and reason and changes nothing that can be read, the ledger's sequence included; and no refusal uses up an id.
func TestCreditBadInput(t *testing.T) {
	b := &badCredit{serving: serveOn(t, "--data="+t.TempDir(), "--settle-every=0s"), t: t}
	defer b.stop()
	b.furnish()
	b.captures()
	b.holds()
	b.amounts()
	b.trees()
	b.limits()
	b.grants()
	b.idsAreFree()
}

// books sends what must be booked.
func (b *badCredit) books(method, path, body string) {
	b.t.Helper()
	b.seen = ""
	if status, got := send(b.t, method, b.url+path, "", body); status != 200 && status != 201 {
		b.t.Fatalf("%s %s %s: %d %s", method, path, body, status, got)
	}
}

// refuses sends what must be refused, and compares all that can be read before and after.
func (b *badCredit) refuses(method, path, body string, status int, code, reason string) {
	b.t.Helper()
	if b.seen == "" {
		b.seen = b.readable()
	}
	got, text := send(b.t, method, b.url+path, "", body)
	var problem struct{ Code, Reason string }
	if err := json.Unmarshal([]byte(text), &problem); err != nil || got != status || problem.Code != code || problem.Reason != reason {
		b.t.Errorf("%s %s %s: %d %s, want %d %s %s", method, path, body, got, text, status, code, reason)
	}
	after := b.readable()
	if after != b.seen {
		b.t.Errorf("%s %s %s changed\n%s\nto\n%s", method, path, body, b.seen, after)
	}
	b.seen = after
}

// readable is what GET shows of everything that the requests are about.
func (b *badCredit) readable() string {
	b.t.Helper()
	paths := []string{"/v1/accounts?limit=1000", "/v1/trial-balance", "/v1/notifications", "/v1/unpriced"}
	for _, account := range []string{"acme", "other", "owes"} {
		for _, list := range []string{"limits", "grants", "settings", "transfers?limit=1000", "topup-requests", "subscriptions"} {
			paths = append(paths, "/v1/accounts/"+account+"/"+list)
		}
	}
	for _, hold := range []string{"open", "captured", "voided", "expired", "refused"} {
		paths = append(paths, "/v1/holds/"+hold)
	}
	var all strings.Builder
	for _, path := range paths {
		status, text := b.get(path, "")
		if status != http.StatusOK {
			b.t.Fatalf("GET %s: %d %s", path, status, text)
		}
		fmt.Fprintln(&all, path, text)
	}
	return all.String()
}

func usageOf(id, subject string) string {
	return fmt.Sprintf(`{"id":%q,"source":"g","type":"calls","subject":%q}`, id, subject)
}

func (b *badCredit) furnish() {
	b.t.Helper()
	account := func(id, more string) {
		b.t.Helper()
		b.books("POST", "/v1/accounts", fmt.Sprintf(`{"id":%q,"kind":"customer",%s}`, id, more))
	}
	account("acme", `"currency":"USD","billing":"prepaid","owner":"o"`)
	account("other", `"currency":"USD","billing":"prepaid","owner":"o"`)
	account("euro", `"currency":"EUR","billing":"prepaid","owner":"o"`)
	account("owes", `"currency":"USD","billing":"postpaid"`)
	account("team", `"currency":"USD","parent":"acme"`)
	account("user", `"currency":"USD","parent":"team"`)
	b.books("POST", "/v1/accounts", `{"id":"vendor","currency":"USD","kind":"provider"}`)
	b.books("PUT", "/v1/prices/v", `{"effective_from":"2026-01-01T00:00:00Z","prices":[{"meter":"calls","currency":"USD","components":{"call":"2"}}]}`)
	b.books("POST", "/v1/accounts/acme/topups", `{"id":"t","amount":"100"}`)
	b.books("POST", "/v1/accounts/acme/grants", `{"id":"g","kind":"promo","amount":"3"}`)
	b.books("POST", "/v1/accounts/acme/topup-requests", `{"id":"ask","amount":"5"}`)
	b.books("POST", "/v1/accounts/acme/subscriptions", `{"id":"s","period":"month","allowance":"1"}`)
	b.books("POST", "/v1/events", "["+usageOf("e-1", "acme")+","+usageOf("e-2", "owes")+"]")
	b.books("PUT", "/v1/accounts/acme/limits", `{"limits":[{"name":"m","per":"month","amount":"50","count":9}]}`)
	for _, id := range []string{"open", "captured", "voided"} {
		b.books("POST", "/v1/holds", fmt.Sprintf(`{"id":%q,"account":"acme","amount":"5","ttl":"168h"}`, id))
	}
	b.books("POST", "/v1/holds/captured/capture", `{"event":`+usageOf("e-3", "acme")+`}`)
	b.books("POST", "/v1/holds/voided/void", ``)
	b.books("POST", "/v1/holds", `{"id":"expired","account":"acme","amount":"1","ttl":"1s"}`)
	if status, text := send(b.t, "POST", b.url+"/v1/holds", "", `{"id":"refused","account":"acme","amount":"500"}`); status != 402 {
		b.t.Fatalf("%d %s", status, text)
	}
	b.awaitExpired()
}

// awaitExpired returns once the hold with the short life is gone.
func (b *badCredit) awaitExpired() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if _, text := b.get("/v1/notifications", ""); strings.Contains(text, "hold.expired") {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			b.t.Fatal("the hold did not expire in time")
		}
	}
}

func (b *badCredit) captures() {
	// In the path, in the body, and as the only one of a list.
	f := func(hold, what string, status int, code, reason string) {
		b.t.Helper()
		b.refuses("POST", "/v1/holds/"+hold+"/capture", "{"+what+"}", status, code, reason)
		one := fmt.Sprintf(`{"hold":%q,%s}`, hold, what)
		b.refuses("POST", "/v1/captures", one, status, code, reason)
		b.refuses("POST", "/v1/captures", "["+one+"]", status, code, reason)
	}
	for _, what := range []string{`"event":` + usageOf("e", "acme"), `"amount":"1"`} {
		f("unknown", what, 404, "not_found", "unknown_hold")
		f("captured", what, 409, "hold_conflict", "hold_captured")
		f("voided", what, 409, "hold_conflict", "hold_voided")
		f("expired", what, 409, "hold_conflict", "hold_expired")
		f("refused", what, 409, "hold_conflict", "hold_refused")
	}
	for _, subject := range []string{"other", "team", "user", "euro"} {
		f("open", `"event":`+usageOf("e", subject), 422, "invalid", "wrong_account")
	}
	f("open", `"event":`+usageOf("e-1", "acme"), 409, "id_conflict", "event_already_booked")
	f("open", `"event":`+usageOf("e-3", "acme"), 409, "id_conflict", "event_already_booked")
	f("open", `"event":`+usageOf("a b", "acme"), 422, "invalid", "invalid_id")
	f("open", `"event":`+usageOf("e", "acme")+`,"amount":"1"`, 422, "invalid", "amount_or_event")
	for hold, reason := range map[string]string{"captured": "hold_captured", "voided": "hold_voided", "expired": "hold_expired", "refused": "hold_refused"} {
		b.refuses("POST", "/v1/holds/"+hold+"/extend", `{"id":"x","ttl":"60s"}`, 409, "hold_conflict", reason)
		if hold != "voided" {
			b.refuses("POST", "/v1/holds/"+hold+"/void", `{}`, 409, "hold_conflict", reason)
		}
	}
	b.refuses("POST", "/v1/holds/unknown/void", ``, 404, "not_found", "unknown_hold")
	b.refuses("POST", "/v1/holds/unknown/extend", `{"id":"x","ttl":"60s"}`, 404, "not_found", "unknown_hold")
}

func (b *badCredit) holds() {
	f := func(fields string, status int, code, reason string) {
		b.t.Helper()
		b.refuses("POST", "/v1/holds", `{"id":"h",`+fields+`}`, status, code, reason)
		b.refuses("POST", "/v1/holds", `[{"id":"h",`+fields+`}]`, status, code, reason)
	}
	f(`"account":"acme","amount":"1","currency":"EUR"`, 422, "invalid", "currency_mismatch")
	f(`"account":"user","amount":"1","currency":"EUR"`, 422, "invalid", "currency_mismatch")
	f(`"account":"acme","amount":"1","currency":"usd"`, 422, "invalid", "unknown_currency")
	f(`"account":"nobody","amount":"1"`, 404, "not_found", "unknown_account")
	f(`"account":"vendor","amount":"1"`, 422, "invalid", "not_a_customer")
	f(`"account":"acme"`, 422, "invalid", "amount_or_estimate")
	f(`"account":"acme","estimate":{"type":"unknown"}`, 422, "invalid", "unpriced_estimate")
	b.refuses("POST", "/v1/holds?ttl=5m", `{"id":"h","account":"acme","amount":"1"}`, 422, "invalid", "unknown_parameter")
	for _, ttl := range []string{"0s", "0", "-1s", "999ms", "168h1s", "8760h", "1y", ""} {
		f(fmt.Sprintf(`"account":"acme","amount":"1","ttl":%q`, ttl), 422, "invalid", "invalid_ttl")
		b.refuses("POST", "/v1/holds/open/extend", fmt.Sprintf(`{"id":"x","ttl":%q}`, ttl), 422, "invalid", "invalid_ttl")
	}
	b.refuses("POST", "/v1/holds", `{"id":"open","account":"acme","amount":"4","ttl":"168h"}`, 409, "id_conflict", "id_conflict")
	b.refuses("POST", "/v1/holds", `{"id":"open","account":"other","amount":"5","ttl":"168h"}`, 409, "id_conflict", "id_conflict")
	// An extension that does not fit is not recorded.
	b.refuses("POST", "/v1/holds/open/extend", `{"id":"x","amount":"500"}`, 402, "insufficient_funds", "insufficient_funds")
}

// amounts tries zero, less, more than anything may be, and more places than money has, wherever an amount can be said.
func (b *badCredit) amounts() {
	_, asked := b.get("/v1/accounts/acme/topup-requests", "")
	request := asked[strings.Index(asked, "tr-"):]
	request = request[:strings.Index(request, `"`)]
	for _, amount := range []string{"0", "-1", "0.0000000000000000001", "1000000000001", "1e3", ""} {
		f := func(path, fields string) {
			b.t.Helper()
			b.refuses("POST", path, fmt.Sprintf(`{%s"amount":%q}`, fields, amount), 422, "invalid", "invalid_amount")
		}
		f("/v1/holds", `"id":"h","account":"acme",`)
		f("/v1/holds/open/extend", `"id":"x",`)
		f("/v1/holds/open/capture", ``)
		f("/v1/captures", `"hold":"open",`)
		f("/v1/accounts/acme/grants", `"id":"g-2","kind":"paid",`)
		f("/v1/accounts/acme/refunds", `"id":"r",`)
		f("/v1/moves", `"id":"m","from":"acme","to":"other",`)
		f("/v1/accounts/other/topup-requests", `"id":"ask-2",`)
		f("/v1/topup-requests/"+request+"/answer", `"id":"reply","status":"paid",`)
		b.refuses("POST", "/v1/accounts/acme/subscriptions", fmt.Sprintf(`{"id":"s-2","period":"day","allowance":%q}`, amount), 422, "invalid", "invalid_amount")
	}
	for amount, reason := range map[string]string{"-1": "negative_amount", "0.0000000000000000001": "invalid_amount", "1000000000001": "invalid_amount"} {
		b.refuses("PUT", "/v1/accounts/acme/limits", fmt.Sprintf(`{"limits":[{"name":"m","per":"month","amount":%q}]}`, amount), 422, "invalid", reason)
		b.refuses("PUT", "/v1/accounts/acme/limits", fmt.Sprintf(`{"overdraft_limit":%q,"limits":[]}`, amount), 422, "invalid", reason)
		b.refuses("PUT", "/v1/accounts/acme/settings", fmt.Sprintf(`{"credit_low":%q}`, amount), 422, "invalid", reason)
	}
	b.refuses("POST", "/v1/accounts/acme/refunds", `{"id":"r","amount":"500"}`, 402, "insufficient_funds", "insufficient_funds")
	b.refuses("POST", "/v1/accounts/acme/refunds", `{"id":"r","amount":"1","grant":"g"}`, 422, "invalid", "not_paid")
	b.refuses("POST", "/v1/moves", `{"id":"m","from":"acme","to":"other","amount":"500"}`, 402, "insufficient_funds", "insufficient_funds")
	b.refuses("POST", "/v1/moves", `{"id":"m","from":"acme","to":"euro","amount":"1"}`, 422, "invalid", "currency_mismatch")
	b.refuses("POST", "/v1/moves", `{"id":"m","from":"acme","to":"owes","amount":"1"}`, 422, "invalid", "not_one_owner")
}

func (b *badCredit) trees() {
	f := func(id, fields string, status int, code, reason string) {
		b.t.Helper()
		b.refuses("POST", "/v1/accounts", fmt.Sprintf(`{"id":%q,"kind":"customer",%s}`, id, fields), status, code, reason)
	}
	f("self", `"currency":"USD","parent":"self"`, 422, "invalid", "parent_cycle")
	f("acme", `"currency":"USD","parent":"acme"`, 422, "invalid", "parent_cycle")
	f("acme", `"currency":"USD","parent":"user"`, 422, "invalid", "parent_cycle")
	f("team", `"currency":"USD","parent":"user"`, 422, "invalid", "parent_cycle")
	f("user", `"currency":"USD","parent":"acme"`, 409, "id_conflict", "id_conflict")
	f("child", `"currency":"USD","parent":"nobody"`, 404, "not_found", "unknown_account")
	f("child", `"currency":"EUR","parent":"acme"`, 422, "invalid", "currency_mismatch")
	f("child", `"currency":"USD","billing":"prepaid","parent":"vendor"`, 422, "invalid", "not_a_customer")
	f("child", `"currency":"USD","parent":"vendor"`, 422, "invalid", "not_a_customer")
	f("child", `"currency":"USD","parent":"acme","overdraft_limit":"1"`, 422, "invalid", "not_for_children")
	for path, fields := range map[string]string{"grants": `"kind":"paid",`, "refunds": ``, "topups": ``, "topup-requests": ``} {
		b.refuses("POST", "/v1/accounts/user/"+path, `{"id":"of-a-child",`+fields+`"amount":"1"}`, 422, "invalid", "not_a_root")
	}
}

func (b *badCredit) limits() {
	f := func(account, body, reason string) {
		b.t.Helper()
		b.refuses("PUT", "/v1/accounts/"+account+"/limits", body, 422, "invalid", reason)
	}
	// 4 are spent and 5 are held, in 3 calls; owes owes 2.
	f("acme", `{"limits":[{"name":"m","per":"month","amount":"8.999999999999999999"}]}`, "limit_below_spent")
	f("acme", `{"limits":[{"name":"m","per":"month","count":1}]}`, "limit_below_spent")
	f("acme", `{"limits":[{"name":"new","per":"total","amount":"3.999999999999999999"}]}`, "limit_below_spent")
	f("owes", `{"overdraft_limit":"1.999999999999999999","limits":[]}`, "limit_below_spent")
	f("user", `{"overdraft_limit":"1","limits":[]}`, "not_for_children")
	f("team", `{"limits":[{"name":"seat","per":"month","amount":"50.000000000000000001","allotment":true}]}`, "pool_exceeded")
	f("vendor", `{"limits":[]}`, "not_a_customer")
	f("acme", `{"overdraft_limit":null}`, "missing_field")
}

func (b *badCredit) grants() {
	f := func(fields, reason string) {
		b.t.Helper()
		b.refuses("POST", "/v1/accounts/acme/grants", `{"id":"g-2","amount":"1",`+fields+`}`, 422, "invalid", reason)
	}
	f(`"kind":"promo","expires_at":"2026-01-01T00:00:00Z"`, "grant_expired")
	f(`"kind":"promo","expires_at":"1970-01-01"`, "grant_expired")
	f(fmt.Sprintf(`"kind":"promo","expires_at":%q`, time.Now().UTC().Format(time.RFC3339Nano)), "grant_expired")
	f(`"kind":"promo","expires_at":"1969-12-31T23:59:59Z"`, "invalid_time")
	f(`"kind":"gift"`, "invalid_kind")
	b.refuses("POST", "/v1/accounts/acme/subscriptions", `{"id":"s-2","period":"month","allowance":"1","starts_at":"2026-01-01"}`, 422, "invalid", "invalid_starts_at")
	b.refuses("POST", "/v1/accounts/acme/subscriptions", `{"id":"s-2","period":"month","allowance":"1","rollover":{"max":"1","periods":101}}`, 422, "invalid", "invalid_periods")
	b.refuses("POST", "/v1/subscriptions/s-2/cancel", `{"id":"c","at":"now"}`, 404, "not_found", "unknown_subscription")
}

// idsAreFree: what was refused may be asked for again, put right.
func (b *badCredit) idsAreFree() {
	b.books("POST", "/v1/holds", `{"id":"h","account":"acme","amount":"1"}`)
	b.books("POST", "/v1/holds/open/extend", `{"id":"x","ttl":"60s"}`)
	b.books("POST", "/v1/holds/open/capture", `{"event":`+usageOf("e", "acme")+`}`)
	b.books("POST", "/v1/accounts/acme/grants", `{"id":"g-2","kind":"paid","amount":"1"}`)
	b.books("POST", "/v1/accounts/acme/refunds", `{"id":"r","amount":"1"}`)
	b.books("POST", "/v1/moves", `{"id":"m","from":"acme","to":"other","amount":"1"}`)
	b.books("POST", "/v1/accounts/acme/subscriptions", `{"id":"s-2","period":"day","allowance":"1"}`)
	b.books("POST", "/v1/accounts", `{"id":"child","kind":"customer","currency":"USD","parent":"acme"}`)
}
