package e2e

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"time"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// traced is one row of the trace.
type traced struct {
	at            time.Time
	input, output uint64
}

// readTrace reads the trace's CSV: time, context tokens, generated tokens.
func readTrace(r io.Reader) ([]traced, error) {
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, err
	}
	var trace []traced
	for n, row := range rows {
		if n == 0 {
			continue // the header
		}
		at, err1 := time.Parse("2006-01-02 15:04:05.9999999", row[0])
		input, err2 := strconv.ParseUint(row[1], 10, 64)
		output, err3 := strconv.ParseUint(row[2], 10, 64)
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, fmt.Errorf("row %d: %w", n, err)
		}
		trace = append(trace, traced{at, input, output})
	}
	return trace, nil
}

// shift moves the trace so that its last request is at now.
func shift(trace []traced, now time.Time) []traced {
	last := trace[0].at
	for _, t := range trace {
		if t.at.After(last) {
			last = t.at
		}
	}
	moved := make([]traced, len(trace))
	for i, t := range trace {
		moved[i] = traced{t.at.Add(now.Sub(last)), t.input, t.output}
	}
	return moved
}

// model is a priced model and the provider that earns it.
type model struct {
	name, provider string
	input, output  decimal.Decimal // per token
}

// listedModels reads the chat models with a price for input and for output
// from the public list, sorted by name, each price as the decimal it spells.
func listedModels(r io.Reader) ([]model, error) {
	var list map[string]map[string]json.RawMessage
	if err := json.NewDecoder(r).Decode(&list); err != nil {
		return nil, err
	}
	var models []model
	for name, entry := range list {
		input, err1 := listedPrice(entry["input_cost_per_token"])
		output, err2 := listedPrice(entry["output_cost_per_token"])
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if string(entry["mode"]) == `"chat"` && input.IsPositive() && output.IsPositive() {
			models = append(models, model{name: name, input: input, output: output})
		}
	}
	sort.Slice(models, func(i, j int) bool { return models[i].name < models[j].name })
	return models, nil
}

// listedPrice is zero where the list has none.
func listedPrice(raw json.RawMessage) (decimal.Decimal, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return decimal.Zero, nil
	}
	return decimal.NewFromString(string(raw))
}

// cost is what an event comes to at the model's prices.
func (m model) cost(e client.Event) decimal.Decimal {
	input := m.input.Mul(decimal.NewFromUint64(e.Usage["input"]))
	return input.Add(m.output.Mul(decimal.NewFromUint64(e.Usage["output"])))
}

// usageKey is a row of an account's usage.
type usageKey struct{ model, component, day string }

type usageSum struct {
	quantity uint64
	amount   decimal.Decimal
}

// account is what the oracle expects of one participant.
type account struct {
	kind   string
	usage  decimal.Decimal // what a customer owes for usage, a provider earned
	topups decimal.Decimal
	events uint64
	rows   map[usageKey]usageSum
}

// oracle computes what a scenario comes to, in decimals, event by event.
type oracle struct {
	accounts map[string]*account
	models   map[string]model
	events   uint64
}

func newOracle(s *scenario) (*oracle, error) {
	o := &oracle{accounts: map[string]*account{}, models: map[string]model{}}
	for _, a := range s.accounts {
		o.accounts[a.ID] = &account{kind: a.Kind, rows: map[usageKey]usageSum{}}
	}
	for _, m := range s.models {
		o.models[m.name] = m
	}
	for _, t := range s.topups {
		a := o.accounts[t.account]
		a.topups = a.topups.Add(t.amount.Decimal)
	}
	for _, e := range s.events {
		if err := o.book(e); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// book adds one event to its payer and its payee.
func (o *oracle) book(e client.Event) error {
	payer, m := o.accounts[e.Subject], o.models[e.Model]
	payee := o.accounts[m.provider]
	if payer == nil || payee == nil {
		return fmt.Errorf("event %s: unknown payer %q or model %q", e.ID, e.Subject, e.Model)
	}
	day := e.Time.UTC().Format(time.DateOnly)
	for component, quantity := range e.Usage {
		price := m.input
		if component == "output" {
			price = m.output
		}
		if quantity == 0 {
			continue
		}
		amount := price.Mul(decimal.NewFromUint64(quantity))
		key := usageKey{e.Model, component, day}
		sum := payer.rows[key]
		payer.rows[key] = usageSum{sum.quantity + quantity, sum.amount.Add(amount)}
		payer.usage, payee.usage = payer.usage.Add(amount), payee.usage.Add(amount)
	}
	payer.events++
	o.events++
	return nil
}

// gross is what the account's lines sum to over all windows.
func (a *account) gross() (debits, credits decimal.Decimal) {
	if a.kind == "provider" {
		return decimal.Zero, a.usage
	}
	return a.usage, a.topups
}
