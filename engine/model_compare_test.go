package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"farthing/ledger"
	"farthing/money"
)

// compareRating compares everything about rating that the engine shows. Events and accounts
// are a sample where there are many: each is read on its own.
func (m *model) compareRating(e *Engine) {
	m.t.Helper()
	m.compareEvents(e, 150)
	m.compareUnpriced(e)
	m.compareVoids(e, 40)
	sample := map[string]*modelAccount{}
	for id, a := range m.accounts {
		if len(sample) == 120 {
			break
		}
		sample[id] = a
	}
	m.compareUsage(e, sample)
	m.compareStatements(e, sample)
	for id, j := range m.rerates {
		m.compareRerate(e, id, j)
	}
}

// compareEvents compares the events' whole accounts, those that were changed first.
func (m *model) compareEvents(e *Engine, limit int) {
	m.t.Helper()
	list := slices.Clone(m.order)
	slices.SortStableFunc(list, func(a, b *modelEvent) int {
		return cmp.Or(cmp.Compare(len(b.changes), len(a.changes)), cmp.Compare(b.seq, a.seq))
	})
	for _, want := range list[:min(limit, len(list))] {
		got, refused := e.Event(want.source, want.id)
		if refused != nil {
			m.t.Fatalf("event %s: %v", want.id, refused)
		}
		if why := m.eventDiffers(e, want, &got); why != "" {
			m.t.Fatalf("event %s\nis shown as %+v\n%s", want.text(), got, why)
		}
	}
}

func (m *model) eventDiffers(e *Engine, want *modelEvent, got *Event) string {
	first := "" // an unpriced event keeps its first reason
	if want.reason != "" {
		first = want.reason
	}
	if got.State != want.state || got.Sequence != want.seq || got.Subject != want.subject || got.Time.UnixNano() != want.at || got.Reason != first ||
		!got.Net.Decimal().Equal(want.net()) {
		return fmt.Sprintf("state %s, reason %q, net %s", want.state, first, want.net())
	}
	if why := m.ratingDiffers(e, want, want.first, got.Rating); why != "" {
		return "first rating: " + why
	}
	if len(got.Corrections) != len(want.changes) {
		return fmt.Sprintf("%d corrections, the model has %d", len(got.Corrections), len(want.changes))
	}
	for i, c := range want.changes {
		g := &got.Corrections[i]
		if g.Kind != c.kind || g.ID != c.id {
			return fmt.Sprintf("correction %d is %s %s, the model has %s %s", i, g.Kind, g.ID, c.kind, c.id)
		}
		if why := m.ratingDiffers(e, want, c.back, g.Back); why != "" {
			return fmt.Sprintf("correction %d, taken back: %s", i, why)
		}
		if why := m.ratingDiffers(e, want, c.new, g.New); why != "" {
			return fmt.Sprintf("correction %d, rated anew: %s", i, why)
		}
	}
	return ""
}

// ratingDiffers compares one rating: components add up to the amount, and so do transfers.
func (m *model) ratingDiffers(e *Engine, ev *modelEvent, want *modelRating, got *Rating) string {
	if want == nil || got == nil {
		if want != nil || got != nil {
			return fmt.Sprintf("is there: %v, in the model: %v", got != nil, want != nil)
		}
		return ""
	}
	if got.Sequence != want.seq || got.Version != want.version.id || !got.Amount.Decimal().Equal(want.amount) || !got.Fee.Decimal().Equal(want.fee) ||
		len(got.Components) != len(want.parts) || len(got.Match) != len(want.price.match) {
		return fmt.Sprintf("sequence %d, version %s, amount %s, fee %s, %d components", want.seq, want.version.id, want.amount, want.fee, len(want.parts))
	}
	sum := decimal.Zero
	for _, c := range got.Components {
		sum = sum.Add(c.Amount.Decimal())
		if !c.Amount.Decimal().Equal(want.parts[c.Component]) {
			return fmt.Sprintf("component %s: the model has %s", c.Component, want.parts[c.Component])
		}
		before, counted := want.before[c.Component]
		if counted != (c.Before != nil) || (counted && !number(c.Before.String()).Equal(before)) {
			return fmt.Sprintf("component %s: the model counted %s before", c.Component, before)
		}
		if key := ev.counter(want.price, c.Component, want.counted); counted && !strings.HasSuffix(key, " | "+c.Period) {
			return fmt.Sprintf("component %s counts in %s, in the model as %s", c.Component, c.Period, key)
		}
	}
	if !sum.Equal(want.amount) {
		return "the components do not add up"
	}
	if why := transfersDiffer(ev, want, got.Transfers); why != "" {
		return why
	}
	return m.settlementDiffers(e, ev, want, &got.Settlement)
}

// transfersDiffer checks what moved: the payer's whole, of it from paid credit, the fee.
func transfersDiffer(ev *modelEvent, want *modelRating, got []EventTransfer) string {
	var whole, paid, fee decimal.Decimal
	for _, t := range got {
		amount, class, other := t.Amount.Decimal(), t.DebitClass, t.Credit
		if t.Amount.Sign() < 0 {
			return "a transfer is negative"
		}
		if t.Credit == ev.subject {
			amount, class, other = amount.Neg(), t.CreditClass, t.Debit
		} else if t.Debit != ev.subject {
			return "a transfer is not the payer's"
		}
		whole = whole.Add(amount)
		if class == ledger.Paid.String() {
			paid = paid.Add(amount)
		}
		if strings.HasSuffix(t.Reason, "fee") {
			fee = fee.Add(amount)
		}
		earner := cmp.Or(want.price.payee, ledger.OperatorID)
		if strings.HasSuffix(t.Reason, "fee") {
			earner = ledger.OperatorID
		}
		if other != earner {
			return fmt.Sprintf("a transfer faces %s, in the model %s", other, earner)
		}
	}
	if !whole.Equal(want.amount) || !paid.Equal(want.paid) || !fee.Equal(want.fee) {
		return fmt.Sprintf("transfers come to %s, of it %s with paid credit and a fee of %s; the model has %s, %s, %s", whole, paid, fee, want.amount, want.paid, want.fee)
	}
	return ""
}

func (m *model) settlementDiffers(e *Engine, ev *modelEvent, want *modelRating, got *EventSettlement) string {
	if want.window >= m.window {
		if got.Window != 0 {
			return "it is said to be settled"
		}
		return ""
	}
	if got.Window != want.window {
		return fmt.Sprintf("settled in window %d, in the model in %d", got.Window, want.window)
	}
	line := ""
	for i := range m.batches {
		if b := &m.batches[i]; b.window == want.window && b.currency == ev.code && got.Line > 0 && int(got.Line) <= len(b.lines) {
			line = b.lines[got.Line-1].account
		}
	}
	if line != ev.subject && !want.amount.IsZero() {
		return fmt.Sprintf("its line %d is that of %q", got.Line, line)
	}
	return ""
}

func (m *model) compareUnpriced(e *Engine) {
	m.t.Helper()
	var want, got []string
	for _, ev := range m.order {
		if ev.state == "unpriced" {
			_, now := ev.price(modelCounters{}, m.inForce(ev.at), m.window)
			want = append(want, fmt.Sprintf("%s %s %s %s %s", ev.source, ev.id, ev.subject, ev.reason, cmp.Or(now, "about to be rated")))
		}
	}
	for cursor := ""; ; {
		page, refused := e.Unpriced(cursor, 37)
		if refused != nil {
			m.t.Fatal(refused)
		}
		for _, u := range page.Items {
			got = append(got, fmt.Sprintf("%s %s %s %s %s", u.Source, u.ID, u.Subject, u.Reason, cmp.Or(u.Now, "about to be rated")))
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		m.t.Fatalf("unpriced:\n%s\nthe model has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	sum, refused := e.UnpricedSummary(1 << 20)
	total := uint64(0)
	for _, c := range sum.Counts {
		total += c.Events
	}
	if refused != nil || sum.Events != uint64(len(want)) || total != sum.Events {
		m.t.Fatalf("%d events in all, %d in the counts; the model has %d (%v)", sum.Events, total, len(want), refused)
	}
}

// compareVoids asks for voids again, under their own id and under another one.
func (m *model) compareVoids(e *Engine, limit int) {
	m.t.Helper()
	for id, v := range m.voids {
		if limit--; limit < 0 {
			return
		}
		other := v.spec
		other.ID += "-again"
		for _, spec := range []VoidSpec{v.spec, other} {
			got, created, refused := e.Void(spec)
			if refused != nil || created || got.ID != id || got.Reason != v.spec.Reason || got.Sequence != v.seq || got.Account != v.event.subject ||
				got.Source != v.event.source || got.Event != v.event.id || got.Priced != (v.back != nil) {
				m.t.Fatalf("void %s of %s: %+v, created %v, %v", id, v.event.text(), got, created, refused)
			}
			if v.back == nil {
				if !got.Amount.IsZero() || len(got.Transfers) > 0 {
					m.t.Fatalf("void %s of an event without a rating: %+v", id, got)
				}
			} else if why := transfersDiffer(v.event, v.back, got.Transfers); why != "" || !got.Amount.Decimal().Equal(v.back.amount.Neg()) {
				m.t.Fatalf("void %s: %+v, the model has %s %s", id, got, v.back.amount.Neg(), why)
			}
		}
		if v.spec.Reason += "!"; true {
			if _, _, refused := e.Void(v.spec); refused == nil || refused.Reason != "id_conflict" {
				m.t.Fatalf("void %s with another reason: %v", id, refused)
			}
			v.spec.Reason = strings.TrimSuffix(v.spec.Reason, "!")
		}
	}
}

func (m *model) compareUsage(e *Engine, sample map[string]*modelAccount) {
	m.t.Helper()
	got := map[usageKey]*modelUsage{}
	for id, a := range sample {
		if a.spec.Kind != "customer" {
			continue
		}
		rows, _, refused := e.Usage(id, time.Time{}, time.Time{})
		if refused != nil {
			m.t.Fatal(refused)
		}
		for _, row := range rows {
			key := usageKey{account: id, day: row.Day.Format(time.DateOnly), meter: row.Meter}
			for _, d := range row.Dimensions {
				if d.Key == "model" {
					key.model = d.Value
				}
			}
			for _, c := range row.Components {
				key.component = c.Name
				if got[key] == nil {
					got[key] = &modelUsage{}
				}
				got[key].quantity, got[key].amount = got[key].quantity.Add(number(c.Quantity)), got[key].amount.Add(c.Amount.Decimal())
			}
		}
	}
	for key, want := range m.usage {
		if sample[key.account] == nil {
			continue
		}
		if u := got[key]; u == nil || !u.quantity.Equal(want.quantity) || !u.amount.Equal(want.amount) {
			m.t.Fatalf("usage of %+v: %+v, the model has %+v", key, u, want)
		}
		delete(got, key)
	}
	for key, u := range got {
		m.t.Fatalf("usage of %+v is %+v, the model has none", key, u)
	}
}

// compareStatements checks that what an account's transfers of usage and its corrections
// come to is what its events were charged.
func (m *model) compareStatements(e *Engine, sample map[string]*modelAccount) {
	m.t.Helper()
	for id, a := range sample {
		got, topUps := statement(m.t, e, id)
		posted := a.due // every movement is in the statement
		if a.spec.Kind == "customer" {
			posted = a.paid.Sub(a.due)
		}
		if all := transfersSum(m.t, e, id); !all.Equal(posted) {
			m.t.Fatalf("the transfers of %s come to %s, the model has %s", id, all, posted)
		}
		if !got.Neg().Equal(a.charged) || !topUps.Equal(a.topped) {
			m.t.Fatalf("the transfers of %s for usage come to %s, its top-ups to %s; the model has %s and %s", id, got, topUps, a.charged.Neg(), a.topped)
		}
	}
}

func (m *model) compareRerate(e *Engine, id string, want *modelRerate) {
	m.t.Helper()
	got, refused := e.RerateStatus(id)
	if refused != nil || (got.State == "done") != want.done || got.Events != want.events || got.Version != want.spec.Version || got.Sequence != want.begun {
		m.t.Fatalf("rerate %s: %+v, the model has %+v (%v)", id, got, want, refused)
	}
	for _, total := range got.Totals {
		code := total.Currency.Code()
		if !total.Returned.Decimal().Equal(want.returned[code]) || !total.Charged.Decimal().Equal(want.charged[code]) {
			m.t.Fatalf("rerate %s: %+v, the model returned %s and charged %s", id, total, want.returned[code], want.charged[code])
		}
	}
}

// compareRehearsal compares a simulation with what the model makes of it.
func (m *model) compareRehearsal(e *Engine, o RepriceOptions) {
	m.t.Helper()
	got, refused := e.Simulate(o)
	more, events, without := m.rehearse(&o)
	if refused != nil || got.Events != events || got.Unpriced != without {
		m.t.Fatalf("simulation of %s: %d events and %d without a price, the model has %d and %d (%v)", o.Version, got.Events, got.Unpriced, events, without, refused)
	}
	rows := map[money.Currency][2]decimal.Decimal{}
	for _, r := range got.Rows {
		sums := rows[r.Currency]
		rows[r.Currency] = [2]decimal.Decimal{sums[0].Add(r.Was.Decimal()), sums[1].Add(r.Would.Decimal())}
	}
	for _, total := range got.Totals {
		code, sums := total.Currency.Code(), rows[total.Currency]
		if !total.Would.MustSub(total.Was).Decimal().Equal(more[code]) || !sums[0].Equal(total.Was.Decimal()) || !sums[1].Equal(total.Would.Decimal()) {
			m.t.Fatalf("simulation of %s: %s → %s %s, rows come to %s, the model has %s more", o.Version, total.Was, total.Would, code, sums, more[code])
		}
	}
}

// statement sums an account's transfers: of usage, fees and their corrections, and of top-ups.
func statement(t testing.TB, e *Engine, account string) (usage, topUps decimal.Decimal) {
	t.Helper()
	for cursor := ""; ; {
		page, refused := e.Transfers(account, cursor, 41)
		if refused != nil {
			t.Fatal(refused)
		}
		for _, item := range page.Items {
			switch item.Reason {
			case "usage", "fee", "void", "void_fee", "rerate", "rerate_fee":
				usage = usage.Add(item.Amount.Decimal())
			case "topup":
				topUps = topUps.Add(item.Amount.Decimal())
			}
		}
		if cursor = page.Next; cursor == "" {
			return usage, topUps
		}
	}
}
