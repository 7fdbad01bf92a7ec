package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"farthing/meter"
)

// The twin's own tests: cases worked out by hand from the rules.

var creditBase = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// creditBook prices: a call of api.calls is 2 (operator), one of chat 3 for model m1 and 1 for
// others (payee prov, fee a tenth), one of free nothing.
func creditBook(id string, from time.Time, factor int64) *modelVersion {
	v := &modelVersion{id: id, from: from.UnixNano()}
	price := func(kind string, match map[string]string, unit string, payee, fee string) {
		unit = decimal.RequireFromString(unit).Mul(decimal.NewFromInt(factor)).String()
		v.prices = append(v.prices, modelPrice{kind, "USD", match, map[string]object{"call": {"unit": unit}}, payee, fee})
	}
	price("api.calls", map[string]string{}, "2", "", "")
	price("chat", map[string]string{}, "1", "prov", "0.1")
	price("chat", map[string]string{"model": "m1"}, "3", "prov", "0.1")
	price("free", map[string]string{}, "0", "", "")
	return v
}

// creditDesk drives a twin in tables; everything has to be done unless it says no.
type creditDesk struct {
	*creditTwin
	t *testing.T
	n int
}

func newCreditDesk(t *testing.T) *creditDesk {
	d := &creditDesk{newCreditTwin(creditBase.UnixNano(), creditBook("v1", creditBase.AddDate(-1, 0, 0), 1)), t, 0}
	d.done(d.createAccount(AccountSpec{ID: "prov", Currency: usd(), Kind: "provider"}))
	d.done(d.createAccount(AccountSpec{ID: "org", Currency: usd(), Kind: "customer", Billing: "prepaid", Owner: "o"}))
	d.done(d.createAccount(AccountSpec{ID: "team", Currency: usd(), Kind: "customer", Parent: "org"}))
	d.done(d.createAccount(AccountSpec{ID: "key", Currency: usd(), Kind: "customer", Parent: "team"}))
	return d
}

func (d *creditDesk) id() string { d.n++; return fmt.Sprint("i", d.n) }

func (d *creditDesk) done(a creditAnswer) creditAnswer {
	d.t.Helper()
	if a.refused() || a.duplicate {
		d.t.Fatalf("answered %+v", a)
	}
	d.settle()
	return a
}

// no expects a refusal "code reason" or, of what did not fit, "account limit asked left".
func (d *creditDesk) no(a creditAnswer, want string) {
	d.t.Helper()
	got := "done"
	if a.refused() {
		got = string(a.faults[0].code) + " " + a.faults[0].reason
	}
	if s := a.short; s != nil {
		got = fmt.Sprintf("%s %s %s %s", s.account, s.limit, s.asked, s.left)
	}
	if got != want {
		d.t.Fatalf("answered %q, want %q", got, want)
	}
}

// is compares an account: posted, held, available.
func (d *creditDesk) is(id, want string) {
	d.t.Helper()
	a := d.accounts[id]
	if got := fmt.Sprintf("%s %s %s", d.posted(a.root), d.held(a), creditOptional(d.available(a))); got != want {
		d.t.Fatalf("%s: %s, want %s", id, got, want)
	}
}

// grantsAre compares the remaining amounts of all grants.
func (d *creditDesk) grantsAre(want string) {
	d.t.Helper()
	var out []string
	for _, g := range d.grants {
		out = append(out, fmt.Sprintf("%s:%s", g.remaining, d.stateOf(g)))
	}
	if got := strings.Join(out, " "); got != want {
		d.t.Fatalf("grants %s, want %s", got, want)
	}
}

func (d *creditDesk) classIs(class, want string) {
	d.t.Helper()
	if got := d.classes["USD"][class].String(); got != want {
		d.t.Fatalf("%s: %s, want %s", class, got, want)
	}
}

// noted compares the notifications since the last look, by type.
func (d *creditDesk) noted(want string) {
	d.t.Helper()
	var out []string
	for _, n := range d.notes {
		out = append(out, n.kind)
	}
	if d.notes = nil; strings.Join(out, " ") != want {
		d.t.Fatalf("notified %s, want %s", strings.Join(out, " "), want)
	}
}

func (d *creditDesk) pay(account, sum string) {
	d.t.Helper()
	d.done(d.topUp(TopUp{ID: d.id(), Account: account, Amount: amount(d.t, sum)}))
}

func (d *creditDesk) gift(id, kind, sum string, priority uint32, expires time.Duration, scope Scope) {
	d.t.Helper()
	spec := GrantSpec{ID: id, Account: "org", Amount: amount(d.t, sum), Kind: kind, Priority: priority, Scope: scope}
	if expires != 0 {
		spec.Expires = time.Unix(0, d.now).Add(expires)
	}
	d.done(d.grant(spec))
}

func (d *creditDesk) usage(subject, kind, model string, calls int) *call {
	c := &call{source: "s", id: d.id(), subject: subject, kind: kind, usage: [][2]string{{"call", fmt.Sprint(calls)}}}
	if model != "" {
		c.dims = [][2]string{{"model", model}}
	}
	return c
}

func (d *creditDesk) hold(id, account, sum string) creditAnswer {
	return d.operate(&creditOp{kind: PlaceHold, hold: id, account: account, amount: sum})
}

func (d *creditDesk) catch(id string, c *call) creditAnswer {
	return d.operate(&creditOp{kind: CaptureHold, hold: id, event: c})
}

func (d *creditDesk) limit(account string, list ...LimitSpec) creditAnswer {
	return d.putLimits(LimitsSpec{Account: account, Limits: list})
}

func creditCap(t *testing.T, name, per, mode, sum string, scope Scope) LimitSpec {
	a := amount(t, sum)
	return LimitSpec{Name: name, Per: per, Mode: mode, Amount: &a, Scope: scope}
}

func (d *creditDesk) wait(by time.Duration) { d.advance(d.now + int64(by)) }

var creditM1 = Scope{Types: []string{"chat"}, Match: []meter.Dimension{{Key: "model", Value: "m1"}}}

// TestCreditTwinBurnOrder: lowest priority, earliest expiry, oldest; then paid, then owed.
func TestCreditTwinBurnOrder(t *testing.T) {
	d := newCreditDesk(t)
	d.pay("org", "5")
	d.gift("late", "promo", "3", 100, 200*time.Hour, Scope{})
	d.gift("never", "promo", "3", 100, 0, Scope{})
	d.gift("soon", "paid", "3", 100, 100*time.Hour, Scope{})
	d.gift("soon2", "paid", "3", 100, 100*time.Hour, Scope{})
	d.gift("first", "promo", "3", 5, 0, creditM1)
	d.is("org", "20 0 17")
	d.done(d.event(d.usage("key", "api.calls", "", 2))) // 4: not of the scoped one
	d.grantsAre("3:open 3:open 0:used 2:open 3:open")
	d.done(d.event(d.usage("key", "chat", "m1", 2))) // 6
	d.grantsAre("2:open 3:open 0:used 0:used 0:used")
	d.done(d.event(d.usage("key", "api.calls", "", 6))) // 12: 5 of grants, 5 paid, 2 owed
	d.grantsAre("0:used 0:used 0:used 0:used 0:used")
	d.is("key", "-2 0 -2")
	d.classIs("revenue", "16")
	d.classIs("fees", "0.6")
	d.classIs("cash", "-11")
	d.pay("org", "3")
	d.is("org", "1 0 1")
}

// TestCreditTwinHolds: what is reserved where, what a capture takes, what comes back.
func TestCreditTwinHolds(t *testing.T) {
	d := newCreditDesk(t)
	d.pay("org", "10")
	d.gift("g", "promo", "4", 1, 0, Scope{})
	d.gift("m1", "promo", "5", 2, 0, creditM1)
	d.done(d.hold("h1", "key", "6")) // 4 of g, 2 of the pool
	d.is("key", "19 6 8")
	d.no(d.hold("h2", "team", "8.000000000000000001"), "org credit 8.000000000000000001 8")
	d.no(d.hold("h2", "team", "8.000000000000000001"), "org credit 8.000000000000000001 8")
	d.no(d.hold("h2", "team", "1"), "id_conflict id_conflict")
	d.done(d.operate(&creditOp{kind: PlaceHold, hold: "h3", account: "key", event: d.usage("key", "chat", "m1", 4)})) // 12: 5 of m1, 7 of the pool
	d.is("org", "19 18 1")
	d.no(d.operate(&creditOp{kind: ExtendHold, hold: "h3", id: "x1", amount: "2"}), "org credit 2 1")
	d.done(d.operate(&creditOp{kind: ExtendHold, hold: "h3", id: "x1", amount: "1"}))
	a := d.done(d.catch("h3", d.usage("key", "chat", "m1", 2))) // 6: 5 of m1, 1 of the pool
	if a.charged.String() != "6" || a.released.String() != "7" || a.available.String() != "7" {
		t.Fatalf("%+v", a)
	}
	d.grantsAre("4:open 0:used")
	d.no(d.catch("h3", d.usage("key", "chat", "m1", 2)), "hold_conflict hold_captured")
	d.no(d.catch("h1", d.usage("org", "chat", "m1", 2)), "invalid wrong_account")
	d.wait(time.Minute - 1)
	d.is("key", "13 6 7")
	d.no(d.catch("h1", d.usage("org", "chat", "m1", 2)), "invalid wrong_account")
	d.wait(time.Second)
	d.is("key", "13 0 13")
	d.noted("hold.expired")
	d.no(d.operate(&creditOp{kind: VoidHold, hold: "h1"}), "hold_conflict hold_expired")
	d.no(d.operate(&creditOp{kind: VoidHold, hold: "h2"}), "hold_conflict hold_refused")
}

// TestCreditTwinExcess: more is captured than was held.
func TestCreditTwinExcess(t *testing.T) {
	f := func(policy, most, want, loss string) {
		t.Helper()
		d := newCreditDesk(t)
		d.pay("org", "6")
		d.done(d.putSettings(SettingsSpec{Account: "org", Excess: policy, ExcessLimit: amount(t, most), Abandoned: "void"}))
		d.done(d.hold("h", "key", "2"))
		d.done(d.hold("other", "key", "1"))
		c := d.usage("key", "chat", "m1", 4) // 12: 2 held, 3 free, 7 more
		a := d.done(d.catch("h", c))
		d.is("org", want)
		d.classIs("operator_loss", decimal.RequireFromString(loss).Neg().String())
		if a.charged.Add(a.net).String() != "12" || a.released.String() != "0" || d.accounts["prov"].due.String() != "10.8" {
			t.Fatalf("%s: %+v, the payee has %s", policy, a, d.accounts["prov"].due)
		}
		d.done(d.void(VoidSpec{Source: "s", Event: c.id, ID: "v"}))
		d.is("org", "6 1 5")
		d.classIs("operator_loss", "0")
	}
	f("allow", "0", "-6 1 -7", "0")
	f("allow_up_to", "4", "-3 1 -4", "3")
	f("cap", "0", "1 1 0", "7")
}

// TestCreditTwinCaptureAmount: an amount is for what was estimated, and the limit bounds the
// excess.
func TestCreditTwinCaptureAmount(t *testing.T) {
	d := newCreditDesk(t)
	d.pay("org", "20")
	d.gift("m1", "promo", "3", 1, 0, creditM1)
	d.done(d.putSettings(SettingsSpec{Account: "org", Excess: "cap", Abandoned: "void"}))
	d.done(d.limit("team", creditCap(t, "d", "day", "hard", "10", Scope{})))
	d.done(d.operate(&creditOp{kind: PlaceHold, hold: "h", account: "key", event: d.usage("key", "chat", "m1", 2)}))
	d.done(d.hold("other", "team", "1"))
	d.is("key", "23 6 3")
	a := d.done(d.operate(&creditOp{kind: CaptureHold, hold: "h", amount: "12"}))
	if a.charged.String() != "9" || a.net.String() != "3" || a.released.String() != "0" {
		t.Fatalf("%+v", a) // 6 were held, 3 more are left under the limit
	}
	d.grantsAre("0:used")
	d.is("key", "14 0 0")
	d.is("org", "14 1 13")
	d.classIs("revenue", "12")
}

// TestCreditTwinLimits: modes, periods, scopes, counts.
func TestCreditTwinLimits(t *testing.T) {
	d := newCreditDesk(t)
	d.pay("org", "1000")
	two := uint64(2)
	d.done(d.limit("key", creditCap(t, "call", "call", "hard", "50", Scope{}), LimitSpec{Name: "n", Per: "minute", Mode: "hard", Count: &two}))
	d.done(d.limit("team", creditCap(t, "soft", "hour", "soft", "60", Scope{}), creditCap(t, "m1", "day", "hard", "10", creditM1)))
	d.done(d.limit("org", creditCap(t, "try", "total", "shadow", "70", Scope{})))
	d.no(d.hold("a", "key", "51"), "key call 51 50")
	d.done(d.hold("b", "key", "50"))
	d.noted("limit.reached")
	d.done(d.hold("c", "key", "21"))
	d.noted("limit.reached")
	d.no(d.hold("d", "key", "1"), "key n 1 0")
	d.no(d.operate(&creditOp{kind: PlaceHold, hold: "e", account: "team", event: d.usage("team", "chat", "m1", 4)}), "team m1 12 10")
	d.noted("limit.reached limit.reached") // a hard one tells of what it refuses
	d.done(d.event(d.usage("team", "chat", "m1", 4)))
	d.noted("") // m1 was told in this day, soft in this hour
	if l := d.accounts["org"].limits[0]; l.would != 1 || l.recent[0] != "c" {
		t.Fatalf("%+v", l)
	}
	d.no(d.limit("team", creditCap(t, "soft", "hour", "soft", "82", Scope{})), "invalid limit_below_spent")
	d.done(d.limit("team", creditCap(t, "soft", "hour", "soft", "83", Scope{})))
	d.wait(time.Minute + time.Second) // both holds end
	d.noted("hold.expired hold.expired")
	d.done(d.hold("f", "key", "1"))
	d.done(d.operate(&creditOp{kind: VoidHold, hold: "f"}))
	d.done(d.hold("g", "key", "1"))
	d.done(d.hold("h", "key", "1"))
	d.no(d.hold("i", "key", "1"), "key n 1 0")
	d.done(d.limit("team", creditCap(t, "new", "day", "hard", "20", Scope{}), creditCap(t, "new2", "hour", "hard", "2", Scope{})))
	d.is("team", "988 2 2") // both began without what is held; the day with 12 spent
	d.no(d.hold("j", "team", "9"), "team new 9 8")
	d.noted("limit.reached limit.reached") // of i, in a new minute, and of j
}

// TestCreditTwinHoldPeriods: a hold counts where it last reserved.
func TestCreditTwinHoldPeriods(t *testing.T) {
	d := newCreditDesk(t)
	d.pay("org", "100")
	d.done(d.limit("key", creditCap(t, "h", "hour", "hard", "10", Scope{})))
	place := func(id, sum string) creditAnswer {
		return d.operate(&creditOp{kind: PlaceHold, hold: id, account: "key", amount: sum, ttl: 2 * time.Hour})
	}
	d.done(place("a", "8"))
	d.done(place("b", "2"))
	d.wait(time.Hour)
	d.is("key", "100 10 10")
	d.done(place("c", "1"))
	d.no(d.operate(&creditOp{kind: ExtendHold, hold: "a", id: "x", amount: "2"}), "key h 10 9")
	d.done(d.operate(&creditOp{kind: ExtendHold, hold: "a", id: "x", amount: "1"}))
	d.is("key", "100 12 0")
	d.done(d.operate(&creditOp{kind: CaptureHold, hold: "b", amount: "2"})) // of an hour that is over
	d.is("key", "98 10 0")
	d.done(d.operate(&creditOp{kind: CaptureHold, hold: "a", amount: "5"}))
	d.is("key", "93 1 4")
}

// TestCreditTwinExpiry: an expired grant loses what is not reserved, and the rest when it
// comes back.
func TestCreditTwinExpiry(t *testing.T) {
	d := newCreditDesk(t)
	d.gift("p", "promo", "10", 1, 90*time.Second, Scope{})
	d.noted("grant.expiring")
	d.done(d.hold("h", "key", "4"))
	c := d.usage("key", "api.calls", "", 1)
	d.done(d.event(c))
	d.wait(30 * time.Second)
	d.done(d.operate(&creditOp{kind: ExtendHold, hold: "h", id: "x", ttl: time.Hour}))
	d.wait(60 * time.Second)
	d.grantsAre("4:expired")
	d.is("org", "4 4 0")
	d.classIs("promo_expense", "-6")
	d.done(d.catch("h", d.usage("key", "api.calls", "", 1)))
	d.grantsAre("0:expired")
	d.classIs("promo_expense", "-4")
	d.done(d.void(VoidSpec{Source: "s", Event: c.id, ID: "v"}))
	d.classIs("promo_expense", "-2")
	d.is("org", "0 0 0")
	d.no(d.grant(GrantSpec{ID: "late", Account: "org", Amount: amount(t, "1"), Kind: "promo", Expires: time.Unix(0, d.now)}), "invalid grant_expired")
}

// TestCreditTwinAbandoned: a hold that runs out is captured with what was reported last.
func TestCreditTwinAbandoned(t *testing.T) {
	d := newCreditDesk(t)
	d.pay("org", "10")
	d.done(d.putSettings(SettingsSpec{Account: "org", Excess: "cap", Abandoned: "capture"}))
	d.done(d.hold("a", "key", "5"))
	d.done(d.hold("b", "key", "5"))
	d.done(d.operate(&creditOp{kind: ExtendHold, hold: "a", id: "x1", event: d.usage("key", "api.calls", "", 1)}))
	d.done(d.operate(&creditOp{kind: ExtendHold, hold: "a", id: "x2", event: d.usage("key", "api.calls", "", 2)}))
	d.wait(time.Minute + time.Second)
	d.is("key", "6 0 6")
	d.noted("hold.expired")
	d.classIs("revenue", "4")
}

// TestCreditTwinMoney: refunds, moves, collections.
func TestCreditTwinMoney(t *testing.T) {
	d := newCreditDesk(t)
	d.done(d.createAccount(AccountSpec{ID: "org2", Currency: usd(), Kind: "customer", Billing: "prepaid", Owner: "o"}))
	d.pay("org", "10")
	d.done(d.hold("h", "key", "4"))
	d.no(d.refund(RefundSpec{ID: "r", Account: "org", Amount: amount(t, "6.01")}), "org  6.01 6")
	d.done(d.refund(RefundSpec{ID: "r", Account: "org", Amount: amount(t, "1")}))
	d.done(d.event(d.usage("org2", "api.calls", "", 1)))
	d.no(d.move(MoveSpec{ID: "m", From: "org", To: "org2", Amount: amount(t, "6")}), "org  6 5")
	d.done(d.move(MoveSpec{ID: "m", From: "org", To: "org2", Amount: amount(t, "5")}))
	d.is("org", "4 4 0")
	d.is("org2", "3 0 3")
	d.done(d.event(d.usage("org2", "chat", "m1", 2)))
	d.is("org2", "-3 0 -3")
	d.closeWindow()
	d.is("org2", "0 0 -3")
	d.classIs("in_transit", "2.4") // 3 collected, 5.4 paid to prov
	d.no(d.putLimits(LimitsSpec{Account: "org", SetOverdraft: true, Limits: []LimitSpec{{}}}), "invalid ")
	two := amount(t, "2")
	d.done(d.putLimits(LimitsSpec{Account: "org2", SetOverdraft: true, Overdraft: &two})) // 3 are used, but it is raised
	d.is("org2", "0 0 -1")
	d.done(d.putLimits(LimitsSpec{Account: "org2", SetOverdraft: true}))
	d.is("org2", "0 0 none")
	d.no(d.putLimits(LimitsSpec{Account: "org2", SetOverdraft: true, Overdraft: &two}), "invalid limit_below_spent")
}

// TestCreditTwinTree: who may be whose child, allotments, statuses.
func TestCreditTwinTree(t *testing.T) {
	d := newCreditDesk(t)
	child := func(id, parent string) creditAnswer {
		return d.createAccount(AccountSpec{ID: id, Currency: usd(), Kind: "customer", Parent: parent})
	}
	d.no(child("x", "x"), "invalid parent_cycle")
	d.no(child("org", "key"), "invalid parent_cycle")
	d.no(child("x", "nobody"), "not_found unknown_account")
	d.no(child("x", "prov"), "invalid not_a_customer")
	parent := "key"
	for n := 4; n <= 8; n++ {
		d.done(child(fmt.Sprint("n", n), parent))
		parent = fmt.Sprint("n", n)
	}
	d.no(child("n9", parent), "invalid tree_too_deep")
	pool := creditCap(t, "pool", "month", "soft", "10", Scope{})
	d.done(d.limit("org", pool))
	seat := func(sum string) LimitSpec {
		l := creditCap(t, "seat", "month", "hard", sum, Scope{})
		l.Allotment = true
		return l
	}
	d.done(d.limit("team", seat("6")))
	d.done(child("team2", "org"))
	d.no(d.limit("team2", seat("5")), "invalid pool_exceeded")
	d.done(d.limit("team2", seat("4")))
	d.no(d.limit("org"), "invalid pool_exceeded")
	d.done(d.setStatus(StatusSpec{ID: "s1", Account: "team", Action: "freeze", Reason: "late"}))
	d.noted("account.suspended")
	d.no(d.hold("h", "key", "1"), "forbidden account_frozen")
	d.no(d.setStatus(StatusSpec{ID: "s2", Account: "org", Action: "close"}), "account_conflict open_children")
	d.done(d.setStatus(StatusSpec{ID: "s2", Account: "team2", Action: "close"}))
	d.no(d.setStatus(StatusSpec{ID: "s3", Account: "team2", Action: "resume"}), "account_conflict account_closed")
	d.no(d.hold("h", "team2", "1"), "account_conflict account_closed")
}
