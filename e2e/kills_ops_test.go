package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"farthing/bench/audit"
	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// The kinds of operations of a kill rig.
const (
	killSingle  = iota // one event
	killBatch          // events
	killTopUp          // credit
	killCapture        // a hold, and its capture by an event
	killRelease        // a hold, and its end without one
	killVoid           // of an event
	killClose          // of a window
)

// killOp is an operation that may be sent any number of times and counts once.
type killOp struct {
	kind    int
	id      string
	account string
	events  []client.Event
	amount  client.Money
	voided  string // event
	effects []killEffect

	fresh  int    // events that the last send booked
	answer string // of a close
}

// killEffect is what an operation adds to an account.
type killEffect struct {
	account string
	amount  decimal.Decimal
}

// draw makes the next operation of a client. mine are events that it alone may void.
func (r *killRig) draw(rng *rand.Rand, worker int, mine *[]*killOp) *killOp {
	n := r.next.Add(1)
	op := &killOp{id: fmt.Sprintf("op-%d", n), account: killCustomer(rng.IntN(killCustomers))}
	switch k := rng.IntN(100); {
	case worker == 0 && k < 8:
		op.kind = killClose
	case k < 10 && len(*mine) > 0:
		event := (*mine)[0]
		*mine = (*mine)[1:]
		op.kind, op.account, op.voided = killVoid, event.account, event.events[0].ID
		op.charge(-1)
	case k < 20:
		op.kind, op.amount = killTopUp, client.M(decimal.New(1+rng.Int64N(10_000), -2).String())
		op.account = killCustomer(rng.IntN(killCustomers - 2))
		op.effects = []killEffect{{op.account, op.amount.Decimal}}
	case k < 40:
		op.kind, op.amount = killCapture, client.M("0.05")
		op.event(0)
	case k < 48:
		op.kind, op.amount = killRelease, client.M("0.75")
	case k < 80:
		op.kind = killBatch
		for i := range 1 + rng.IntN(60) {
			op.event(i)
		}
	default:
		op.kind = killSingle
		op.event(0)
	}
	return op
}

func (o *killOp) event(i int) {
	o.events = append(o.events, client.Event{ID: fmt.Sprintf("%s-%d", o.id, i), Source: "kills", Type: "api.calls", Subject: o.account})
	o.charge(1)
}

// charge makes the payer pay n events.
func (o *killOp) charge(n int64) {
	amount := killPrice.Mul(decimal.NewFromInt(n))
	o.effects = append(o.effects, killEffect{o.account, amount.Neg()}, killEffect{"prov", amount})
}

// send sends the operation; nil: it is acknowledged. fresh counts the events that were booked by it.
func (o *killOp) send(ctx context.Context, c *client.Client) error {
	switch o.kind {
	case killSingle, killBatch:
		return o.post(ctx, c)
	case killTopUp:
		return c.TopUp(ctx, o.account, o.id, o.amount)
	case killCapture:
		if _, err := c.Hold(ctx, client.NewHold{ID: o.id, Account: o.account, Amount: &o.amount}); err != nil {
			return err
		}
		if _, err := c.Capture(ctx, o.id, o.events[0]); err != nil {
			return err
		}
		return nil
	case killRelease:
		if _, err := c.Hold(ctx, client.NewHold{ID: o.id, Account: o.account, Amount: &o.amount}); err != nil {
			return err
		}
		_, err := c.VoidHold(ctx, o.id)
		return err
	case killVoid:
		_, err := c.Void(ctx, "kills", o.voided, o.id, "kill rig")
		return err
	}
	closed, err := c.CloseWindow(ctx, o.id)
	if err != nil {
		return err
	}
	answer, err := json.Marshal(closed)
	if o.answer != "" && o.answer != string(answer) {
		return fmt.Errorf("a close was answered %s, and then %s", o.answer, answer)
	}
	o.answer = string(answer)
	return err
}

func (o *killOp) post(ctx context.Context, c *client.Client) error {
	got, err := c.Post(ctx, o.events)
	if err != nil {
		return err
	}
	if got.Accepted+got.Duplicates != len(o.events) || got.Unpriced != 0 {
		return fmt.Errorf("of %d events %d were accepted, %d of them without a price, and %d were there; rejected: %+v",
			len(o.events), got.Accepted, got.Unpriced, got.Duplicates, got.Rejected)
	}
	o.fresh = got.Accepted
	return nil
}

func rawComponents(name, price string) map[string]json.RawMessage {
	return map[string]json.RawMessage{name: json.RawMessage(`"` + price + `"`)}
}

// checkAudit holds batches to the contract.
func checkAudit(t *testing.T, batches []audit.Batch, kinds map[string]string) {
	t.Helper()
	_, faults := audit.Windows(batches, kinds)
	for _, fault := range faults {
		t.Error(fault)
	}
}
