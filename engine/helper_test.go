package engine

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"farthing/journal"
	"farthing/meter"
	"farthing/money"
)

// rig is an engine on a directory that can be reopened, with a clock the test moves.
type rig struct {
	t    testing.TB
	o    Options
	e    *Engine
	base time.Time
}

func newRig(t testing.TB, change func(*Options)) *rig {
	r := &rig{t: t, base: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	r.o = Options{Journal: journal.Options{Dir: t.TempDir(), Logger: quiet()}, LedgerID: "test", Logger: quiet(),
		Clock: func() time.Time { return r.base },
		// A machine that runs many tests at once may take seconds for a commit.
		DiskStallAfter: time.Minute, DiskStallMax: time.Hour, world: surroundings{patient: true}}
	if change != nil {
		change(&r.o)
	}
	r.open()
	t.Cleanup(func() {
		if r.e != nil {
			r.close()
		}
	})
	return r
}

// hurried has the lane and the bound of what is queued at work.
func hurried(o *Options) { o.world.patient = false }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (r *rig) open() {
	r.t.Helper()
	e, err := Open(r.o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.e = e
}

func (r *rig) close() {
	r.t.Helper()
	if err := r.e.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.e = nil
}

func (r *rig) reopen() {
	r.t.Helper()
	r.close()
	r.open()
}

func usd() money.Currency {
	c, _ := money.Lookup("USD")
	return c
}

func amount(t testing.TB, text string) money.Amount {
	t.Helper()
	a, err := money.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (r *rig) account(id, kind, billing string) {
	r.t.Helper()
	if _, _, refused := r.e.CreateAccount(AccountSpec{ID: id, Currency: usd(), Kind: kind, Billing: billing}); refused != nil {
		r.t.Fatal(refused)
	}
}

func (r *rig) prices(id, document string) {
	r.t.Helper()
	v, refused := meter.ParseVersion(id, []byte(document))
	if refused == nil {
		_, _, refused = r.e.PutPrices(v, nil)
	}
	if refused != nil {
		r.t.Fatal(refused)
	}
}

// standardBook prices llm.tokens by model with a provider as payee, and api.calls for the operator.
const standardBook = `{"effective_from":"2026-01-01T00:00:00Z","prices":[
 {"meter":"llm.tokens","currency":"USD","match":{"model":"m1"},"components":{"input":"0.0000025","output":"0.00001"},"payee":"prov","fee":"0.1"},
 {"meter":"llm.tokens","currency":"USD","match":{"model":"m2"},"components":{"input":"0.000001","output":"0.000002"},"payee":"prov"},
 {"meter":"api.calls","currency":"USD","match":{},"components":{"call":"0.0004"}}]}`

// call is one event of a test.
type call struct {
	source, id, subject, kind string
	dims                      [][2]string
	usage                     [][2]string
	time                      int64
}

func llm(id, subject, model string, input, output int) call {
	return call{source: "gw", id: id, subject: subject, kind: "llm.tokens", dims: [][2]string{{"model", model}},
		usage: [][2]string{{"input", fmt.Sprint(input)}, {"output", fmt.Sprint(output)}}}
}

func fill(t testing.TB, b *meter.Batch, calls []call) {
	for i, c := range calls {
		b.Begin(i)
		b.SetSource([]byte(c.source))
		b.SetID([]byte(c.id))
		b.SetSubject([]byte(c.subject))
		b.SetType([]byte(c.kind))
		if c.time != 0 {
			b.SetTime(c.time)
		}
		for _, u := range c.usage {
			q, err := money.ParseQuantity([]byte(u[1]))
			if err != nil {
				t.Fatal(err)
			}
			b.Component([]byte(u[0]), q)
		}
		for _, d := range c.dims {
			b.Dimension([]byte(d[0]), []byte(d[1]))
		}
		b.End()
	}
}

// post ingests events and returns a copy of the answer.
func (r *rig) post(calls ...call) IngestResult {
	r.t.Helper()
	q := r.e.Acquire(200 * len(calls))
	if q == nil {
		r.t.Fatal("no room")
	}
	defer r.e.Release(q)
	fill(r.t, q.Batch(), calls)
	out, refused := r.e.Ingest(q)
	if refused != nil {
		r.t.Fatal(refused)
	}
	out.Rejected = append([]meter.Reject(nil), out.Rejected...)
	return out
}

func (r *rig) posted(id string) string {
	r.t.Helper()
	a, refused := r.e.Account(id)
	if refused != nil {
		r.t.Fatal(refused)
	}
	return a.Posted.String()
}

func (r *rig) settle(id string) Settlement {
	r.t.Helper()
	s, _, refused := r.e.CloseWindow(id, nil)
	if refused != nil {
		r.t.Fatal(refused)
	}
	return s
}
