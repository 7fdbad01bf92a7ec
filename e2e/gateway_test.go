package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"farthing/bench/child"
	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// runOutWithin is far above the longest ttl.
const runOutWithin = 40 * time.Second

// trialLasts is how long after they are given the trial grants expire: among the streams.
const trialLasts = 4 * time.Second

// TestGateway plays an LLM gateway; see the package comment. FARTHING_E2E_SEED repeats what is
// drawn, not what the threads then make of it.
func TestGateway(t *testing.T) {
	traceFile, priceFile := input(t, "azure_llm_conv_2023.csv"), input(t, "model_prices.json")
	seed := seedOf(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	dir := t.TempDir()
	binary := build(ctx, t, dir)
	imported := importPrices(ctx, t, binary, priceFile)
	rng := rand.New(rand.NewPCG(seed, 2))
	plan := realPlan(t, rng, traceFile, priceFile, imported)

	data := filepath.Join(dir, "data")
	server := child.New(child.Options{Binary: binary, Data: data, Scratch: dir, Log: logFile(t, dir), Args: []string{"--settle-every", "0"}})
	if err := server.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Kill() }() // does nothing after Terminate
	c := client.New(server.URL, client.Options{Connections: gatewayStreams + 2*clients})
	g := &gateway{t: t, seed: seed, plan: plan, client: c}
	gifts := g.open(ctx, plan.book(imported))
	b := newBank(c, rand.New(rand.NewPCG(seed, 3)), plan.orgs)
	l := &looker{client: c, rng: rand.New(rand.NewPCG(seed, 4)), plan: plan}
	for id := range plan.limits {
		l.bound = append(l.bound, id)
	}
	slices.Sort(l.bound)
	g.play(ctx, b, l, &flow{t: t, rng: rng, target: process{server}})

	book := g.book(ctx, gifts, b)
	book.check(ctx, t, c, plan)
	checkNotifications(ctx, t, c, b, book)
	if err := server.Terminate(); err != nil {
		t.Errorf("SIGTERM must end with exit 0: %v", err)
	}
	said, err := child.Verify(ctx, binary, data)
	if err != nil {
		t.Error(err)
	}
	g.report(book, b, l)
	t.Logf("verify: %s", said)
}

func realPlan(t *testing.T, rng *rand.Rand, traceFile, priceFile string, imported client.Book) *gatewayPlan {
	t.Helper()
	models := readModels(t, priceFile, imported)
	if models = affordable(models); len(models) < gatewayModels {
		t.Fatalf("%d usable models in the input", len(models))
	}
	trace := readTraceFile(t, traceFile)
	if raceEnabled { // this side of the wire then takes several times as long
		trace = trace[:len(trace)/2]
	}
	return newGatewayPlan(rng, trace, models, time.Now())
}

// open opens the accounts and gives them prices, limits, settings and credit.
func (g *gateway) open(ctx context.Context, book client.Book) (gifts []client.Grant) {
	g.t.Helper()
	must := func(err error) {
		g.t.Helper()
		if err != nil {
			g.t.Fatal(err)
		}
	}
	for i := range gatewayProviders {
		must(g.client.Open(ctx, client.Account{ID: providerName(i), Currency: "USD", Kind: "provider"}))
	}
	must(g.client.PutPrices(ctx, "gateway", book))
	opened := map[string]bool{}
	for _, o := range g.plan.orgs {
		must(g.client.Open(ctx, client.Account{ID: o.id, Currency: "USD", Kind: "customer", Billing: "prepaid"}))
		opened[o.id] = true
		for _, key := range o.keys {
			for _, id := range slices.Backward(chainOf(key)) {
				if !opened[id] {
					must(g.client.Open(ctx, client.Account{ID: id, Currency: "USD", Kind: "customer", Parent: parentOf(id)}))
					opened[id] = true
				}
			}
		}
		for _, spec := range o.grants {
			if spec.ExpiresAt != nil {
				soon := time.Now().Add(trialLasts).UTC()
				spec.ExpiresAt = &soon
			}
			gift, err := g.client.Grant(ctx, o.id, spec)
			must(err)
			gifts = append(gifts, gift)
		}
		must(g.client.TopUp(ctx, o.id, o.id+"-opening", o.opening))
		_, err := g.client.PutSettings(ctx, o.id, o.settings)
		must(err)
	}
	for id, limits := range g.plan.limits {
		_, err := g.client.PutLimits(ctx, id, client.NewLimits{ID: "limits-" + id, Limits: limits})
		must(err)
	}
	return gifts
}

// play serves the streams through kills, beside bank and looker, and waits until the holds of
// those that were abandoned have run out.
func (g *gateway) play(ctx context.Context, b *bank, l *looker, f *flow) {
	g.t.Helper()
	end := g.beside(ctx, b, l)
	started := time.Now()
	phase := func(what string) {
		g.t.Logf("%s after %v", what, time.Since(started).Round(time.Millisecond))
	}
	err := g.serve(ctx, func(ctx context.Context, done <-chan struct{}, total int) error {
		return g.conduct(ctx, f, done, total)
	})
	phase(fmt.Sprint(len(g.plan.streams), " streams"))
	if err == nil {
		err = g.awaitRunOut(ctx)
		phase("the last hold ran out")
	}
	if err := errors.Join(err, end()); err != nil {
		g.t.Fatal(err)
	}
	for i, fault := range l.faults {
		if i < wrongMax {
			g.t.Error(fault)
		}
	}
}

// conduct kills the server when a drawn number of streams has ended, and tops up between.
func (g *gateway) conduct(ctx context.Context, f *flow, done <-chan struct{}, total int) error {
	killAt, topUpAt := f.marks(gatewayKills, total), total/3
	g.t.Logf("of %d streams: kill -9 after %v", total, killAt)
	for n := 1; n <= total; n++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-done:
		}
		if n == topUpAt {
			for _, o := range g.plan.orgs {
				err := client.Retry(ctx, reconnectEvery, func(ctx context.Context) error {
					return g.client.TopUp(ctx, o.id, o.id+"-midway", o.opening)
				})
				if err != nil {
					return err
				}
			}
		}
		for len(killAt) > 0 && killAt[0] <= n {
			killAt = killAt[1:]
			from := time.Now()
			if err := f.crash(ctx); err != nil {
				return err
			}
			g.down = append(g.down, [2]time.Time{from, time.Now()})
		}
	}
	return nil
}

// awaitRunOut waits until nothing is held.
func (g *gateway) awaitRunOut(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, runOutWithin)
	defer cancel()
	return client.Retry(ctx, reconnectEvery, func(ctx context.Context) error {
		for _, o := range g.plan.orgs {
			got, err := g.client.Balance(ctx, o.id)
			if err != nil {
				return err
			}
			if !got.Held.IsZero() {
				return client.ErrNotYet
			}
		}
		return nil
	})
}

// book reads what there is to read of holds and top-ups and has the twin replay it.
func (g *gateway) book(ctx context.Context, gifts []client.Grant, b *bank) *gatewayBook {
	g.t.Helper()
	started := time.Now()
	histories, err := readHolds(ctx, g.client, g.plan.streams)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Logf("read %d holds in %v", len(histories), time.Since(started).Round(time.Millisecond))
	topUps := map[string][]credited{}
	paid := map[string]decimal.Decimal{}
	for _, o := range g.plan.orgs {
		if _, topUps[o.id], err = statement(ctx, g.client, o.id); err != nil {
			g.t.Fatal(err)
		}
		for _, row := range topUps[o.id] {
			if _, twice := paid[row.TopUp]; twice {
				g.t.Errorf("top-up %s is booked twice", row.TopUp)
			}
			paid[row.TopUp] = row.Amount.Decimal
		}
		b.paid[o.id+"-opening"], b.paid[o.id+"-midway"] = o.opening.Decimal, o.opening.Decimal
	}
	for id, want := range b.paid {
		if !paid[id].Equal(want) {
			g.t.Errorf("top-up %s: %s is booked, %s was paid", id, paid[id], want)
		}
	}
	if len(paid) != len(b.paid) {
		g.t.Errorf("%d top-ups are booked, %d were paid", len(paid), len(b.paid))
	}
	book := replay(g.plan, histories, gifts, topUps)
	for i := range histories {
		if h := &histories[i]; h.State == "expired" {
			book.lateness = max(book.lateness, h.Ended.Sub(g.expiredFrom(h.Expires)))
		}
	}
	return book
}

// expiredFrom is when a hold could expire: no server could see to it while there was none. One
// that was due in the second before may have waited.
func (g *gateway) expiredFrom(due time.Time) time.Time {
	for _, d := range g.down {
		if due.After(d[0].Add(-time.Second)) && due.Before(d[1]) {
			return d[1]
		}
	}
	return due
}

// checkNotifications reads the whole stream again: it is what was heard through the kills, each
// request and each hold that expired is told once, and a limit at most once a period.
func checkNotifications(ctx context.Context, t *testing.T, c *client.Client, b *bank, book *gatewayBook) {
	t.Helper()
	var again []client.Notification
	for {
		page, err := c.Notifications(ctx, uint64(len(again)), 0)
		if err != nil {
			t.Fatal(err)
		}
		if again = append(again, page...); len(page) == 0 {
			break
		}
	}
	if len(again) != len(b.heard) {
		t.Errorf("there are %d notifications, %d were heard", len(again), len(b.heard))
	}
	told := map[string]int{}
	for i, n := range again {
		if h := b.heard[min(i, len(b.heard)-1)]; n.Sequence != uint64(i)+1 || i < len(b.heard) && (h.Type != n.Type || h.Account != n.Account || string(h.Data) != string(n.Data) || !h.Time.Equal(n.Time)) {
			t.Errorf("notification %d is %+v, heard was %+v", i+1, n, h)
		}
		if what := subjectOf(t, n); what != "" {
			if told[n.Type+" "+what]++; told[n.Type+" "+what] > 1 {
				t.Errorf("told twice: %s %s", n.Type, what)
			}
		}
	}
	wanted := 0
	for id, amount := range book.expired {
		if wanted++; told["hold.expired "+id+" "+amount.String()] != 1 {
			t.Errorf("nobody is told that %s expired with %s", id, amount)
		}
	}
	for _, o := range book.twin.roots {
		requests, err := c.TopUpRequests(ctx, o.id)
		if err != nil {
			t.Fatal(err)
		}
		checkRequests(t, requests, told)
		wanted += len(requests)
	}
	if got := countOf(told, "hold.expired ") + countOf(told, "topup.requested "); got != wanted {
		t.Errorf("%d requests and expiries are told, there were %d", got, wanted)
	}
}

func countOf(told map[string]int, prefix string) (n int) {
	for what := range told {
		if len(what) > len(prefix) && what[:len(prefix)] == prefix {
			n++
		}
	}
	return n
}

// checkRequests: each is told, and none was raised while another was open.
func checkRequests(t *testing.T, requests []client.TopUpRequest, told map[string]int) {
	t.Helper()
	for i, r := range requests {
		if told["topup.requested "+r.ID] != 1 {
			t.Errorf("nobody is told of %+v", r)
		}
		if i > 0 && (requests[i-1].Answered == nil || r.Created.Before(*requests[i-1].Answered)) {
			t.Errorf("%+v was raised while %+v was open", r, requests[i-1])
		}
	}
}

// subjectOf is what a notification tells that is told once; "": it may be told again.
func subjectOf(t *testing.T, n client.Notification) string {
	t.Helper()
	var data struct{ Request, Hold, Amount, Limit, Per string }
	if err := json.Unmarshal(n.Data, &data); err != nil {
		t.Fatal(err)
	}
	switch {
	case n.Type == "topup.requested":
		return data.Request
	case n.Type == "hold.expired":
		return data.Hold + " " + data.Amount
	case n.Type == "limit.reached" && data.Per != "call":
		b := bound{Limit: client.Limit{Per: data.Per}, counts: map[string]*counted{}}
		b.at(n.Time)
		for period := range b.counts {
			return n.Account + " " + data.Limit + " " + period
		}
	}
	return ""
}

// report says what the run came to. A run that refused nothing has shown nothing.
func (g *gateway) report(book *gatewayBook, b *bank, l *looker) {
	g.t.Helper()
	types, late, losses, lost, lapsed := map[string]int{}, 0, 0, decimal.Zero, decimal.Zero
	for _, n := range b.heard {
		types[n.Type]++
	}
	for _, s := range g.plan.streams {
		if s.late {
			late++
		}
		if s.captured != nil && s.captured.Lost.IsPositive() {
			losses++
		}
	}
	for _, p := range book.twin.roots {
		lost, lapsed = lost.Add(p.lost), lapsed.Add(p.lapsed())
	}
	g.t.Logf("holds %v, refused by %v, %d too late for their hold; %d sent twice, %d answers lost; no expiry more than %v after its time", book.states, book.twin.refusal, late, g.again.Load(), g.lost.Load(), book.lateness)
	g.t.Logf("%d top-ups (%d declined, by hand %v); the operator lost %s by %d captures, %s of grants lapsed; %d looks, %d of them at a bound that was reached; notifications %v", len(b.paid), b.declined, b.asked, lost, losses, lapsed, l.looks, l.full, types)
	for _, state := range []string{"captured", "expired", "voided", "refused"} {
		if book.states[state] == 0 {
			g.t.Errorf("no hold was %s", state)
		}
	}
	midnight := g.plan.now.UTC().Day() != time.Now().UTC().Day() // it gives new budgets
	for _, name := range []string{"call", "minute", "day", "budget"} {
		if book.twin.refusal[name] == 0 && !midnight {
			g.t.Errorf("no hold was refused by %s", name)
		}
	}
	if lost.IsZero() || lapsed.IsZero() || l.looks == 0 || b.declined == 0 {
		g.t.Error("nothing was lost, lapsed, looked at or declined")
	}
}
