package meter

import (
	"fmt"
	"strings"

	"farthing/money"
)

// wholeUnit is 1, the largest fee.
var wholeUnit = mustAmount("1")

// maxUnit bounds units, flats and minimums at 10^12 currency units, so that price × largest
// quantity stays within what an amount can hold after checking once per event.
var maxUnit = mustAmount("1000000000000")

func mustAmount(s string) money.Amount {
	a, err := money.Parse(s)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return a
}

// priceOf reads an amount from 0 to maxUnit.
func priceOf(raw []byte) (money.Amount, error) {
	a, err := amountOf(raw)
	if err == nil {
		err = checkPrice(a)
	}
	return a, err
}

func checkPrice(a money.Amount) error {
	switch {
	case a.Sign() < 0:
		return fmt.Errorf("a price must not be negative")
	case a.Cmp(maxUnit) > 0:
		return fmt.Errorf("a price must be at most %s", maxUnit)
	}
	return nil
}

// dividePer divides exactly; a quotient that 18 decimals do not hold is refused.
func dividePer(amount money.Amount, raw []byte) (money.Amount, error) {
	per, err := quantityOf(raw)
	whole, isWhole := per.Whole()
	if err != nil || !isWhole || whole == 0 {
		return amount, fmt.Errorf("per must be a whole number above 0")
	}
	out, exact := amount.DivExact(whole)
	if !exact {
		return amount, fmt.Errorf("unit / per is not exact at %d decimals", money.Scale)
	}
	return out, nil
}

// quantityOf reads a decimal string or a JSON number.
func quantityOf(raw []byte) (money.Quantity, error) {
	text, ok := scalarText(raw)
	if !ok {
		return 0, fmt.Errorf("must be a decimal string")
	}
	q, err := money.ParseQuantity(text)
	if err != nil {
		return 0, fmt.Errorf("%q: %w", clip(string(text)), err)
	}
	return q, nil
}

// amountOf reads a decimal string or a JSON number as the decimal it spells.
func amountOf(raw []byte) (money.Amount, error) {
	text, ok := scalarText(raw)
	if !ok {
		return money.Amount{}, fmt.Errorf("a price must be a decimal string")
	}
	var a money.Amount
	var err error
	if isString(raw) {
		a, err = money.ParseBytes(text)
	} else {
		a, err = money.ParseNumberBytes(text)
	}
	if err != nil {
		return a, fmt.Errorf("price %q: %w", clip(string(text)), err)
	}
	return a, nil
}

// clip shortens a client's text for a message.
func clip(s string) string { return clipTo(s, 43) }

// clipTo shortens a text to n bytes, with the sign that says so.
func clipTo(s string, n int) string {
	const sign = "…"
	if len(s) > n {
		return strings.ToValidUTF8(s[:n-len(sign)], "") + sign
	}
	return s
}
