package ledger

import (
	"encoding/binary"
	"errors"

	"farthing/money"
)

// Balance is an account's cumulative debits and credits. Nothing is ever
// subtracted from either: a correction is a new movement.
type Balance struct{ Debits, Credits money.Amount }

// Credit returns credits − debits.
func (b *Balance) Credit() money.Amount { return b.Credits.MustSub(b.Debits) }

// Debit returns debits − credits.
func (b *Balance) Debit() money.Amount { return b.Debits.MustSub(b.Credits) }

// Settled reports whether debits and credits are equal.
func (b *Balance) Settled() bool { return b.Debits == b.Credits }

// Row is the money of one customer or provider.
//
// The gross figures and the event count are those of window Window; they are
// reset by the first movement in a later one, so a cut touches no row.
//
// What an event touches stands first: with many accounts in random order, posting is waiting for
// memory, and it is two or three cache lines instead of all four.
type Row struct {
	Events uint64 // usage events it paid for in the window
	Window uint64
	Grants uint32 // the first open grant in burn order, + 1; 0: none
	Marks  uint32 // the caller's: what else has to be looked at when the account moves

	Paid Balance // customers: the pool of paid credit, credit-normal, never below zero
	Due  Balance // customers: receivable, debit-normal, never below zero; providers: payable, credit-normal

	GrossDebits, GrossCredits money.Amount // the window's transfers, without closing transfers

	Holds   uint64       // open holds of the tree whose root this is
	Held    money.Amount // customers: what open holds reserve on the pool
	Granted money.Amount // customers: what is left of all grants
	Transit money.Amount // customers: collected by batches, and neither paid nor failed yet
	// Bought is what came in from outside for a customer and did not go out again: what it paid,
	// what was collected, paid grants. More is never paid back, because what prices that count
	// give back may have come from promotional credit. Below zero: what it had paid came back to it
	// through its bank after it had been refunded or moved away.
	Bought money.Amount

	CarriedIn money.Amount // carried_out of its previous line
}

// amounts are the row's amounts in stored order.
func (r *Row) amounts() [11]*money.Amount {
	return [...]*money.Amount{&r.Paid.Debits, &r.Paid.Credits, &r.Due.Debits, &r.Due.Credits, &r.Held, &r.Granted, &r.Transit,
		&r.Bought, &r.GrossDebits, &r.GrossCredits, &r.CarriedIn}
}

// rowBytes is the size of an encoded Row: 11 amounts, 3 counters, a link and marks.
const rowBytes = 11*16 + 3*8 + 2*4

// ErrRow says that bytes are not an encoded row.
var ErrRow = errors.New("not an encoded ledger row")

// Append appends the fixed-size binary form of r.
func (r *Row) Append(dst []byte) []byte {
	for _, a := range r.amounts() {
		dst = appendWords(dst, *a)
	}
	dst = binary.LittleEndian.AppendUint64(dst, r.Events)
	dst = binary.LittleEndian.AppendUint64(dst, r.Window)
	dst = binary.LittleEndian.AppendUint32(dst, r.Grants)
	dst = binary.LittleEndian.AppendUint32(dst, r.Marks)
	return binary.LittleEndian.AppendUint64(dst, r.Holds)
}

// DecodeRow reads what Append wrote and returns the bytes after it.
func DecodeRow(src []byte) (r Row, rest []byte, err error) {
	if len(src) < rowBytes {
		return r, src, ErrRow
	}
	ok := true
	for _, a := range r.amounts() {
		*a, src = words(src, &ok)
	}
	if !ok {
		return r, src, ErrRow
	}
	r.Events = binary.LittleEndian.Uint64(src)
	r.Window = binary.LittleEndian.Uint64(src[8:])
	r.Grants, r.Marks = binary.LittleEndian.Uint32(src[16:]), binary.LittleEndian.Uint32(src[20:])
	r.Holds = binary.LittleEndian.Uint64(src[24:])
	return r, src[32:], nil
}

func appendWords(dst []byte, a money.Amount) []byte {
	hi, lo := a.Words()
	dst = binary.LittleEndian.AppendUint64(dst, uint64(hi))
	return binary.LittleEndian.AppendUint64(dst, lo)
}

// words reads an amount; ok turns false on the one pattern that is none.
func words(src []byte, ok *bool) (money.Amount, []byte) {
	hi, lo := binary.LittleEndian.Uint64(src), binary.LittleEndian.Uint64(src[8:])
	if hi == 1<<63 && lo == 0 {
		*ok = false
		return money.Amount{}, src[16:]
	}
	return money.FromWords(int64(hi), lo), src[16:]
}

// Gross returns the row's figures of window w: zero if it was not touched in it.
func (r *Row) Gross(w uint64) (debits, credits money.Amount, events uint64) {
	if r.Window != w {
		return money.Amount{}, money.Amount{}, 0
	}
	return r.GrossDebits, r.GrossCredits, r.Events
}

// Posted is what the participant has with us: paid + grants − receivable of a customer,
// payable of a provider.
func (r *Row) Posted(k Kind) money.Amount {
	if k == Provider {
		return r.Due.Credit()
	}
	return r.Paid.Credit().MustAdd(r.Granted).MustSub(r.Due.Debit())
}

// Free is what a new hold may reserve on the pool: paid − receivable − holds on it −
// collections in transit + overdraft. It may be below zero.
func (r *Row) Free(overdraft money.Amount) money.Amount {
	return r.Paid.Credit().MustSub(r.Due.Debit()).MustSub(r.Held).MustSub(r.Transit).MustAdd(overdraft)
}

// Refundable is how much of the pool may be paid back or moved away: paid credit that no hold
// reserves and no collection in transit may take back, as far as it was bought.
func (r *Row) Refundable() money.Amount {
	return upTo(r.Paid.Credit().MustSub(r.Held).MustSub(r.Transit), r.Arrived())
}

// Arrived is what of Bought is here: not what batches collect and whose result is not known.
func (r *Row) Arrived() money.Amount { return upTo(r.Bought.MustSub(r.Transit), r.Bought) }

// bought counts what came in from outside; below zero: it went out again, which takes no more than
// there is.
func (r *Row) bought(a money.Amount) {
	had := r.Bought
	if r.Bought = had.MustAdd(a); a.Sign() < 0 && r.Bought.Sign() < 0 {
		r.Bought = least(had, money.Amount{})
	}
}

// open makes the window's figures those of window w.
func (r *Row) open(w uint64) {
	if r.Window != w {
		r.GrossDebits, r.GrossCredits, r.Events, r.Window = money.Amount{}, money.Amount{}, 0, w
	}
}

// Totals is the books of one currency: per class, what all its accounts were
// debited and credited, and the operator's figures of the open window.
type Totals struct {
	Class                     [NumClasses]Balance
	GrossDebits, GrossCredits money.Amount // the operator's, of the open window
	CarriedIn                 money.Amount // the operator's
	Events                    uint64       // rated events of the open window
	Moved                     money.Amount // sum of all movements: what debits and credits must both come to
	Operator                  Ref          // the operator's participant of this currency
	Used                      bool         // the currency has a participant
}

// Sum returns the debits and credits of all classes.
func (t *Totals) Sum() (debits, credits money.Amount) {
	for i := range t.Class {
		debits = debits.MustAdd(t.Class[i].Debits)
		credits = credits.MustAdd(t.Class[i].Credits)
	}
	return debits, credits
}

// OperatorPosted is what the operator's accounts come to: credits − debits of all
// classes that are its own.
func (t *Totals) OperatorPosted() money.Amount {
	var sum money.Amount
	for c := Revenue; c < NumClasses; c++ {
		sum = sum.MustAdd(t.Class[c].Credit())
	}
	return sum
}

// Append appends the binary form of t.
func (t *Totals) Append(dst []byte) []byte {
	for i := range t.Class {
		dst = appendWords(dst, t.Class[i].Debits)
		dst = appendWords(dst, t.Class[i].Credits)
	}
	dst = appendWords(dst, t.GrossDebits)
	dst = appendWords(dst, t.GrossCredits)
	dst = appendWords(dst, t.CarriedIn)
	dst = appendWords(dst, t.Moved)
	dst = binary.LittleEndian.AppendUint64(dst, t.Events)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(t.Operator))
	if t.Used {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// totalsBytes is the size of an encoded Totals.
const totalsBytes = int(NumClasses)*32 + 4*16 + 8 + 4 + 1

// DecodeTotals reads what Append wrote and returns the bytes after it.
func DecodeTotals(src []byte) (t Totals, rest []byte, err error) {
	if len(src) < totalsBytes {
		return t, src, ErrRow
	}
	ok := true
	for i := range t.Class {
		t.Class[i].Debits, src = words(src, &ok)
		t.Class[i].Credits, src = words(src, &ok)
	}
	for _, a := range [...]*money.Amount{&t.GrossDebits, &t.GrossCredits, &t.CarriedIn, &t.Moved} {
		*a, src = words(src, &ok)
	}
	if !ok || src[12] > 1 {
		return t, src, ErrRow
	}
	t.Events = binary.LittleEndian.Uint64(src)
	t.Operator = Ref(binary.LittleEndian.Uint32(src[8:]))
	t.Used = src[12] == 1
	return t, src[13:], nil
}
