package engine

import (
	"fmt"

	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
)

// cursor walks the commands of a block. It needs the tables as of the block or later.
type cursor struct {
	r    reader
	t    *tables
	time int64  // of the group
	seq  uint64 // of the current command

	kind    byte
	payload []byte      // of a command that is no event
	event   eventRecord // of an event; valid until next
}

// reset starts a block whose first command has the given sequence.
func (c *cursor) reset(body []byte, first uint64, time int64, t *tables) {
	c.r, c.t, c.time, c.seq = reader{p: body}, t, time, first-1
}

// isEvent reports whether the current command is a usage event.
func (c *cursor) isEvent() bool { return c.kind&kindEvent != 0 }

// next decodes the next command; false at the end or on a fault, which err tells apart.
func (c *cursor) next() bool {
	if len(c.r.p) == 0 {
		return false
	}
	c.seq++
	c.kind = c.r.byte()
	switch {
	case c.isEvent():
		c.r.event(&c.event, c.kind, c.time, c.t)
	case c.kind >= kindGenesis && c.kind <= kindTop:
		c.payload = c.r.bytes()
	default:
		c.r.fail()
	}
	return !c.r.bad
}

// err returns what ended the walk early.
func (c *cursor) err() error {
	if c.r.bad {
		return fmt.Errorf("sequence %d: %w", c.seq, errCodec)
	}
	return nil
}

// earner is who earns an event, found again from the journal's record, and what leaves of such events
// have in common.
type earner struct {
	price *meter.Price
	payee ledger.Ref

	operated bool       // the operator's fee is moved as well
	operator ledger.Ref // whose it is
	hash     [32]byte   // of the shape
	version  []byte     // its id, preceded by the length
	code     [4]byte    // of the currency, and a zero
}

// earners finds the price and the payee of priced events from immutable tables; each
// reader has its own. It caches by (version, shape, currency), and, for a reader that goes
// over everything, by shape what was asked for last, which is nearly always asked for again.
type earners struct {
	cache     map[earnerKey]*earner
	operators map[money.Currency]ledger.Ref
	byShape   bool
	recent    []recentEarner // by shape
}

type recentEarner struct {
	key   earnerKey
	value *earner
}

type earnerKey struct {
	version, shape uint32
	currency       money.Currency
}

func newEarners() *earners {
	return &earners{cache: map[earnerKey]*earner{}, operators: map[money.Currency]ledger.Ref{}}
}

// newScanEarners is for a reader that goes over everything.
func newScanEarners() *earners {
	x := newEarners()
	x.byShape = true
	return x
}

// of returns who earns a priced event.
func (x *earners) of(e *eventRecord, t *tables) *earner {
	return x.by(earnerKey{e.version, e.shape, t.people[e.account].Currency}, t)
}

func (x *earners) by(key earnerKey, t *tables) *earner {
	if !x.byShape {
		return x.cached(key, t)
	}
	for int(key.shape) >= len(x.recent) {
		x.recent = append(x.recent, recentEarner{})
	}
	recent := &x.recent[key.shape]
	if recent.value == nil || recent.key != key {
		*recent = recentEarner{key, x.cached(key, t)}
	}
	return recent.value
}

func (x *earners) cached(key earnerKey, t *tables) *earner {
	out, ok := x.cache[key]
	if !ok {
		out = x.find(key, t)
		x.cache[key] = out
	}
	return out
}

func (x *earners) find(key earnerKey, t *tables) *earner {
	v := t.versions[key.version]
	i, ok := v.Version.Match(&t.shapes[key.shape].shape, key.currency)
	if !ok {
		panic("BUG: a priced event has no price")
	}
	out := &earner{price: &v.Version.Prices[i], payee: v.payees[i], hash: t.shapes[key.shape].hash, version: appendBytes(nil, v.Version.ID)}
	copy(out.code[:], key.currency.Code())
	if out.price.Payee == "" {
		out.payee = x.operator(key.currency, t)
	}
	if out.operated = !out.price.Fee.IsZero() && out.price.Payee != ""; out.operated {
		out.operator = x.operator(key.currency, t)
	}
	return out
}

// operator returns the operator's participant of a currency in use.
func (x *earners) operator(c money.Currency, t *tables) ledger.Ref {
	ref, ok := x.operators[c]
	if !ok {
		for i, p := range t.people {
			if p.Kind == ledger.Operator && p.Currency == c {
				ref, ok = ledger.Ref(i), true
				break
			}
		}
		if !ok {
			panic("BUG: a currency in use has no operator")
		}
		x.operators[c] = ref
	}
	return ref
}

// feeOf returns the operator's share of a priced event.
func (x *earner) feeOf(amount money.Amount) money.Amount { return feeOf(x.price, amount) }
