package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"farthing/money"
	"farthing/refusal"
)

// What everything looks like, as text: the twin's and the engine's have to be the same.

// compare compares everything: every account, grant, limit, open hold, subscription, request,
// setting, class and notification. Of the holds that ended it takes the last few, at times all.
func (r *creditRig) compare(after string) {
	r.t.Helper()
	if r.e == nil {
		r.m.check(r.t)
		return
	}
	r.learnNames()
	holds := r.m.someHolds(false)
	if r.rng.IntN(10) == 0 {
		holds = r.m.someHolds(true)
		defer func() { r.last = "" }() // it shows more than the next one will
	}
	want := r.m.check(r.t) + r.m.text(holds)
	got := r.text(holds)
	if want != got {
		r.t.Fatalf("after %s (now %s): − the twin, + the engine\n%s", after, creditTime(r.m.now), creditDiff(want, got))
	}
	r.last = got
	r.compareNotes(after)
}

func creditOf(a *money.Amount) string {
	if a == nil {
		return creditNone
	}
	return a.String()
}

func creditTime(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }

func creditTimeOf(t time.Time) string {
	if t.IsZero() {
		return creditNone
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// someHolds names the holds to compare: all open ones, and of the others the last twenty.
func (m *creditTwin) someHolds(all bool) (out []string) {
	for i, id := range m.holdIDs {
		if all || m.holds[id].state == Held || i+20 >= len(m.holdIDs) {
			out = append(out, id)
		}
	}
	return out
}

// check checks the twin itself: nothing below zero, nobody with paid credit who owes, and all
// that is there in a currency comes to nothing.
func (m *creditTwin) check(t testing.TB) string {
	t.Helper()
	sums := map[string]decimal.Decimal{}
	for _, id := range m.names {
		a := m.accounts[id]
		if a.paid.IsNegative() || (a.due.IsNegative() && a.spec.Kind == "customer") || (a.paid.IsPositive() && a.due.IsPositive()) {
			t.Fatalf("account %s: paid %s, due %s", id, a.paid, a.due)
		}
		sums[a.code()] = sums[a.code()].Add(m.posted(a))
	}
	for _, g := range m.grants {
		if g.remaining.LessThan(m.heldOn(g)) || g.lost.IsNegative() {
			t.Fatalf("grant %s: %s remain, %s are held, %s are lost", g.id, g.remaining, m.heldOn(g), g.lost)
		}
	}
	for code, classes := range m.classes {
		for _, sum := range classes {
			sums[code] = sums[code].Add(sum)
		}
	}
	for code, sum := range sums {
		if !sum.IsZero() {
			t.Fatalf("%s does not come to nothing: %s", code, sum)
		}
	}
	return ""
}

// text is how everything stands in the twin.
func (m *creditTwin) text(holds []string) string {
	var out strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	for _, id := range m.names {
		a := m.accounts[id]
		posted := m.posted(a)
		if a.parent != nil {
			posted = decimal.Zero
		}
		line("account %s %s posted %s held %s available %s", id, a.state, posted, m.held(a), creditOptional(m.available(a)))
		if a.spec.Kind != "customer" {
			continue
		}
		for _, l := range a.limits {
			line("limit %s/%s", id, m.limitText(a, l))
		}
		if a.parent != nil {
			continue
		}
		line("root %s overdraft %s settings %s", id, creditOptional(a.overdraft), a.settings.text())
		for i, g := range m.grantsOf(a) {
			line("grant %s %d %s priority %d expires %s of %s: %s used %s remain %s held %s lost %s %s", id, i, g.kind, g.priority, creditExpiry(g.expires), g.subID(),
				g.amount, g.amount.Sub(g.remaining).Sub(g.lost), g.remaining, m.heldOn(g), g.lost, m.stateOf(g))
		}
		for _, q := range m.requests {
			if q.account == a {
				line("request %s %s by %s %s %s", id, q.amount, q.by, q.state, q.topUp)
			}
		}
		for _, s := range m.subs {
			if s.account == a {
				line("subscription %s", s.text())
			}
		}
	}
	for _, id := range holds {
		line("hold %s", m.holdText(m.holds[id]))
	}
	m.classText(line)
	return out.String()
}

func creditExpiry(ns int64) string {
	if ns == 0 {
		return creditNone
	}
	return creditTime(ns)
}

func (g *creditGrant) subID() string {
	if g.sub == nil {
		return ""
	}
	return g.sub.spec.ID
}

func (m *creditTwin) limitText(a *creditAccount, l *creditLimit) string {
	m.roll(l)
	recent := slices.Clone(l.recent)
	slices.Reverse(recent) // the last one first
	return fmt.Sprintf("%s period %s spent %s held %s calls %d passed %v would %d %s", creditText(l.spec), creditExpiry(l.period),
		l.paid, m.heldUnder(a, l, nil), m.callsOf(a, l), m.passed(a, l), l.would, recent)
}

func (s *creditSub) text() string {
	out := fmt.Sprintf("%s %s %d anchor %d %s credited %s", s.spec.ID, s.state, s.n, s.spec.Anchor, creditText(s.plan), s.credited)
	if s.n > 0 {
		out += fmt.Sprintf(" %s to %s", creditTime(s.start), creditTime(s.end))
	}
	if s.pending != nil {
		out += " then " + creditText(*s.pending)
	}
	return out
}

// holdText shows a hold; its reservation while it is open.
// One that is due is expired, even if nobody has done so yet.
func (m *creditTwin) holdText(h *creditHold) string {
	state := h.state
	if state == Held && m.now >= h.due {
		state = HoldExpired
	}
	out := fmt.Sprintf("%s of %s %s amount %s charged %s released %s lost %s expires %s extended %d event %s", h.id, h.account.spec.ID, state,
		h.amount, h.charged, h.released, h.lost, creditTime(h.due), h.ext, h.event)
	if state == Held {
		var parts []string
		for _, p := range h.parts {
			id := p.grant.id
			if id == "" {
				id = fmt.Sprintf("@grant %d", slices.Index(m.grants, p.grant))
			}
			parts = append(parts, id+":"+p.amount.String())
		}
		slices.Sort(parts)
		out += fmt.Sprint(" ", parts)
	}
	if h.state != HoldDenied {
		out += fmt.Sprintf(" would %s", h.would)
	}
	if h.short != nil {
		out += fmt.Sprintf(" %s %s %s %s", h.short.account, h.short.limit, h.short.asked, decimal.Max(decimal.Zero, h.short.left))
	}
	return out
}

func (m *creditTwin) classText(line func(string, ...any)) {
	sums := map[string]decimal.Decimal{}
	add := func(code, class string, amount decimal.Decimal) {
		sums[code+" "+class] = sums[code+" "+class].Add(amount)
	}
	for _, id := range m.names {
		a := m.accounts[id]
		if a.spec.Kind == "provider" {
			add(a.code(), "payable", a.due)
			continue
		}
		add(a.code(), "paid", a.paid)
		add(a.code(), "receivable", a.due.Neg())
		for _, g := range m.grantsOf(a) {
			add(a.code(), g.kind+"_grants", g.remaining)
		}
	}
	for code, classes := range m.classes {
		for class, sum := range classes {
			add(code, class, sum)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		if !sums[name].IsZero() {
			line("class %s %s", name, sums[name])
		}
	}
}

// creditMust unwraps a read that may not be refused.
func creditMust[T any](r *creditRig, v T, no *refusal.Refusal) T {
	r.t.Helper()
	if no != nil {
		r.t.Fatal(no)
	}
	return v
}

// creditAll reads a list to its end in small pages.
func creditAll[T any](r *creditRig, read func(account, cursor string, limit int) (Page[T], *refusal.Refusal), account string) (out []T) {
	r.t.Helper()
	for cursor := ""; ; {
		page, no := read(account, cursor, 7)
		if no != nil {
			r.t.Fatal(no)
		}
		out = append(out, page.Items...)
		if cursor = page.Next; cursor == "" {
			return out
		}
	}
}

// learnNames finds out what the engine called what the twin has no names for.
func (r *creditRig) learnNames() {
	r.t.Helper()
	for _, id := range r.m.names {
		a := r.m.accounts[id]
		if a.parent != nil || a.spec.Kind != "customer" {
			continue
		}
		grants, want := creditAll(r, r.e.Grants, id), r.m.grantsOf(a)
		for i := range min(len(grants), len(want)) {
			if want[i].id == "" {
				r.names[grants[i].ID] = fmt.Sprintf("@grant %d", slices.Index(r.m.grants, want[i]))
			} else if want[i].id != grants[i].ID {
				r.t.Fatalf("grant %d of %s is %s, the twin has %s", i, id, grants[i].ID, want[i].id)
			}
		}
		n := 0
		list := creditAll(r, r.e.TopUpRequests, id)
		for i, q := range r.m.requests {
			if q.account == a && n < len(list) {
				r.names[list[n].ID] = fmt.Sprintf("@request %d", i)
				n++
			}
		}
	}
}

// name is what the twin calls an id.
func (r *creditRig) name(id string) string {
	if known, ok := r.names[id]; ok {
		return known
	}
	return id
}

// text is how everything stands in the engine.
func (r *creditRig) text(holds []string) string {
	r.t.Helper()
	var out strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	for _, id := range r.m.names {
		account, no := r.e.Account(id)
		a := creditMust(r, account, no)
		line("account %s %s posted %s held %s available %s", id, a.State, a.Posted, a.Held, creditOf(a.Available))
		if a.Spec.Kind != "customer" {
			continue
		}
		limits, no := r.e.Limits(id)
		for _, l := range creditMust(r, limits, no).Limits {
			line("limit %s/%s period %s spent %s held %s calls %d passed %v would %d %s", id, creditText(l.LimitSpec), creditTimeOf(l.Period), l.Spent, l.Held,
				l.Calls, l.Passed, l.WouldRefuse, l.Recent)
		}
		if a.Root == "" || a.Root == id {
			r.rootText(&a, line)
		}
	}
	for _, id := range holds {
		view, no := r.e.Hold(id)
		line("hold %s", r.holdText(creditMust(r, view, no)))
	}
	r.classText(line)
	return out.String()
}

func (r *creditRig) rootText(a *Account, line func(string, ...any)) {
	r.t.Helper()
	id := a.Spec.ID
	settings, no := r.e.Settings(id)
	s := creditMust(r, settings, no)
	shown := creditSettings{excess: s.Excess, excessLimit: s.ExcessLimit.Decimal(), abandoned: s.Abandoned, warning: s.GrantWarning, topUp: s.AutoTopUp}
	if s.CreditLow != nil {
		low := s.CreditLow.Decimal()
		shown.low = &low
	}
	line("root %s overdraft %s settings %s", id, creditOf(a.Overdraft), shown.text())
	for i, g := range creditAll(r, r.e.Grants, id) {
		line("grant %s %d %s priority %d expires %s of %s: %s used %s remain %s held %s lost %s %s", id, i, g.Kind, g.Priority, creditTimeOf(g.Expires), g.Subscription,
			g.Amount, g.Used, g.Remaining, g.Held, g.Expired, g.State)
	}
	for _, q := range creditAll(r, r.e.TopUpRequests, id) {
		line("request %s %s by %s %s %s", id, q.Amount, q.By, q.State, q.TopUp)
	}
	for _, s := range creditAll(r, r.e.Subscriptions, id) {
		text := fmt.Sprintf("%s %s %d anchor %d %s credited %s", s.ID, s.State, s.PeriodNumber, s.Anchor, creditText(s.Plan), s.Credited)
		if s.PeriodNumber > 0 {
			text += fmt.Sprintf(" %s to %s", creditTimeOf(s.PeriodStart), creditTimeOf(s.PeriodEnd))
		}
		if s.Next != nil {
			text += " then " + creditText(*s.Next)
		}
		line("subscription %s", text)
	}
}

func (r *creditRig) holdText(h HoldView) string {
	out := fmt.Sprintf("%s of %s %s amount %s charged %s released %s lost %s expires %s extended %d event %s", h.ID, h.Account, h.State, h.Amount,
		h.Charged, h.Released, h.Lost, creditTimeOf(h.Expires), len(h.Extensions), h.Event)
	if h.State == Held {
		var parts []string
		for _, p := range h.Grants {
			parts = append(parts, r.name(p.Grant)+":"+p.Amount.String())
		}
		slices.Sort(parts)
		out += fmt.Sprint(" ", parts)
	}
	if h.State != HoldDenied {
		out += fmt.Sprintf(" would %s", h.WouldRefuse)
	}
	if s := h.Refused; s != nil {
		out += fmt.Sprintf(" %s %s %s %s", s.Account, s.Limit, s.Asked, decimal.Max(decimal.Zero, decimal.RequireFromString(s.Left)))
	}
	return out
}

func (r *creditRig) classText(line func(string, ...any)) {
	r.t.Helper()
	books, no := r.e.TrialBalance()
	var lines []string
	for _, b := range creditMust(r, books, no) {
		if b.Debits != b.Credits {
			r.t.Fatalf("%s: debits %s, credits %s", b.Currency, b.Debits, b.Credits)
		}
		for _, c := range b.Classes {
			if net := c.Credits.MustSub(c.Debits); !net.IsZero() {
				lines = append(lines, fmt.Sprintf("%s %s %s", b.Currency, c.Class, net))
			}
		}
	}
	slices.Sort(lines)
	for _, l := range lines {
		line("class %s", l)
	}
}

// compareNotes compares the notifications since the last look, and that they are numbered
// without a gap.
func (r *creditRig) compareNotes(after string) {
	r.t.Helper()
	want := r.m.notes[r.notesSeen:]
	list, no := r.e.Notifications(uint64(r.notesSeen), len(want)+10)
	got := creditMust(r, list, no)
	for i := range max(len(want), len(got)) {
		var is, has string
		if i < len(got) {
			n := &got[i]
			is = fmt.Sprintf("%d %s of %s at %s: %v", n.Number, n.Type, n.Account, creditTimeOf(n.Time), r.noteData(n.Data))
		}
		if i < len(want) {
			n := &want[i]
			has = fmt.Sprintf("%d %s of %s at %s: %v", r.notesSeen+i+1, n.kind, n.account, creditTime(n.at), n.data)
		}
		if is != has {
			r.t.Fatalf("after %s: notified\n%s\nthe twin has\n%s", after, is, has)
		}
	}
	r.notesSeen = len(r.m.notes)
}

// noteData reads a notification's data, with names as the twin has them.
func (r *creditRig) noteData(data []byte) creditData {
	r.t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var fields map[string]any
	if err := d.Decode(&fields); err != nil {
		r.t.Fatalf("%s: %v", data, err)
	}
	out := creditData{}
	for key, v := range fields {
		if v == nil {
			v = creditNone
		}
		out[key] = r.name(fmt.Sprint(v))
	}
	return out
}
