package engine

import (
	"fmt"
	"strings"
	"time"

	"github.com/cockroachdb/datadriven"
)

// repriced returns once the repricer has done all that it was told before.
func (e *Engine) repriced() {
	idle := make(chan struct{})
	e.repriceIdle <- idle
	<-idle
}

func (s *scenario) event(_ *datadriven.TestData, args []string) string {
	source, id, _ := strings.Cut(args[0], "/")
	e, refused := s.r.e.Event(source, id)
	if refused != nil {
		return refusedText(refused)
	}
	out := fmt.Sprintf("%d %s/%s of %s, %s%s\n", e.Sequence, e.Source, e.ID, e.Subject, e.Type, dimensionsText(e.Dimensions))
	if !e.Time.Equal(e.Recorded) {
		out += "  time " + e.Time.Format(time.RFC3339) + "\n"
	}
	if e.State != "rated" && e.State != "unpriced" {
		out += "  " + e.State + "\n"
	}
	if e.Rating == nil {
		for _, u := range e.Usage {
			out += fmt.Sprintf("  %s %s\n", u.Quantity, u.Component)
		}
		out += "  unpriced: " + e.Reason + "\n"
	} else {
		if e.Rating.Sequence != e.Sequence {
			out += fmt.Sprintf("  was unpriced: %s; rated at %d\n", e.Reason, e.Rating.Sequence)
		}
		out += ratingText(e.Rating, e.Type, e.Currency.Code())
	}
	for _, c := range e.Corrections {
		out += fmt.Sprintf("  %s %s at %d %s\n", c.Kind, c.ID, c.Sequence, c.Reason)
		if c.Back != nil {
			out += ratingText(c.Back, e.Type, e.Currency.Code())
		}
		if c.New != nil {
			out += ratingText(c.New, e.Type, e.Currency.Code())
		}
	}
	return out
}

func ratingText(r *Rating, meter, currency string) string {
	out := ""
	for _, c := range r.Components {
		if plain := fmt.Sprintf("%s × %s = %s", c.Quantity, c.Price, c.Amount); len(c.Steps) == 1 && c.Steps[0] == plain {
			out += fmt.Sprintf("  %s %s × %s = %s\n", c.Quantity, c.Component, c.Price, c.Amount)
			continue
		}
		out += fmt.Sprintf("  %s %s, %s %s = %s\n", c.Quantity, c.Component, c.Model, strings.TrimPrefix(" "+c.Period, " "), c.Amount)
		for _, step := range c.Steps {
			out += "    " + step + "\n"
		}
	}
	out += fmt.Sprintf("  %s %s by %s, price of%s\n", r.Amount, currency, r.Version, dimensionsText(r.Match)+" "+meter)
	for _, t := range r.Transfers {
		out += fmt.Sprintf("  %s: %s %s to %s %s, %s\n", t.Reason, t.Debit, t.DebitClass, t.Credit, t.CreditClass, t.Amount)
	}
	if s := r.Settlement; s.Batch != "" {
		out += fmt.Sprintf("  settled in window %d, batch %.8s, line %d\n", s.Window, s.Batch, s.Line)
	}
	return out
}

func (s *scenario) void(_ *datadriven.TestData, args []string) string {
	source, id, _ := strings.Cut(args[0], "/")
	v, created, refused := s.r.e.Void(VoidSpec{Source: source, Event: id, ID: args[1], Reason: strings.Join(args[2:], " ")})
	out := s.outcome(created, refused) + "\n"
	if refused != nil {
		return out
	}
	out += fmt.Sprintf("%d %s of %s/%s: %s %s to %s\n", v.Sequence, v.ID, v.Source, v.Event, v.Amount, v.Currency, v.Account)
	for _, t := range v.Transfers {
		out += fmt.Sprintf("  %s: %s %s to %s %s, %s\n", t.Reason, t.Debit, t.DebitClass, t.Credit, t.CreditClass, t.Amount)
	}
	return out
}

func (s *scenario) unpricedCounts() string {
	sum, refused := s.r.e.UnpricedSummary(100)
	if refused != nil {
		return refusedText(refused)
	}
	out := ""
	for _, c := range sum.Counts {
		out += fmt.Sprintf("  %d × %s%s %v in %s: %s\n", c.Events, c.Type, dimensionsText(c.Dimensions), c.Components, c.Currency, c.Reason)
	}
	return out
}

// stretch reads from= and to=.
func (s *scenario) stretch(d *datadriven.TestData) (from, to time.Time) {
	if text, ok := option(d, "from"); ok {
		from = timeOf(s.time(text))
	}
	if text, ok := option(d, "to"); ok {
		to = timeOf(s.time(text))
	}
	return from, to
}

func (s *scenario) simulate(d *datadriven.TestData, args []string) string {
	o := RepriceOptions{Version: args[0]}
	o.From, o.To = s.stretch(d)
	run := s.r.e.Simulate
	if d.Cmd == "preview" {
		run = s.r.e.PreviewRerate
	}
	r, refused := run(o)
	if refused != nil {
		return refusedText(refused)
	}
	out := fmt.Sprintf("%d events, %d without a price\n", r.Events, r.Unpriced)
	for _, row := range r.Rows {
		out += fmt.Sprintf("  %s %s %s: %d events, %s → %s %s\n", row.Account, row.Model, row.Component, row.Events, row.Was, row.Would, row.Currency)
	}
	for _, t := range r.Totals {
		out += fmt.Sprintf("  in all %s → %s %s\n", t.Was, t.Would, t.Currency)
	}
	return out
}

func (s *scenario) rerate(d *datadriven.TestData, args []string) string {
	spec := RerateSpec{ID: args[0], Version: args[1]}
	spec.From, spec.To = s.stretch(d)
	_, created, refused := s.r.e.Rerate(spec)
	if refused != nil {
		return refusedText(refused)
	}
	s.r.e.repriced()
	r, refused := s.r.e.RerateStatus(args[0])
	if refused != nil {
		return refusedText(refused)
	}
	out := fmt.Sprintf("%s; %s, %d events\n", s.outcome(created, nil), r.State, r.Events)
	for _, t := range r.Totals {
		out += fmt.Sprintf("  returned %s, charged %s %s\n", t.Returned, t.Charged, t.Currency)
	}
	return out
}
