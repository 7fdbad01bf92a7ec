package twin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sort"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// netLocked makes the batch of one currency; false when there is nothing to
// settle.
func (l *Ledger) netLocked(currency string) (batch, bool) {
	var parties []*account
	for _, a := range l.accounts {
		if a.spec.Currency == currency && (a.touched || !settle(a).IsZero()) {
			parties = append(parties, a)
		}
	}
	house := l.houseLocked(currency)
	if len(parties) == 0 && !house.touched {
		return batch{}, false
	}
	parties = append(parties, house)
	sort.Slice(parties, func(i, j int) bool { return parties[i].spec.ID < parties[j].spec.ID })
	b := batch{manifest: client.Manifest{
		BatchID: batchID(currency, l.window), Window: l.window, Currency: currency,
		FirstSequence: l.cut + 1, LastSequence: l.sequence, Previous: json.RawMessage("null"),
	}}
	for i, a := range parties {
		line := cut(a)
		line.Line = i + 1
		b.manifest.Events += line.Events
		b.lines = append(b.lines, line)
	}
	return b, true
}

func batchID(currency string, window uint64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", currency, window))
	return hex.EncodeToString(sum[:])
}

// settle is the signed amount that a cut now moves: pay positive.
func settle(a *account) decimal.Decimal {
	amount := a.posted.Truncate(minorUnits(a.spec.Currency))
	if a.spec.Kind == operator || a.spec.Kind == "customer" && amount.IsPositive() || a.spec.Kind == "provider" && amount.IsNegative() {
		return decimal.Zero
	}
	return amount
}

// cut makes the account's line and begins its next window.
func cut(a *account) client.Line {
	amount := settle(a)
	in := a.carried
	out := in.Add(a.gross.credits).Sub(a.gross.debits).Sub(amount)
	direction := "none"
	switch amount.Sign() {
	case 1:
		direction = "pay"
	case -1:
		direction = "collect"
	}
	m := func(d decimal.Decimal) client.Money { return client.Money{Decimal: d} }
	line := client.Line{
		Account: a.spec.ID, Direction: direction, Amount: m(amount.Abs()),
		GrossDebits: m(a.gross.debits), GrossCredits: m(a.gross.credits), Returned: m(decimal.Zero),
		CarriedIn: m(in), CarriedOut: m(out), Events: a.events,
	}
	if !amount.IsZero() {
		a.moves = append(a.moves, client.Transfer{Amount: m(amount.Neg()), Reason: "settlement"})
	}
	a.posted, a.carried, a.events, a.touched = a.posted.Sub(amount), out, 0, false
	a.gross.debits, a.gross.credits = decimal.Zero, decimal.Zero
	return line
}

// minorUnits of the currencies that are used against the twin.
func minorUnits(currency string) int32 {
	if currency == "JPY" {
		return 0
	}
	return 2
}
