package export

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"farthing/engine"
	"farthing/journal"
	"farthing/meter"
	"farthing/money"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func options(dir string) engine.Options {
	return engine.Options{Journal: journal.Options{Dir: dir, Logger: quiet()}, LedgerID: "test", Logger: quiet(), RunIdentities: 100, CheckpointBytes: 20_000}
}

// ledger is an engine that tests make a history with.
type ledger struct {
	t testing.TB
	e *engine.Engine
	o engine.Options
	n int
}

func newLedger(t testing.TB) *ledger {
	l := &ledger{t: t, o: options(filepath.Join(t.TempDir(), "data"))}
	l.open()
	t.Cleanup(func() {
		if l.e != nil {
			l.close()
		}
	})
	return l
}

func (l *ledger) open() {
	l.t.Helper()
	e, err := engine.Open(l.o)
	if err != nil {
		l.t.Fatal(err)
	}
	l.e = e
}

func (l *ledger) close() {
	l.t.Helper()
	err := l.e.Close()
	l.e = nil
	if err != nil {
		l.t.Fatal(err)
	}
}

func amount(text string) money.Amount {
	a, err := money.Parse(text)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return a
}

const book = `{"effective_from":"2026-01-01T00:00:00Z","prices":[
 {"meter":"llm.tokens","currency":"USD","match":{"model":"m1"},"components":{"input":"0.0000025","output":"0.00001"},"payee":"prov","fee":"0.1"},
 {"meter":"api.calls","currency":"USD","match":{},"components":{"call":{"graduated":[{"up_to":"10","unit":"0"},{"unit":"0.0004"}]}}}]}`

// found makes the accounts and the price book.
func (l *ledger) found() {
	l.t.Helper()
	usd, _ := money.Lookup("USD")
	for _, s := range []engine.AccountSpec{
		{ID: "prov", Currency: usd, Kind: "provider"}, {ID: "acme", Currency: usd, Kind: "customer", Billing: "postpaid"},
		{ID: "beta", Currency: usd, Kind: "customer", Billing: "prepaid", Metadata: []byte(`{"a":"<&>"}`)}, {ID: "beta-team", Currency: usd, Kind: "customer", Billing: "prepaid", Parent: "beta"},
	} {
		if _, _, no := l.e.CreateAccount(s); no != nil {
			l.t.Fatal(no)
		}
	}
	v, no := meter.ParseVersion("v1", []byte(book))
	if no == nil {
		_, _, no = l.e.PutPrices(v, nil)
	}
	if no != nil {
		l.t.Fatal(no)
	}
}

// work makes some of everything that the public calls make.
func (l *ledger) work(events int) {
	l.t.Helper()
	for range events {
		l.n++
		l.event(fmt.Sprint("e", l.n))
	}
	l.n++
	id := fmt.Sprint("x", l.n)
	must := func(no error) {
		l.t.Helper()
		if no != nil {
			l.t.Fatal(no)
		}
	}
	_, _, no := l.e.TopUp(engine.TopUp{ID: id, Account: "beta", Amount: amount("12.000000000000000001"), Reference: "wire \"7\" <&>\u2028"})
	must(asError(no))
	_, _, no = l.e.Grant(engine.GrantSpec{ID: id, Account: "beta", Amount: amount("3"), Kind: "promo", Priority: 5, Expires: time.Now().Add(time.Hour)})
	must(asError(no))
	_, _, no = l.e.Void(engine.VoidSpec{Source: "gw", Event: fmt.Sprint("e", l.n-1), ID: id, Reason: "wrong"})
	must(asError(no))
}

func asError[T error](no T) error {
	if any(no) == nil || fmt.Sprint(any(no)) == "<nil>" {
		return nil
	}
	return no
}

// event posts one event; one in seven has no price, one in five a dimension that nothing matches on.
func (l *ledger) event(id string) {
	l.t.Helper()
	q := l.e.Acquire(400)
	if q == nil {
		l.t.Fatal("no room")
	}
	defer l.e.Release(q)
	b := q.Batch()
	b.Begin(0)
	b.SetSource([]byte("gw"))
	b.SetID([]byte(id))
	b.SetSubject([]byte([]string{"acme", "beta", "beta-team"}[l.n%3]))
	switch {
	case l.n%7 == 0:
		b.SetType([]byte("unknown.meter"))
	case l.n%2 == 0:
		b.SetType([]byte("api.calls"))
	default:
		b.SetType([]byte("llm.tokens"))
		b.Component([]byte("input"), money.Quantity(uint64(l.n)*1_000_000))
		b.Component([]byte("output"), money.Quantity(3_000_000))
		b.Dimension([]byte("model"), []byte("m1"))
	}
	if l.n%5 == 0 {
		b.Dimension([]byte("trace"), []byte("t/\""+id))
		b.SetTime(time.Now().Add(-time.Hour).UnixNano())
	}
	b.End()
	if out, no := l.e.Ingest(q); no != nil || out.Accepted != 1 {
		l.t.Fatalf("%+v %v", out, no)
	}
}

func (l *ledger) settle() {
	l.t.Helper()
	l.n++
	if _, _, no := l.e.CloseWindow(fmt.Sprint("w", l.n), nil); no != nil {
		l.t.Fatal(no)
	}
}

// view is all that can be read of a ledger, as text.
func (l *ledger) view() string {
	l.t.Helper()
	var out strings.Builder
	say := func(what string, v any, no error) {
		l.t.Helper()
		if no != nil {
			l.t.Fatalf("%s: %v", what, no)
		}
		fmt.Fprintf(&out, "%s: %+v\n", what, v)
	}
	accounts, no := l.e.Accounts("", "", 1000)
	for i := range accounts.Items {
		accounts.Items[i].Sequence = 0
	}
	say("accounts", accounts, asError(no))
	balance, no := l.e.TrialBalance()
	say("trial balance", balance, asError(no))
	for _, a := range accounts.Items {
		moved, no := l.e.Transfers(a.Spec.ID, "", 1000)
		say("transfers of "+a.Spec.ID, moved, asError(no))
	}
	batches, no := l.e.Settlements("", 1000)
	say("batches", len(batches.Items), asError(no))
	for _, b := range batches.Items {
		lines, no := l.e.Lines(b.BatchID, "", 1000)
		say("lines of "+b.BatchID, fmt.Sprintf("%s %s", b.Manifest, lines.Items), asError(no))
	}
	unpriced, no := l.e.Unpriced("", 1000)
	say("unpriced", unpriced, asError(no))
	for n := 1; n <= l.n; n++ {
		e, no := l.e.Event("gw", fmt.Sprint("e", n))
		if asError(no) != nil {
			continue
		}
		say("event", fmt.Sprintf("%v %v %v %v %v %v", e.Sequence, e.State, e.Dimensions, e.Usage, e.Net, len(e.Corrections)), nil)
		if p, no := l.e.Proof("gw", fmt.Sprint("e", n)); asError(no) == nil {
			say("proof", fmt.Sprintf("%+v", p), nil)
		}
	}
	at, err := l.e.Outbox().Position()
	at.Attempt = nil
	say("published", at, err)
	return out.String()
}

// exported writes an export of a closed ledger.
func (l *ledger) exported(o Options) Written {
	l.t.Helper()
	out, err := l.export(context.Background(), o)
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

func (l *ledger) export(ctx context.Context, o Options) (Written, error) {
	x, err := engine.OpenExporter(l.o.Journal)
	if err != nil {
		return Written{}, err
	}
	defer x.Close()
	return Write(ctx, x, o)
}

// imported makes a ledger of an export and opens it.
func imported(t testing.TB, from *ledger, dir string) *ledger {
	t.Helper()
	out := &ledger{t: t, o: options(filepath.Join(t.TempDir(), "imported")), n: from.n}
	if _, err := Import(context.Background(), ImportOptions{Dir: dir, Data: out.o.Journal}); err != nil {
		t.Fatal(err)
	}
	out.open()
	t.Cleanup(func() {
		if out.e != nil {
			out.close()
		}
	})
	return out
}

func names(t testing.TB, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "LOCK" {
			out = append(out, e.Name())
		}
	}
	return out
}
