package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// gatewayBook is what the ledger must come to: the twin's credit, and sums over what each hold
// was captured with.
type gatewayBook struct {
	twin     *creditTwin
	earned   map[string]decimal.Decimal // by payee; "": the operator
	usage    map[string]map[usageKey]usageSum
	captured map[string]uint64 // holds, by account and all above it
	charged  map[string]decimal.Decimal
	expired  map[string]decimal.Decimal // holds that ran out, and what they held
	states   map[string]int
	lateness time.Duration // of holds that ran out
	faults   []error
}

func (b *gatewayBook) fault(format string, args ...any) {
	b.faults = append(b.faults, fmt.Errorf(format, args...))
}

// command is one step of the twin.
type command struct {
	sequence uint64
	due      time.Time // one command lets several holds expire
	do       func()
}

// readHolds reads the history of every hold.
func readHolds(ctx context.Context, c *client.Client, streams []*stream) ([]client.HoldHistory, error) {
	histories, errs := make([]client.HoldHistory, len(streams)), make([]error, len(streams))
	queue := make(chan int, len(streams))
	for i := range streams {
		queue <- i
	}
	close(queue)
	var readers sync.WaitGroup
	for range 2 * clients {
		readers.Go(func() {
			for i := range queue {
				histories[i], errs[i] = c.GetHold(ctx, streams[i].id())
			}
		})
	}
	readers.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return histories, nil
}

// credited is a row of a statement that brings money.
type credited struct {
	Sequence uint64       `json:"sequence"`
	Amount   client.Money `json:"amount"`
	Reason   string       `json:"reason"`
	TopUp    string       `json:"topup"`
}

// statement reads the statement of an account and returns its sum and the top-ups in it.
func statement(ctx context.Context, c *client.Client, account string) (sum decimal.Decimal, topUps []credited, err error) {
	var page struct {
		Items []credited `json:"items"`
		Next  string     `json:"next"`
	}
	for cursor := ""; ; cursor = page.Next {
		q := url.Values{"limit": {"1000"}}
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		_, body, err := c.Do(ctx, "GET", "/v1/accounts/"+url.PathEscape(account)+"/transfers?"+q.Encode(), "", nil)
		if err != nil {
			return sum, nil, err
		}
		page.Items, page.Next = nil, ""
		if err := json.Unmarshal(body, &page); err != nil {
			return sum, nil, err
		}
		for _, row := range page.Items {
			sum = sum.Add(row.Amount.Decimal)
			if row.Reason == "topup" {
				topUps = append(topUps, row)
			}
		}
		if page.Next == "" {
			return sum, topUps, nil
		}
	}
}

// replay has the twin do what the server did: grants and top-ups as they were answered, holds as
// their histories tell.
func replay(p *gatewayPlan, histories []client.HoldHistory, gifts []client.Grant, topUps map[string][]credited) *gatewayBook {
	b := &gatewayBook{twin: newCreditTwin(), earned: map[string]decimal.Decimal{}, usage: map[string]map[usageKey]usageSum{},
		captured: map[string]uint64{}, charged: map[string]decimal.Decimal{}, expired: map[string]decimal.Decimal{}, states: map[string]int{}}
	for account, limits := range p.limits {
		for _, l := range limits {
			b.twin.limit(account, l)
		}
	}
	var all []command
	for _, g := range gifts {
		spec := client.NewGrant{ID: g.ID, Kind: g.Kind, Amount: g.Amount, Priority: &g.Priority, ExpiresAt: g.ExpiresAt}
		if len(g.Scope.Match) > 0 {
			spec.Scope = &g.Scope
		}
		all = append(all, command{g.Sequence, time.Time{}, func() { b.twin.give(g.Account, spec, g.Sequence) }})
	}
	for account, rows := range topUps {
		for _, row := range rows {
			all = append(all, command{row.Sequence, time.Time{}, func() { b.twin.topUp(account, row.Amount.Decimal) }})
		}
	}
	for i := range histories {
		all = append(all, b.commands(p.streams[i], &histories[i])...)
	}
	slices.SortStableFunc(all, func(x, y command) int {
		return cmp.Or(cmp.Compare(x.sequence, y.sequence), x.due.Compare(y.due))
	})
	for _, c := range all {
		c.do()
	}
	b.faults = append(b.faults, b.twin.faults...)
	for id := range b.twin.holds {
		b.fault("%s is still held", id)
	}
	return b
}

// commands checks a hold's history against what its stream was answered, and makes it the
// twin's steps.
func (b *gatewayBook) commands(s *stream, h *client.HoldHistory) (steps []command) {
	b.states[h.State]++
	id, model := s.id(), s.model.name
	if s.byAmount {
		model = ""
	}
	if h.Account != s.key || (h.Refused == nil) != (s.refused == nil) || h.Refused != nil && !sameShortfall(*h.Refused, *s.refused) {
		b.fault("%s: %+v, but the stream of %s was answered %+v", id, h, s.key, s.refused)
	}
	steps = append(steps, command{h.Sequence, time.Time{}, func() { b.twin.place(id, s.key, model, s.estimateCost(), h.Created, h.Refused) }})
	if h.State == "refused" {
		return steps
	}
	s.extended = slices.DeleteFunc(s.extended, func(x prolonged) bool {
		return x.unsure && !slices.ContainsFunc(h.Extensions, func(y client.HoldExtension) bool { return x.id == y.ID })
	})
	want, reported := s.estimateCost(), (*client.Event)(nil)
	for i, x := range h.Extensions {
		if i >= len(s.extended) || x.ID != s.extended[i].id || !x.Amount.Equal(s.extended[i].amount) || x.Reported != (s.extended[i].report != nil) {
			b.fault("%s: extended by %+v, the stream was answered %+v", id, x, s.extended)
			continue
		}
		if x.Reported {
			reported = s.extended[i].report
		}
		if want = want.Add(x.Amount.Decimal); x.Amount.IsPositive() {
			steps = append(steps, command{x.Sequence, time.Time{}, func() { b.twin.extend(id, x.Amount.Decimal, x.Time) }})
		}
	}
	if len(h.Extensions) != len(s.extended) || !h.Amount.Equal(want) {
		b.fault("%s: %d extensions come to %s, want %d and %s", id, len(h.Extensions), h.Amount, len(s.extended), want)
	}
	if h.Ended == nil || h.End == nil {
		b.fault("%s is %s at the end", id, h.State)
		return steps
	}
	return append(steps, b.ending(s, h, reported))
}

// ending is how a hold must have ended.
func (b *gatewayBook) ending(s *stream, h *client.HoldHistory, reported *client.Event) command {
	id, released := s.id(), h.Amount.Decimal
	if end := s.ending(reported); h.State != end {
		b.fault("%s: is %s, want %s (reported: %v)", id, h.State, end, reported)
	}
	step := command{*h.End, time.Time{}, func() { b.twin.release(id, *h.Ended) }}
	switch h.State {
	case "captured":
		e := s.sent
		if s.captured == nil && reported != nil {
			e = *reported
		}
		rated := s.model.cost(e)
		b.book(s, e, rated, h)
		released = decimal.Max(decimal.Zero, released.Sub(h.Charged.Decimal))
		step.do = func() { b.twin.capture(id, s.model.name, rated, h.Charged.Decimal, *h.Ended) }
	case "expired":
		step.due = h.Expires
		b.expired[id] = h.Amount.Decimal
		if h.Ended.Before(h.Expires) {
			b.fault("%s: expired at %v, its time was %v", id, h.Ended, h.Expires)
		}
	}
	if !h.Released.Equal(released) {
		b.fault("%s: %s of %s released, want %s", id, h.Released, h.Amount, released)
	}
	return step
}

// ending is the state in which a stream's hold must end, given what it reported last.
func (s *stream) ending(reported *client.Event) string {
	switch {
	case s.captured != nil:
		return "captured"
	case s.voided != nil:
		return "voided"
	case reported != nil && s.org.settings.Abandoned == "capture":
		return "captured"
	}
	return "expired"
}

// book adds what a hold was captured with.
func (b *gatewayBook) book(s *stream, e client.Event, rated decimal.Decimal, h *client.HoldHistory) {
	if h.Captured == nil || h.Captured.Source != e.Source || h.Captured.Event != e.ID || !h.Charged.Add(h.Lost.Decimal).Equal(rated) {
		b.fault("%s: charged %s, lost %s, for %+v, want %s", s.id(), h.Charged, h.Lost, h.Captured, rated)
	}
	if c := s.captured; c != nil && (!c.Charged.Equal(h.Charged.Decimal) || !c.Released.Equal(h.Released.Decimal) || !c.Lost.Equal(h.Lost.Decimal) || c.Sequence != *h.End || c.Unpriced) {
		b.fault("%s: %+v, but the capture was answered %+v", s.id(), h, c)
	}
	b.earned[s.model.provider] = b.earned[s.model.provider].Add(rated)
	for _, account := range chainOf(s.key) {
		b.captured[account]++
		b.charged[account] = b.charged[account].Add(h.Charged.Decimal)
	}
	rows := b.usage[s.key]
	if rows == nil {
		rows = map[usageKey]usageSum{}
		b.usage[s.key] = rows
	}
	for component, quantity := range e.Usage {
		if quantity > 0 {
			key := usageKey{s.model.name, component, e.Time.UTC().Format(time.DateOnly)}
			cost := s.model.cost(client.Event{Usage: map[string]uint64{component: quantity}})
			rows[key] = usageSum{rows[key].quantity + quantity, rows[key].amount.Add(cost)}
		}
	}
}

// check compares the ledger with the book.
func (b *gatewayBook) check(ctx context.Context, t *testing.T, c *client.Client, p *gatewayPlan) {
	t.Helper()
	for i, fault := range b.faults {
		if i == 2*wrongMax {
			t.Errorf("… and %d faults more", len(b.faults)-i)
			break
		}
		t.Error(fault)
	}
	for _, o := range p.orgs {
		b.checkRoot(ctx, t, c, o)
		for _, key := range o.keys {
			for _, account := range chainOf(key)[:3] {
				checkChild(ctx, t, c, account)
			}
		}
	}
	for account := range p.limits {
		b.checkLimits(ctx, t, c, account)
	}
	b.checkEarned(ctx, t, c)
	o := &oracle{accounts: map[string]*account{}}
	for key, rows := range b.usage {
		o.accounts[key] = &account{kind: "customer", rows: rows}
	}
	checkUsage(ctx, t, c, o)
	checkTrial(ctx, t, c)
}

// checkRoot compares the money of a root: what is left of it, grant by grant.
func (b *gatewayBook) checkRoot(ctx context.Context, t *testing.T, c *client.Client, o *organisation) {
	t.Helper()
	want, got := b.twin.roots[o.id], balanceOf(ctx, t, c, o.id)
	left, free := want.pool, want.pool
	for _, g := range want.grants {
		left = left.Add(g.remaining)
		if g.Scope == nil && !g.over {
			free = free.Add(g.remaining)
		}
	}
	if !got.Posted.Equal(left) || !got.Held.IsZero() || got.Available == nil || !got.Available.Equal(free) {
		t.Errorf("%s: posted %s, held %s, available %v, want %s, 0, %s", o.id, got.Posted, got.Held, got.Available, left, free)
	}
	if sum := want.topUps.Add(want.gifts).Sub(want.charged); !sum.Sub(left).Equal(want.lapsed()) {
		t.Errorf("%s: the twin has %s of %s left, %s lapsed", o.id, left, sum, want.lapsed())
	}
	sum, _, err := statement(ctx, c, o.id)
	if err != nil || !sum.Equal(left) {
		t.Errorf("%s: the statement sums to %s, want %s (%v)", o.id, sum, left, err)
	}
	grants, err := c.Grants(ctx, o.id)
	if err != nil {
		t.Fatal(err)
	}
	if len(grants) != len(want.grants) {
		t.Errorf("%s has %d grants, want %d", o.id, len(grants), len(want.grants))
	}
	for _, g := range grants {
		at := slices.IndexFunc(want.grants, func(w *gift) bool { return w.ID == g.ID })
		if at < 0 {
			t.Errorf("%s: nobody gave %+v", o.id, g)
			continue
		}
		w := want.grants[at]
		if !g.Used.Equal(w.used) || !g.Remaining.Equal(w.remaining) || !g.Expired.Equal(w.expired) || !g.Held.IsZero() {
			t.Errorf("grant %s: used %s, remaining %s, expired %s, held %s, want %s, %s, %s, 0", g.ID, g.Used, g.Remaining, g.Expired, g.Held, w.used, w.remaining, w.expired)
		}
	}
}

func (p *purse) lapsed() (sum decimal.Decimal) {
	for _, g := range p.grants {
		sum = sum.Add(g.expired)
	}
	return sum
}

func balanceOf(ctx context.Context, t *testing.T, c *client.Client, account string) client.Balance {
	t.Helper()
	got, err := c.Balance(ctx, account)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func checkChild(ctx context.Context, t *testing.T, c *client.Client, account string) {
	t.Helper()
	if got := balanceOf(ctx, t, c, account); !got.Posted.IsZero() || !got.Held.IsZero() {
		t.Errorf("%s: posted %s, held %s, want nothing", account, got.Posted, got.Held)
	}
}

// checkLimits compares what a limit counted, and that its bound stands.
func (b *gatewayBook) checkLimits(ctx context.Context, t *testing.T, c *client.Client, id string) {
	t.Helper()
	got, err := c.Limits(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Limits) != len(b.twin.limits[id]) {
		t.Errorf("%s has %d limits, want %d", id, len(got.Limits), len(b.twin.limits[id]))
		return
	}
	for i, l := range got.Limits {
		w := b.twin.limits[id][i]
		var counts counted
		if l.Period != nil {
			counts = *w.at(*l.Period) // another one than that of the last hold, if the clock moved on
		}
		if l.Name != w.Name || !l.Spent.Equal(counts.spent) || !l.Held.IsZero() || l.Calls != counts.calls || l.Passed {
			t.Errorf("%s: %+v, want spent %s in %d calls", id, l, counts.spent, counts.calls)
		}
		for key, c := range w.counts {
			if w.Amount != nil && w.Per != "call" && c.spent.GreaterThan(w.Amount.Decimal) || w.Count != nil && c.calls > *w.Count || !c.held.IsZero() {
				t.Errorf("%s: limit %s is passed in %s: %+v", id, w.Name, key, c)
			}
		}
	}
}

// checkEarned compares payees and the operator's accounts.
func (b *gatewayBook) checkEarned(ctx context.Context, t *testing.T, c *client.Client) {
	t.Helper()
	for i := range gatewayProviders {
		id := providerName(i)
		if got := balanceOf(ctx, t, c, id); !got.Posted.Equal(b.earned[id]) {
			t.Errorf("%s: posted %s, want %s", id, got.Posted, b.earned[id])
		}
	}
	var paid, promised, lapsed, lost decimal.Decimal
	for _, p := range b.twin.roots {
		paid, lost = paid.Add(p.topUps), lost.Add(p.lost)
		for _, g := range p.grants {
			if g.Kind == "paid" {
				paid = paid.Add(g.Amount.Decimal)
				continue
			}
			promised, lapsed = promised.Add(g.Amount.Decimal), lapsed.Add(g.expired)
		}
	}
	classes := classesOf(ctx, t, c)
	for class, want := range map[string]decimal.Decimal{
		"revenue": b.earned[""], "operator_loss": lost.Neg(), "cash": paid.Neg(), "promo_expense": lapsed.Sub(promised),
	} {
		if !classes[class].Equal(want) {
			t.Errorf("%s of the operator is %s, want %s", class, classes[class], want)
		}
	}
}

// classesOf reads the balance of each class of accounts, credits less debits.
func classesOf(ctx context.Context, t *testing.T, c *client.Client) map[string]decimal.Decimal {
	t.Helper()
	rows, err := c.TrialBalance(ctx)
	if err != nil || len(rows) != 1 {
		t.Fatalf("trial balance %+v: %v", rows, err)
	}
	var classes map[string]struct{ Debits, Credits client.Money }
	if err := json.Unmarshal(rows[0].Accounts, &classes); err != nil {
		t.Fatal(err)
	}
	balances := map[string]decimal.Decimal{}
	for class, sums := range classes {
		balances[class] = sums.Credits.Sub(sums.Debits.Decimal)
	}
	return balances
}
