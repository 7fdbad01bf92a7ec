package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"farthing/bench"
	"farthing/bench/audit"
	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// demoExplained is an event with what the server says of it.
type demoExplained struct {
	event  *demoEvent
	booked client.Booked
	line   client.Line // that it was settled in
}

// explain asks for a settled event and finds its settlement line.
func (d *demo) explain(ctx context.Context, batches []audit.Batch) (x demoExplained, err error) {
	if x.event, err = d.sample(demoOpenAI); err != nil {
		return x, err
	}
	if x.booked, err = d.client.Booked(ctx, x.event.Source, x.event.ID); err != nil {
		return x, err
	}
	for _, b := range batches {
		for _, line := range b.Lines {
			if b.Manifest.BatchID == x.booked.BatchID && line.Line == x.booked.Line {
				x.line = line
			}
		}
	}
	return x, nil
}

// check compares the explanation with what was sent, component by component.
func (x demoExplained) check(w *demoWorld) error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("%w: the event %s %s", errDemo, x.event.ID, fmt.Sprintf(format, args...)))
	}
	sent, err := json.Marshal(x.event.Reported)
	if err != nil || !bytes.Equal(sent, x.booked.Reported) {
		fault("reported %s, want %s (%v)", x.booked.Reported, sent, err)
	}
	missing := map[string]uint64{}
	for name, quantity := range x.event.components {
		if quantity > 0 {
			missing[name] = quantity
		}
	}
	for _, c := range x.booked.Components {
		quantity := decimal.NewFromUint64(missing[c.Component])
		unit := w.byName[x.event.Model].prices[c.Component].unit
		if !c.Quantity.Equal(quantity) || !c.Price.Equal(unit) || !c.Amount.Equal(quantity.Mul(unit)) {
			fault("has %s of %s × %s = %s, want %s × %s", c.Component, c.Quantity, c.Price, c.Amount, quantity, unit)
		}
		delete(missing, c.Component)
	}
	if len(missing) > 0 {
		fault("lacks %v", missing)
	}
	if want := w.rate(x.event); !x.booked.Amount.Equal(want) || !sumOf(x.booked.Transfers).Equal(want) {
		fault("costs %s, moved by %v; want %s", x.booked.Amount, x.booked.Transfers, want)
	}
	if x.line.Account != x.event.Subject {
		fault("is settled in batch %s, line %d, of %q", x.booked.BatchID, x.booked.Line, x.line.Account)
	}
	return errors.Join(faults...)
}

// explained prints the block.
func (p *demoPrinter) explained(x demoExplained) {
	b := x.booked
	fmt.Fprintf(p.w, "\nOne event explained: GET /v1/events/%s/%s\n\n", x.event.Source, x.event.ID)
	p.say("usage", "%s called %s; %s reported", b.Subject, b.Dimensions["model"], b.UsageFormat)
	for _, line := range wrapReported(b.Reported) {
		p.say("", "  %s", line)
	}
	p.say("price", "of version %s, for %s:", b.Price.Version, matchText(b.Price.Match))
	p.say("", "%s", b.Price.Why)
	p.say("amount", "each token in one component, each component at its price:")
	for _, line := range arithmetic(b) {
		p.say("", "  %s", line)
	}
	for _, t := range b.Transfers {
		p.say("moved", "%s %s from %s (%s) to %s (%s)", t.Amount, b.Currency, t.Debit, t.DebitClass, t.Credit, t.CreditClass)
	}
	p.say("settled", "window %d, batch %s, line %d: %s %s %s for the %s events of %s",
		b.Window, b.BatchID[:min(12, len(b.BatchID))], b.Line, x.line.Direction, x.line.Amount, b.Currency,
		bench.Thousands(int64(x.line.Events)), x.line.Account)
}

// wrapReported writes a provider's object as it came, in lines. Ours has no text
// in it, so each comma and colon is JSON's.
func wrapReported(raw json.RawMessage) []string {
	const width = 90
	lines := []string{""}
	for _, member := range strings.SplitAfter(strings.ReplaceAll(string(raw), ":", ": "), ",") {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = member
		case len(*last)+len(member) < width:
			*last += " " + member
		default:
			lines = append(lines, " "+member)
		}
	}
	return lines
}

func matchText(match map[string]string) string {
	text, err := json.Marshal(match)
	if err != nil {
		panic("BUG: strings are not JSON: " + err.Error())
	}
	return string(text)
}

// arithmetic is quantity × price = amount of every component in columns, with
// the sum below.
func arithmetic(b client.Booked) []string {
	rows := make([][4]string, 0, len(b.Components)+1)
	for _, c := range b.Components {
		rows = append(rows, [4]string{c.Component, c.Quantity.String(), c.Price.String(), c.Amount.String()})
	}
	rows = append(rows, [4]string{"", "", "", b.Amount.String()})
	var width [4]int
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len(cell))
		}
	}
	lines := make([]string, len(rows))
	for i, row := range rows {
		operators := [2]string{"×", "="}
		if i == len(b.Components) {
			operators = [2]string{" ", "="}
		}
		lines[i] = fmt.Sprintf("%-*s  %*s %s %-*s %s %-*s", width[0], row[0], width[1], row[1], operators[0], width[2], row[2], operators[1], width[3], row[3])
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	lines[len(lines)-1] += " " + b.Currency
	return lines
}
