package twin

import (
	"sort"
	"sync"
	"time"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

const operator = "operator"

// Ledger is an http.Handler that keeps a ledger in memory.
type Ledger struct {
	// Now is the clock; default time.Now. Set before the first request.
	Now func() time.Time

	mu       sync.Mutex
	sequence uint64
	accounts map[string]*account
	house    map[string]*account // the operator's position by currency
	books    map[string]client.Book
	known    map[string]string // identity of an event → its content
	booked   map[string]*client.Booked
	topups   map[string]string // id → content
	holds    map[string]*hold
	closes   map[string]client.Closed
	window   uint64
	cut      uint64 // the sequence at which the window before closed
	batches  []batch
	requests int
	debits   map[string]decimal.Decimal // by currency
}

// account is a participant with its open window.
type account struct {
	spec    client.Account
	posted  decimal.Decimal
	carried decimal.Decimal
	gross   struct{ debits, credits decimal.Decimal }
	events  uint64
	touched bool
	usage   map[usageKey]*usageSum
	moves   []client.Transfer
	held    decimal.Decimal // at it and below it
	limits  []client.Limit
	spent   decimal.Decimal // since it was opened, at it and below it
	calls   uint64
}

type usageKey struct{ model, component, day string }

type usageSum struct {
	quantity int64
	amount   decimal.Decimal
}

type batch struct {
	manifest client.Manifest
	lines    []client.Line
}

// New returns an empty ledger.
func New() *Ledger {
	return &Ledger{
		Now: time.Now, accounts: map[string]*account{}, house: map[string]*account{}, books: map[string]client.Book{},
		known: map[string]string{}, booked: map[string]*client.Booked{}, topups: map[string]string{}, holds: map[string]*hold{}, closes: map[string]client.Closed{}, window: 1,
		debits: map[string]decimal.Decimal{},
	}
}

// Requests is how many requests came in.
func (l *Ledger) Requests() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests
}

// transferLocked moves amount from one account to another.
func (l *Ledger) transferLocked(from, to *account, amount decimal.Decimal, reason string) {
	l.sequence++
	move := func(a *account, signed decimal.Decimal) {
		a.posted, a.touched = a.posted.Add(signed), true
		a.moves = append(a.moves, client.Transfer{Sequence: l.sequence, Amount: client.Money{Decimal: signed}, Reason: reason})
	}
	move(from, amount.Neg())
	from.gross.debits = from.gross.debits.Add(amount)
	move(to, amount)
	to.gross.credits = to.gross.credits.Add(amount)
	l.debits[from.spec.Currency] = l.debits[from.spec.Currency].Add(amount)
}

// houseLocked is the operator's position in a currency.
func (l *Ledger) houseLocked(currency string) *account {
	if l.house[currency] == nil {
		l.house[currency] = &account{spec: client.Account{ID: operator, Currency: currency, Kind: operator}}
	}
	return l.house[currency]
}

// priceLocked finds the price of an event: of the version in force the one
// that matches the most dimensions, here at most the model.
func (l *Ledger) priceLocked(meter, currency, model string, at time.Time) *client.Price {
	var inForce client.Book
	for _, b := range l.books {
		if !b.EffectiveFrom.After(at) && b.EffectiveFrom.After(inForce.EffectiveFrom) {
			inForce = b
		}
	}
	var best *client.Price
	for i := range inForce.Prices {
		p := &inForce.Prices[i]
		if p.Meter != meter || p.Currency != currency || len(p.Match) > 0 && p.Match["model"] != model {
			continue
		}
		if best == nil || len(p.Match) > len(best.Match) {
			best = p
		}
	}
	return best
}

// closeLocked cuts the window and seals its batches.
func (l *Ledger) closeLocked() client.Closed {
	closed := client.Closed{Window: l.window, Cut: l.sequence}
	for _, currency := range l.currenciesLocked() {
		if b, ok := l.netLocked(currency); ok {
			l.batches = append(l.batches, b)
			paid, collected := decimal.Zero, decimal.Zero
			for _, line := range b.lines {
				switch line.Direction {
				case "pay":
					paid = paid.Add(line.Amount.Decimal)
				case "collect":
					collected = collected.Add(line.Amount.Decimal)
				}
			}
			closed.Batches = append(closed.Batches, client.ClosedBatch{
				BatchID: b.manifest.BatchID, Currency: currency, Lines: len(b.lines),
				Paid: client.Money{Decimal: paid}, Collected: client.Money{Decimal: collected},
			})
		}
	}
	l.window++
	l.cut = l.sequence
	return closed
}

func (l *Ledger) currenciesLocked() []string {
	var all []string
	for c := range l.house {
		all = append(all, c)
	}
	sort.Strings(all)
	return all
}
