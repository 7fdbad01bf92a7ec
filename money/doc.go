// Package money holds Farthing's amounts of money, quantities of usage and
// currencies, and is the only place that divides either.
//
// An [Amount] is a signed 128-bit integer of 10^-18 currency units. Sums,
// differences and products are exact or refused; nothing wraps and nothing is
// rounded on the way. A [Quantity] is a count of usage in millionths. A
// [Currency] is an ISO 4217 code with its number of minor digits.
//
// Each operation that divides names what happens to the rest:
//
//   - [Amount.Cut] truncates towards zero to a currency's minor unit and hands
//     the rest back (settlement lines);
//   - [Amount.MulFraction] takes a fraction of an amount, cut at 10^-18 towards
//     zero, and hands the rest back (the operator's fee);
//   - [Amount.MulRatio] does the same with a ratio of two integers (the part of
//     a period that has gone by);
//   - [Amount.DivMod] divides a count and hands the rest back;
//   - [Amount.ShiftDown] and [Amount.MulQuantity] divide by a power of ten, and
//     [Amount.DivExact] by any integer, exactly or refuse.
//
// shopspring/decimal is the type at the edges ([FromDecimal],
// [Amount.Decimal]) and the oracle of the tests; it is not used for
// arithmetic, because a multiply-add with it costs over a hundred nanoseconds
// and four allocations.
//
// All types are plain values without shared state; everything here may be
// called from any goroutine. The package does not know currencies' exchange
// rates, and an Amount does not carry its currency: accounts do.
package money
