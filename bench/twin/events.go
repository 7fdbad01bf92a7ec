package twin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// wireEvent is an event as it comes in; fields that must be there are checked
// by hand.
type wireEvent struct {
	ID      string     `json:"id"`
	Source  string     `json:"source"`
	Type    string     `json:"type"`
	Subject string     `json:"subject"`
	Time    *time.Time `json:"time"`
	Data    struct {
		Model string                 `json:"model"`
		Usage map[string]json.Number `json:"usage"`
	} `json:"data"`
}

// splitEvents returns the events of a body, each as its own document.
func splitEvents(contentType string, body []byte) ([]json.RawMessage, error) {
	if contentType == compactType {
		return splitCompact(body)
	}
	if strings.HasPrefix(contentType, "application/x-ndjson") {
		var all []json.RawMessage
		for line := range bytes.Lines(body) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				all = append(all, json.RawMessage(line))
			}
		}
		return all, nil
	}
	if body = bytes.TrimSpace(body); len(body) > 0 && body[0] == '[' {
		var all []json.RawMessage
		err := json.Unmarshal(body, &all)
		return all, err
	}
	if !json.Valid(body) {
		return nil, fmt.Errorf("not JSON")
	}
	return []json.RawMessage{body}, nil
}

// bookLocked books one event. The code is "" unless it is refused.
func (l *Ledger) bookLocked(raw json.RawMessage, answer *client.Accepted) (id, code string) {
	var e wireEvent
	if err := json.Unmarshal(raw, &e); err != nil {
		return "", "malformed"
	}
	usage, ok := quantities(e)
	if !ok {
		return e.ID, "invalid_quantity"
	}
	if e.ID == "" || len(e.ID) > 128 || e.Source == "" {
		return e.ID, "invalid_id"
	}
	identity := e.Source + "\x00" + e.ID
	content := fmt.Sprint(e.Subject, "\x00", e.Type, "\x00", e.Data.Model, "\x00", usage)
	if known, again := l.known[identity]; again {
		if known != content {
			return e.ID, "id_conflict"
		}
		answer.Duplicates++
		return e.ID, ""
	}
	now := l.Now()
	at := now
	if e.Time != nil {
		at = *e.Time
	}
	if at.After(now.Add(5*time.Minute)) || at.Before(now.AddDate(0, 0, -35)) {
		return e.ID, "time_out_of_range"
	}
	payer := l.accounts[e.Subject]
	if payer == nil || payer.spec.Kind != "customer" {
		return e.ID, "unknown_account"
	}
	l.known[identity] = content
	answer.Accepted++
	booked := &client.Booked{Subject: e.Subject}
	l.booked[identity] = booked
	if !l.rateLocked(payer, e, usage, at, booked) {
		answer.Unpriced++
	}
	return e.ID, ""
}

func quantities(e wireEvent) (map[string]int64, bool) {
	if len(e.Data.Usage) == 0 {
		return map[string]int64{"call": 1}, true
	}
	usage := map[string]int64{}
	for component, number := range e.Data.Usage {
		n, err := number.Int64()
		if err != nil || n < 0 || n > math.MaxInt64/2 {
			return nil, false
		}
		if n > 0 {
			usage[component] = n
		}
	}
	return usage, true
}

// rateLocked posts the event's amount and notes it in b; false when it has no
// price.
func (l *Ledger) rateLocked(payer *account, e wireEvent, usage map[string]int64, at time.Time, b *client.Booked) bool {
	price := l.priceLocked(e.Type, payer.spec.Currency, e.Data.Model, at)
	if price == nil {
		return false
	}
	total, components, ok := rate(price, usage)
	if !ok {
		return false
	}
	for _, c := range components {
		key := usageKey{e.Data.Model, c.Component, at.UTC().Format(time.DateOnly)}
		if payer.usage[key] == nil {
			payer.usage[key] = &usageSum{}
		}
		payer.usage[key].quantity += c.Quantity.IntPart()
		payer.usage[key].amount = payer.usage[key].amount.Add(c.Amount.Decimal)
	}
	payee := l.accounts[price.Payee]
	if payee == nil {
		payee = l.houseLocked(payer.spec.Currency)
	}
	b.Priced, b.Amount, b.Components = true, client.Money{Decimal: total}, components
	b.Transfers = []client.BookedTransfer{{Debit: e.Subject, Credit: payee.spec.ID, Amount: b.Amount}}
	b.BatchID = batchID(payer.spec.Currency, l.window) // where it will stand
	payer.events++
	for _, node := range l.chain(payer) {
		node.spent, node.calls = node.spent.Add(total), node.calls+1
	}
	l.transferLocked(l.rootOf(payer), payee, total, "usage")
	return true
}

// rate is what usage comes to; false when a component has no flat price.
func rate(price *client.Price, usage map[string]int64) (total decimal.Decimal, components []client.BookedComponent, ok bool) {
	for component, quantity := range usage {
		var unit client.Money
		raw, priced := price.Components[component]
		if !priced || json.Unmarshal(raw, &unit) != nil {
			return total, nil, false
		}
		q := client.Money{Decimal: decimal.NewFromInt(quantity)}
		amount := client.Money{Decimal: unit.Mul(q.Decimal)}
		total = total.Add(amount.Decimal)
		components = append(components, client.BookedComponent{Component: component, Quantity: q, Price: unit, Amount: amount})
	}
	return total, components, true
}
