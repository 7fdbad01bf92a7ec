package main

import (
	"context"
	"fmt"
	"time"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// demoPatience bounds the wait for late prices to reach their events.
const demoPatience = 10 * time.Second

// demoKind is what an event is a sample of.
type demoKind string

const (
	demoOther     demoKind = ""
	demoOpenAI    demoKind = "with usage as OpenAI reports it"
	demoAnthropic demoKind = "with usage as Anthropic reports it"
	demoTiered    demoKind = "at a graduated price"
)

// kindOf looks at postpaid customers: their lines show what they pay.
func kindOf(w *demoWorld, e *demoEvent) demoKind {
	_, prepaid := w.topups[e.Subject]
	switch {
	case prepaid:
		return demoOther
	case e.UsageFormat == "openai":
		return demoOpenAI
	case e.UsageFormat == "anthropic":
		return demoAnthropic
	case e.Type == "api.calls" && len(w.calls[w.currency(e.Subject)].tiers) > 1:
		return demoTiered
	}
	return demoOther
}

// sample returns the first event of a kind that was sent.
func (d *demo) sample(kind demoKind) (*demoEvent, error) {
	for _, s := range d.senders {
		if e := s.samples[kind]; e != nil {
			return e, nil
		}
	}
	return nil, fmt.Errorf("%w: no event %s was sent: let it run longer", errDemo, kind)
}

// correct does after the traffic what an operator does: it prices the model
// that came without a price, and takes two events back.
func (d *demo) correct(ctx context.Context) error {
	if err := d.priceNewcomer(ctx); err != nil {
		return err
	}
	for _, kind := range []demoKind{demoAnthropic, demoTiered} {
		e, err := d.sample(kind)
		if err != nil {
			return err
		}
		if err := d.void(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// priceNewcomer puts a version that has the missing price and waits until it
// has rated every event that came without.
func (d *demo) priceNewcomer(ctx context.Context) error {
	waiting, err := d.client.Unpriced(ctx)
	if err != nil {
		return err
	}
	name := d.world.newcomer.name
	d.check("every event without a price was listed, and no other", func() error {
		if got := unpricedOf(waiting, name); got != d.want.tally.unpriced || waiting.Events != uint64(got) {
			return fmt.Errorf("%w: %d events without a price, %d of them of %s; want %d of it alone", errDemo, waiting.Events, got, name, d.want.tally.unpriced)
		}
		return nil
	}())
	d.out.note(fmt.Sprintf("%d events of %s wait for a price; they are in no batch so far", waiting.Events, name))
	began := time.Now()
	if err := d.client.PutPrices(ctx, "demo-2", d.world.laterBook()); err != nil {
		return err
	}
	if err := d.awaitPriced(ctx); err != nil {
		return err
	}
	d.out.note(fmt.Sprintf("version demo-2 has one: all of them are rated after %v, into the open window", time.Since(began).Round(time.Millisecond)))
	return nil
}

func unpricedOf(u client.Unpriced, model string) (n int) {
	for _, c := range u.Counts {
		if c.Dimensions["model"] == model {
			n += int(c.Events)
		}
	}
	return n
}

func (d *demo) awaitPriced(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	return client.Retry(ctx, 10*time.Millisecond, func(ctx context.Context) error {
		left, err := d.client.Unpriced(ctx)
		if err == nil && left.Events > 0 {
			err = fmt.Errorf("%w: %d events are unpriced", client.ErrNotYet, left.Events)
		}
		return err
	})
}

// void takes an event back, twice: the second time must change nothing.
func (d *demo) void(ctx context.Context, e *demoEvent) error {
	was, err := d.client.Booked(ctx, e.Source, e.ID)
	if err != nil {
		return err
	}
	back := d.want.void(d.world, e)
	first, err := d.client.Void(ctx, e.Source, e.ID, "void-"+e.ID, "the customer never got an answer")
	if err != nil {
		return err
	}
	again, err := d.client.Void(ctx, e.Source, e.ID, "void-again-"+e.ID, "")
	if err != nil {
		return err
	}
	d.check("the event "+e.ID+" is taken back once, for what it must give back", func() error {
		if !first.Amount.Equal(back) || again.Sequence != first.Sequence || !sumOf(first.Transfers).Equal(back) {
			return fmt.Errorf("%w: void of %s gave back %s in %v, and then %s; want %s once", errDemo, e.ID, first.Amount, first.Transfers, again.Amount, back)
		}
		return nil
	}())
	window := "the open window"
	if was.Window > 0 {
		window = fmt.Sprintf("window %d", was.Window)
	}
	d.out.note(fmt.Sprintf("void of %s, %s of %s, which cost %s %s in %s: %s go back in the open window",
		e.ID, e.Type, e.Subject, was.Amount, was.Currency, window, first.Amount))
	return nil
}

func sumOf(transfers []client.BookedTransfer) (sum decimal.Decimal) {
	for _, t := range transfers {
		sum = sum.Add(t.Amount.Decimal)
	}
	return sum
}
