package meter

import (
	"fmt"

	"farthing/money"
)

// ExplainShift shows the arithmetic of Shift for the part of a period that was counted under a
// later version, which lies above: so far is what the component's amount comes to without it.
// Steps of T are told apart by the version's id, as T[id].
func (e *Explained) ExplainShift(c *ComponentPrice, version string, from, to, q money.Quantity, back bool, soFar money.Amount) (money.Amount, bool) {
	part, ok := c.Shift(from, to, q, back)
	if !ok {
		return soFar, false
	}
	sum, ok := soFar.Add(part)
	if !ok {
		return soFar, false
	}
	low, high := from+q, to+q
	moved := "higher"
	if back {
		low, high, moved = from-q, to-q, "lower"
	}
	name := "T[" + version + "]"
	e.Note += fmt.Sprintf(". Above it lie %s counted under version %s, which begin %s %s from here on: their price, %s(…), is %s",
		to-from, version, q, moved, name, c.priceText())
	for _, at := range [...]money.Quantity{high, low, to, from} {
		e.total(name, c, at)
	}
	e.step("%[1]s(%[2]s) − %[1]s(%[3]s) − %[1]s(%[4]s) + %[1]s(%[5]s) = %[6]s", name, high, low, to, from, part)
	e.step("%s + %s = %s", soFar, part, sum)
	return sum, true
}
