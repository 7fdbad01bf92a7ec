package engine

import (
	"cmp"
	"errors"
	"slices"

	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// repricedRowsMax bounds the rows of a report (some 200 bytes each); what comes after is
// summed up under the account and model "(other)".
const repricedRowsMax = 100_000

// rehearsalsMax bounds the simulations that run at once: each takes a share of the sequencer.
const rehearsalsMax = 2

// modelsBytes bounds the shapes that a report remembers: a request's id among the dimensions
// would make each event another one.
const modelsBytes = 1 << 20

// otherName stands for what no longer has its own row. It is no valid id.
const otherName = "(other)"

// Simulate tells what the events of a stretch of time would come to under a version, as if it
// had been in force, and posts nothing. Voided events count for nothing. Unpriced ones count
// with what the version would make of them.
func (e *Engine) Simulate(o RepriceOptions) (Repricing, *refusal.Refusal) { return e.rehearse(o, true) }

// PreviewRerate tells what Rerate would post.
func (e *Engine) PreviewRerate(o RepriceOptions) (Repricing, *refusal.Refusal) {
	return e.rehearse(o, false)
}

func (e *Engine) rehearse(o RepriceOptions, always bool) (out Repricing, refused *refusal.Refusal) {
	from, to, refused := timeRange(o.From, o.To)
	if refused != nil {
		return out, refused
	}
	done, refused := e.read()
	if refused != nil {
		return out, refused
	}
	defer done()
	defer e.rehearsals.Add(-1)
	if e.rehearsals.Add(1) > rehearsalsMax {
		return out, refusal.New(refusal.Overloaded, "simulations_running", "at most %d simulations run at once; retry when one is done", rehearsalsMax)
	}
	p := repricing{e: e, from: from, to: to, always: always, progress: o.Progress, stopped: func() bool { return !e.Ready() }}
	refused = e.do(func(s *sequencer) bool {
		p.version, p.upTo = s.state.byVersion[o.Version], s.state.seq
		return false
	})
	switch {
	case refused != nil:
		return out, refused
	case p.version == nil:
		return out, unknownVersion(o.Version)
	}
	if refused := e.published.Load().keptFrom(from); refused != nil {
		return out, refused
	}
	r := repriceReport{t: e.published.Load(), rows: map[repriceKey]*RepricedRow{}, models: map[string]string{}}
	p.found, p.book = r.add, bookOf(r.t)
	if err := p.run(); err != nil {
		if errors.Is(err, errStopped) {
			return out, draining()
		}
		if o.Progress != nil && errors.Is(err, ErrAborted) {
			return out, refusal.New(refusal.Timeout, "aborted", "the caller went away")
		}
		if no := new(refusal.Refusal); errors.As(err, &no) {
			return out, no
		}
		return out, e.damaged(err)
	}
	if out, refused = r.result(); refused != nil {
		return out, refused
	}
	out.Version, out.From, out.To, out.Sequence, out.Unpriced = o.Version, o.From, o.To, p.upTo, p.refused
	return out, nil
}

// ErrAborted is what Progress returns to stop a simulation.
var ErrAborted = errors.New("aborted")

type repriceKey struct {
	account          ledger.Ref
	model, component string
}

// repriceReport sums up outcomes by customer, model and component.
type repriceReport struct {
	t      *tables
	rows   map[repriceKey]*RepricedRow
	events uint64
	models map[string]string // shape bytes → model
	bytes  int               // of them
}

func (r *repriceReport) add(o *outcome) error {
	r.events++
	model := r.model(o.event)
	if o.event.components == 0 {
		r.row(o.event.account, model, "").Events++ // an event without usage costs nothing and still counts
	}
	for i := range o.event.components {
		row := r.row(o.event.account, model, o.components[i].Name)
		row.Events++
		if !addTo(&row.Was, o.was[i]) || !addTo(&row.Would, o.would[i]) {
			return overflow()
		}
	}
	return nil
}

// addTo adds b to a unless the sum is more than an amount can hold.
func addTo(a *money.Amount, b money.Amount) bool {
	sum, ok := a.Add(b)
	if ok {
		*a = sum
	}
	return ok
}

func (r *repriceReport) row(account ledger.Ref, model, component string) *RepricedRow {
	person := r.t.people[account]
	key := repriceKey{account, model, component}
	row, there := r.rows[key]
	if there {
		return row
	}
	name := person.ID
	if len(r.rows) >= repricedRowsMax {
		name, key = otherName, repriceKey{r.operator(person.Currency), otherName, otherName}
		if row, there = r.rows[key]; there {
			return row
		}
	}
	row = &RepricedRow{Account: name, Model: key.model, Component: key.component, Currency: person.Currency}
	r.rows[key] = row
	return row
}

// operator stands for all accounts of a currency in the rows of the rest.
func (r *repriceReport) operator(c money.Currency) ledger.Ref {
	return ledger.Ref(slices.IndexFunc(r.t.people, func(p *ledger.Participant) bool {
		return p.Kind == ledger.Operator && p.Currency == c
	}))
}

// model returns an event's dimension of that name; empty when it has none.
func (r *repriceReport) model(e *eventRecord) string {
	model, known := r.models[string(e.raw)]
	if known {
		return model
	}
	if shape, err := meter.ParseShape(e.raw); err == nil {
		model, _ = shape.Value("model")
	}
	if r.bytes += len(e.raw); r.bytes > modelsBytes {
		clear(r.models)
		r.bytes = len(e.raw)
	}
	r.models[string(e.raw)] = model
	return model
}

func (r *repriceReport) result() (out Repricing, refused *refusal.Refusal) {
	out.Events = r.events
	totals := map[money.Currency]*RepricedTotal{}
	for _, row := range r.rows {
		out.Rows = append(out.Rows, *row)
		t := totals[row.Currency]
		if t == nil {
			t = &RepricedTotal{Currency: row.Currency}
			totals[row.Currency] = t
		}
		if !addTo(&t.Was, row.Was) || !addTo(&t.Would, row.Would) {
			return out, overflow()
		}
	}
	for _, t := range totals {
		out.Totals = append(out.Totals, *t)
	}
	slices.SortFunc(out.Totals, func(a, b RepricedTotal) int { return cmp.Compare(a.Currency.Code(), b.Currency.Code()) })
	slices.SortFunc(out.Rows, func(a, b RepricedRow) int {
		return cmp.Or(cmp.Compare(a.Currency.Code(), b.Currency.Code()), cmp.Compare(a.Account, b.Account), cmp.Compare(a.Model, b.Model),
			cmp.Compare(a.Component, b.Component))
	})
	return out, nil
}
