package engine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"farthing/batch"
	"farthing/internal/soak"
	"farthing/money"
	"farthing/refusal"
)

// moneyBook prices what makes money hard to follow: counted components, a volume price that
// makes events give back, fees, prices without a payee.
const moneyBook = `{"effective_from":%q,"prices":[
 {"meter":"flat","currency":%[2]q,"match":{},"components":{"u":%[3]q},"payee":"prov-%[2]s","fee":"0.333333333333333333"},
 {"meter":"flat","currency":%[2]q,"match":{"model":"own"},"components":{"u":%[3]q}},
 {"meter":"steps","currency":%[2]q,"match":{},"components":{"u":{"included":"5","unit":%[3]q}},"payee":"prov-%[2]s","fee":"0.1"},
 {"meter":"volume","currency":%[2]q,"match":{},"components":{"u":{"volume":[{"up_to":"20","unit":"2"},{"unit":%[3]q}]}}}%[4]s]}`

const moneyLate = `,{"meter":"late","currency":%q,"match":{},"components":{"u":"0.75"},"payee":"prov-%[1]s","fee":"0.5"}`

// moneyWorld does random things in one currency, without a twin: what has to hold holds
// whatever was refused.
type moneyWorld struct {
	*planRig
	rng    *rand.Rand
	code   string
	roots  []string
	all    []string
	n      int
	events []string
	open   []string
}

func (w *moneyWorld) id(kind string) string { w.n++; return fmt.Sprint(kind, w.n) }

func (w *moneyWorld) of(list []string) string { return list[w.rng.IntN(len(list))] }

func (w *moneyWorld) sum(most int) money.Amount {
	text := fmt.Sprint(1 + w.rng.IntN(most))
	if w.rng.IntN(3) == 0 {
		text += fmt.Sprintf(".%018d", w.rng.Int64N(1e18))
	}
	return amount(w.t, text)
}

func (w *moneyWorld) create(spec AccountSpec) {
	w.t.Helper()
	spec.Currency = currencyOf(w.code)
	if _, _, no := w.e.CreateAccount(spec); no != nil {
		w.t.Fatal(no)
	}
	if spec.Kind == "provider" {
		return
	}
	w.all = append(w.all, spec.ID)
	if spec.Parent == "" {
		w.roots = append(w.roots, spec.ID)
	}
}

func (w *moneyWorld) event() *call {
	c := &call{source: "s", id: w.id("e"), subject: w.of(w.all), kind: w.of([]string{"flat", "flat", "steps", "volume", "late"}),
		usage: [][2]string{{"u", fmt.Sprint(w.rng.IntN(12))}}}
	if w.rng.IntN(2) == 0 {
		c.dims = [][2]string{{"model", "own"}}
	}
	return c
}

func (w *moneyWorld) usage() {
	c := w.event()
	if w.post(*c).Accepted == 1 {
		w.events = append(w.events, c.id)
	}
}

func (w *moneyWorld) hold() {
	op := &creditOp{kind: PlaceHold, hold: w.id("h"), account: w.of(w.all), ttl: time.Duration(1+w.rng.IntN(4000)) * time.Second, amount: w.sum(12).String()}
	if w.rng.IntN(2) == 0 {
		op.event, op.amount = w.event(), ""
		op.event.subject = op.account
	}
	if creditOperate(w.t, w.e, []*creditOp{op})[0].Refusal == nil {
		w.open = append(w.open, op.hold+" "+op.account)
	}
}

func (w *moneyWorld) endHold() {
	if len(w.open) == 0 {
		return
	}
	i := w.rng.IntN(len(w.open))
	hold, account, _ := strings.Cut(w.open[i], " ")
	op := &creditOp{kind: CaptureHold, hold: hold}
	switch w.rng.IntN(6) {
	case 0:
		op.kind = VoidHold
	case 1:
		op.amount = w.sum(20).String()
	case 2:
		op.kind, op.id, op.amount = ExtendHold, w.id("x"), w.sum(5).String()
	default:
		op.event = w.event()
		op.event.subject = account
	}
	got := creditOperate(w.t, w.e, []*creditOp{op})[0]
	if got.Refusal == nil && op.event != nil {
		w.events = append(w.events, op.event.id)
	}
	if op.kind != ExtendHold {
		w.open = append(w.open[:i], w.open[i+1:]...)
	}
}

// step does one thing; what is refused is refused.
func (w *moneyWorld) step() {
	e, root, sum := w.e, w.of(w.roots), w.sum(30)
	switch w.rng.IntN(17) {
	case 0:
		_, _, _ = e.TopUp(TopUp{ID: w.id("t"), Account: root, Amount: sum})
	case 1, 2:
		g := GrantSpec{ID: w.id("g"), Account: root, Kind: w.of([]string{"paid", "promo", "subscription"}), Amount: sum, Priority: uint32(w.rng.IntN(3))}
		if w.rng.IntN(3) > 0 {
			g.Expires = time.Unix(0, w.now.Load()+w.rng.Int64N(int64(20*day))+1)
		}
		if w.rng.IntN(3) == 0 {
			g.Scope = Scope{Types: []string{"flat"}}
		}
		_, _, _ = e.Grant(g)
	case 3:
		_, _, _ = e.Refund(RefundSpec{ID: w.id("r"), Account: root, Amount: sum})
		_, _, _ = e.Refund(RefundSpec{ID: w.id("r"), Account: root, Amount: sum, Grant: fmt.Sprint("g", w.rng.IntN(w.n+1))})
	case 4:
		_, _, _ = e.Move(MoveSpec{ID: w.id("m"), From: root, To: w.of(w.roots), Amount: sum})
	case 5:
		_, _, _ = e.Subscribe(SubscriptionSpec{ID: w.id("sub"), Account: root, Period: w.of([]string{"day", "week", "month"}),
			Plan: planOf(w.t, w.of([]string{"allowance 10 price 5", "allowance 7.5 price 0.01 max 9 periods 2", "price 3", "allowance 4"}))})
	case 6:
		p, c := w.sum(10), SubscriptionChange{ID: w.id("c"), Subscription: fmt.Sprint("sub", w.rng.IntN(w.n+1)), Cancel: w.rng.IntN(2) == 0, Now: w.rng.IntN(3) > 0}
		if !c.Cancel {
			c.Price = &p
		}
		_, _, _ = e.ChangeSubscription(c)
	case 7:
		if len(w.events) > 0 {
			_, _, _ = e.Void(VoidSpec{ID: w.id("v"), Source: "s", Event: w.of(w.events)})
		}
	case 8:
		if w.rng.IntN(2) == 0 {
			w.settle(w.id("w"))
		}
	case 9:
		w.now.Add(1 + w.rng.Int64N(int64([]time.Duration{time.Second, time.Hour, 3 * day, 20 * day}[w.rng.IntN(4)])))
		w.catch()
	case 10:
		_, _, _ = e.PutSettings(SettingsSpec{Account: root, Excess: w.of([]string{"cap", "cap", "allow"}), Abandoned: "capture", AutoTopUp: &AutoTopUp{Threshold: w.sum(9), Amount: w.sum(3), MaxPerDay: 3}})
		if page, no := e.TopUpRequests(root, "", 1000); no == nil {
			for _, q := range page.Items {
				_, _, _ = e.ReplyTopUp(TopUpReplySpec{ID: w.id("a"), Request: q.ID, Paid: w.rng.IntN(2) == 0})
			}
		}
	case 11, 12:
		w.hold()
	case 13, 14:
		w.endHold()
	default:
		w.usage()
	}
}

// check compares what was booked with all that shows it.
func (w *moneyWorld) check() {
	w.t.Helper()
	var operator, moved money.Amount
	charged := map[string]money.Amount{}
	for _, id := range append([]string{"prov-" + w.code}, w.roots...) {
		sum, byGrant := money.Amount{}, map[string]money.Amount{}
		for _, x := range w.statement(id) {
			sum = sum.MustAdd(x.Amount)
			byGrant[x.Grant] = byGrant[x.Grant].MustAdd(x.Amount)
			if strings.HasPrefix(id, "root") && x.Event != "" {
				charged[x.Event] = charged[x.Event].MustSub(x.Amount)
			}
		}
		if posted := w.posted(id); sum.String() != posted {
			w.t.Fatalf("the statement of %s comes to %s, posted is %s", id, sum, posted)
		}
		moved = moved.MustAdd(sum)
		if strings.HasPrefix(id, "root") {
			w.checkGrants(id, byGrant)
		}
	}
	for _, x := range w.statement("operator") {
		operator = operator.MustAdd(x.Amount)
	}
	if operator != moved.Neg() {
		w.t.Fatalf("the operator's statement comes to %s, those of the others to %s", operator, moved)
	}
	for _, id := range w.events {
		w.checkEvent(id, charged[id])
	}
	w.checkLines()
}

func (w *moneyWorld) statement(id string) []Transfer {
	w.t.Helper()
	return creditAll(&creditRig{t: w.t}, w.e.Transfers, id)
}

func (w *moneyWorld) checkGrants(id string, byGrant map[string]money.Amount) {
	w.t.Helper()
	held := money.Amount{}
	for _, g := range creditAll(&creditRig{t: w.t}, w.e.Grants, id) {
		if byGrant[g.ID] != g.Remaining || g.Remaining.Cmp(g.Held) < 0 || g.Held.Sign() < 0 {
			w.t.Fatalf("grant %s has %s left, %s held; its statement comes to %s", g.ID, g.Remaining, g.Held, byGrant[g.ID])
		}
		if g.State == "expired" && g.Remaining != g.Held {
			w.t.Fatalf("grant %s has expired and has %s left, %s held", g.ID, g.Remaining, g.Held)
		}
		held = held.MustAdd(g.Held)
	}
	if a, no := w.e.Account(id); no != nil || a.Held.Cmp(held) < 0 {
		w.t.Fatalf("%v: account %s holds %s, its grants %s", no, id, a.Held, held)
	}
}

// checkEvent adds the transfers of an event's explanation up, and compares its net with the
// statement's.
func (w *moneyWorld) checkEvent(id string, charged money.Amount) {
	w.t.Helper()
	ev, no := w.e.Event("s", id)
	if no != nil {
		w.t.Fatal(no)
	}
	ratings := []*Rating{ev.Rating}
	for _, c := range ev.Corrections {
		ratings = append(ratings, c.Back, c.New)
	}
	for _, r := range ratings {
		if r == nil {
			continue
		}
		sum, fee := money.Amount{}, money.Amount{}
		for _, x := range r.Transfers {
			sum = sum.MustAdd(x.Amount)
			if strings.HasSuffix(x.Reason, "fee") {
				fee = fee.MustAdd(x.Amount)
			}
		}
		if sum != r.Amount.Abs() || fee != r.Fee.Abs() {
			w.t.Fatalf("event %s: transfers of %s, fees of %s: rated %s, fee %s\n%+v", id, sum, fee, r.Amount, r.Fee, r.Transfers)
		}
	}
	if ev.Net != charged {
		w.t.Fatalf("event %s: net %s, the payer's statement has %s", id, ev.Net, charged)
	}
}

// checkLines settles, and reads all lines there are: after one, what an account has is what it
// carries on.
func (w *moneyWorld) checkLines() {
	w.t.Helper()
	w.settle(w.id("w"))
	collected, last := money.Amount{}, map[string]money.Amount{}
	for _, b := range creditAll(&creditRig{t: w.t}, func(_, cursor string, limit int) (Page[Batch], *refusal.Refusal) {
		return w.e.Settlements(cursor, limit)
	}, "") {
		var debits, credits money.Amount
		for cursor := ""; ; {
			page, no := w.e.Lines(b.BatchID, cursor, 1000)
			if no != nil {
				w.t.Fatal(no)
			}
			for _, raw := range page.Items {
				_, l, err := batch.ParseLine(raw)
				if err != nil || l.CarriedIn != last[l.Account] {
					w.t.Fatalf("%v: %s carries %s in, carried %s out", err, l.Account, l.CarriedIn, last[l.Account])
				}
				debits, credits, last[l.Account] = debits.MustAdd(l.GrossDebits), credits.MustAdd(l.GrossCredits), l.CarriedOut
				collected = collected.MustSub(l.Signed())
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if debits != credits {
			w.t.Fatalf("batch %s: gross debits %s, gross credits %s", b.BatchID, debits, credits)
		}
	}
	for id, carried := range last {
		if id == "operator" {
			a, no := w.e.Account(id)
			if no != nil {
				w.t.Fatal(no)
			}
			for _, item := range a.Items {
				if item.Currency.Code() == w.code && item.Posted != carried.MustSub(collected) {
					w.t.Fatalf("the operator carries %s, collected %s, posted %s", carried, collected, item.Posted)
				}
			}
		} else if w.posted(id) != carried.String() {
			w.t.Fatalf("%s carries %s, posted %s", id, carried, w.posted(id))
		}
	}
}

// TestMoneyAddsUp does random things in currencies of 2, 0 and 3 digits, among them events that
// are rated late and anew.
func TestMoneyAddsUp(t *testing.T) {
	seed := rand.Uint64()
	if *creditSeed != 0 {
		seed = *creditSeed
	}
	t.Logf("seed %d", seed)
	for i, code := range []string{"USD", "JPY", "KWD"} {
		t.Run(code, func(t *testing.T) { moneySimulation(t, rand.New(rand.NewPCG(seed, uint64(i))), code) })
	}
}

func moneySimulation(t *testing.T, rng *rand.Rand, code string) {
	w := &moneyWorld{planRig: newPlanRig(t, "2026-01-20T10:30"), rng: rng, code: code}
	w.o.DedupWindow = 400 * day
	w.create(AccountSpec{ID: "prov-" + code, Kind: "provider", MinimumPayout: w.sum(30)})
	limit := w.sum(20)
	w.create(AccountSpec{ID: "root1", Kind: "customer", Billing: "prepaid", Owner: "o"})
	w.create(AccountSpec{ID: "root2", Kind: "customer", Billing: "postpaid", OverdraftLimit: &limit, Owner: "o"})
	w.create(AccountSpec{ID: "root3", Kind: "customer", Billing: "postpaid"})
	w.create(AccountSpec{ID: "child1", Kind: "customer", Parent: "root1"})
	w.create(AccountSpec{ID: "child2", Kind: "customer", Parent: "child1"})
	w.prices("v1", fmt.Sprintf(moneyBook, "2025-01-01T00:00:00Z", code, "1.000000000000000007", ""))
	for i := range soak.Pick(2, 8) {
		for range 120 {
			w.step()
		}
		w.check()
		id := fmt.Sprint("late", i)
		w.prices(id, fmt.Sprintf(moneyBook, fmt.Sprintf("2026-01-0%dT00:00:00Z", i+1), code, fmt.Sprintf("%d.3", rng.IntN(2)+1), fmt.Sprintf(moneyLate, code)))
		w.e.repriced()
		if _, _, no := w.e.Rerate(RerateSpec{ID: w.id("rr"), Version: id}); no != nil {
			t.Fatal(no)
		}
		w.e.repriced()
		w.check()
		if i == 1 {
			w.reopen()
			w.check()
		}
	}
}
