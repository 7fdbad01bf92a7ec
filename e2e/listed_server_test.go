package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"farthing/bench/child"
	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

const (
	listedModelsSent   = 200
	requestsOfEach     = 60
	listedCustomers    = 40
	eventsOfEachPost   = 1000
	listedExplained    = 200
	tracePitch         = 313 // a prime: requests from all over the trace
	listedWindowsClose = 2   // after each half of the events
)

// TestListPricesOverHTTP is a slice of TestListPrices through the running server: the list as
// `farthing prices import` gives it, then every balance, usage row, line and some events one
// by one are the oracle's.
func TestListPricesOverHTTP(t *testing.T) {
	traceFile, priceFile := input(t, "azure_llm_conv_2023.csv"), input(t, "model_prices.json")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	dir := t.TempDir()
	binary := build(ctx, t, dir)
	book := importPrices(ctx, t, binary, priceFile)
	for i := range book.Prices {
		book.Prices[i].Payee = providerName(i % providers)
	}
	s := listedScenario(t, book, readTraceFile(t, traceFile), openListings(t, priceFile))

	server := child.New(child.Options{Binary: binary, Data: filepath.Join(dir, "data"), Scratch: dir, Log: logFile(t, dir), Args: []string{"--settle-every", "24h"}})
	if err := server.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Kill() }() // does nothing after Terminate
	c := client.New(server.URL, client.Options{})
	f := &flow{t: t, target: process{server}, client: c}
	s.play(ctx, f, book)

	batches := readBatches(ctx, t, c)
	checkBalances(ctx, t, c, s.want, checkLines(t, s.want, batches))
	checkUsage(ctx, t, c, s.want)
	checkTrial(ctx, t, c)
	for i := 0; i < len(s.events); i += max(1, len(s.events)/listedExplained) {
		s.explained(ctx, t, c, &s.events[i])
	}
	if err := server.Terminate(); err != nil {
		t.Errorf("SIGTERM must end with exit 0: %v", err)
	}
	said, err := child.Verify(ctx, binary, filepath.Join(dir, "data"))
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d events at %d of %d prices; verify: %s", len(s.events), listedModelsSent, len(book.Prices), said)
}

func openListings(t *testing.T, priceFile string) []listing {
	t.Helper()
	list, err := os.Open(priceFile)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = list.Close() }()
	listed, err := listings(list)
	if err != nil {
		t.Fatal(err)
	}
	return listed
}

// listedSlice is the events sent and what they come to.
type listedSlice struct {
	events []listedEvent
	want   *oracle
}

// listedEvent is one event with what its components come to.
type listedEvent struct {
	id, subject, provider string
	at                    time.Time
	listing               *listing
	usage                 map[string]uint64
	parts                 map[string]decimal.Decimal
	total                 decimal.Decimal
}

// listedScenario takes models from all over the list: all in a batch tier, all with prices by
// size, and others.
func listedScenario(t *testing.T, book client.Book, trace []traced, listed []listing) *listedSlice {
	t.Helper()
	payees := map[string]string{}
	for _, p := range book.Prices {
		payees[p.Match["model"]+" "+p.Match["service_tier"]] = p.Payee
	}
	s := &listedSlice{want: &oracle{accounts: map[string]*account{}}}
	for i := range providers {
		s.want.accounts[providerName(i)] = &account{kind: "provider"}
	}
	for i := range listedCustomers {
		s.want.accounts[customerName(i)] = &account{kind: "customer", rows: map[usageKey]usageSum{}}
	}
	begin := time.Now().Add(-36 * time.Hour).UTC().Truncate(time.Second) // over a midnight
	for k, l := range pick(listed) {
		components := l.components()
		prices := l.columns(components)
		for i := range requestsOfEach {
			n := (k*requestsOfEach + i) * tracePitch
			e := listedEvent{id: fmt.Sprintf("list-%d-%d", k, i), subject: customerName(n % listedCustomers), listing: l,
				provider: payees[l.name+" "+l.tier()], at: begin.Add(time.Duration(k*requestsOfEach+i) * 10 * time.Second)}
			e.rate(components, &prices, n, &trace[n%len(trace)])
			s.want.add(&e)
			s.events = append(s.events, e)
		}
	}
	return s
}

// pick returns the listings that are sent.
func pick(listed []listing) []*listing {
	var special, plain []*listing
	for i := range listed {
		l := &listed[i]
		input, byToken := l.units["input"]
		switch {
		case !byToken: // usage rows would have decimals, which the oracle of usage has not
		case l.batch, len(input.above) > 0, !input.flat.IsZero():
			special = append(special, l)
		default:
			plain = append(plain, l)
		}
	}
	missing := max(0, listedModelsSent-len(special))
	for i := range missing {
		special = append(special, plain[i*len(plain)/missing])
	}
	return special[:listedModelsSent]
}

func (l *listing) components() (names []string) {
	for name := range l.units {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (l *listing) tier() string {
	if l.batch {
		return "batch"
	}
	return ""
}

// rate fills in what request n used and what that costs by the oracle.
func (e *listedEvent) rate(components []string, prices *columns, n int, row *traced) {
	used, parts := make([]uint64, len(components)), make([]decimal.Decimal, len(components))
	usage(used, components, n, row, n%4 != 0)
	var quantities []decimal.Decimal
	for _, thousandths := range used {
		quantities = append(quantities, decimal.New(int64(thousandths), -3))
	}
	e.total, _ = prices.cost(quantities, parts)
	e.usage, e.parts = map[string]uint64{}, map[string]decimal.Decimal{}
	for i, name := range components {
		e.usage[name] = used[i] / 1000
		if used[i] != 0 {
			e.parts[name] = parts[i]
		}
	}
}

// add books an event in the oracle.
func (o *oracle) add(e *listedEvent) {
	payer, payee := o.accounts[e.subject], o.accounts[e.provider]
	for name, amount := range e.parts {
		key := usageKey{e.listing.name, name, e.at.Format(time.DateOnly)}
		sum := payer.rows[key]
		payer.rows[key] = usageSum{sum.quantity + e.usage[name], sum.amount.Add(amount)}
	}
	payer.usage, payee.usage = payer.usage.Add(e.total), payee.usage.Add(e.total)
	payer.events++
	o.events++
}

// play opens the accounts, puts the list, posts the events and closes windows.
func (s *listedSlice) play(ctx context.Context, f *flow, book client.Book) {
	f.t.Helper()
	var jobs []job
	for id, a := range s.want.accounts {
		account := client.Account{ID: id, Currency: "USD", Kind: a.kind}
		if a.kind == "customer" {
			account.Billing = "postpaid"
		}
		jobs = append(jobs, func(ctx context.Context) error { return f.client.Open(ctx, account) })
	}
	f.run(ctx, jobs, nil)
	if err := f.client.PutPrices(ctx, "list", book); err != nil {
		f.t.Fatal(err)
	}
	half := (len(s.events) + listedWindowsClose - 1) / listedWindowsClose
	for part := range slices.Chunk(s.events, half) {
		jobs = nil
		for events := range slices.Chunk(part, eventsOfEachPost) {
			jobs = append(jobs, func(ctx context.Context) error { return post(ctx, f.client, events) })
		}
		f.run(ctx, jobs, nil)
		f.closeWindow(ctx)
	}
}

func post(ctx context.Context, c *client.Client, events []listedEvent) error {
	var body []map[string]any
	for i := range events {
		e := &events[i]
		data := map[string]any{"model": e.listing.name, "usage": e.usage}
		if e.listing.batch {
			data["service_tier"] = "batch"
		}
		body = append(body, map[string]any{"id": e.id, "source": "list", "type": "llm.tokens", "subject": e.subject, "time": e.at.Format(time.RFC3339), "data": data})
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	got, err := c.PostRaw(ctx, "application/json", text)
	if err == nil && (got.Accepted+got.Duplicates != len(events) || got.Unpriced != 0 || len(got.Rejected) != 0) {
		err = fmt.Errorf("%w: %d events came to %+v", errAnswer, len(events), got)
	}
	return err
}

// explained reads an event: each component's amount, and its transfers.
func (s *listedSlice) explained(ctx context.Context, t *testing.T, c *client.Client, e *listedEvent) {
	t.Helper()
	got, err := c.Booked(ctx, "list", e.id)
	if err != nil {
		t.Fatal(err)
	}
	moved := decimal.Zero
	for _, tr := range got.Transfers {
		if tr.Debit != e.subject || tr.Credit != e.provider {
			t.Errorf("%s: a transfer from %s to %s, want from %s to %s", e.id, tr.Debit, tr.Credit, e.subject, e.provider)
		}
		moved = moved.Add(tr.Amount.Decimal)
	}
	if !got.Amount.Equal(e.total) || !moved.Equal(e.total) || len(got.Components) != len(e.parts) || got.BatchID == "" {
		t.Errorf("%s (%s): amount %s, transfers %s, %d components, want %s and %d: %+v", e.id, e.listing.name, got.Amount, moved, len(got.Components), e.total, len(e.parts), got)
	}
	for _, part := range got.Components {
		if want, ok := e.parts[part.Component]; !ok || !part.Amount.Equal(want) {
			t.Errorf("%s (%s): %s %s costs %s, want %s", e.id, e.listing.name, part.Quantity, part.Component, part.Amount, want)
		}
	}
}
