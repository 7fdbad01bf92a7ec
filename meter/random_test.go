package meter

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"

	"farthing/money"
)

// bytesSource makes random numbers of a fuzzer's bytes, so that it can steer them; when
// they are used up, of a seed.
type bytesSource struct {
	data []byte
	rest rand.Source
}

func (s *bytesSource) Uint64() uint64 {
	if len(s.data) < 2 {
		return s.rest.Uint64()
	}
	n := binary.LittleEndian.Uint16(s.data)
	s.data = s.data[2:]
	return uint64(n) * 0x0001000100010001 // all parts of the number, whichever is used
}

// randomPrice writes random prices that are right.
type randomPrice struct {
	*rand.Rand
	decimals int // quantity_decimals of the component
}

func (r *randomPrice) one(list ...string) string { return list[r.IntN(len(list))] }

// scalar spells a decimal as text or as a JSON number.
func (r *randomPrice) scalar(s string) string { return r.one(`"`+s+`"`, s) }

// amount is an amount whose products are exact.
func (r *randomPrice) amount() string {
	switch r.IntN(8) {
	case 0:
		return "0"
	case 1:
		return fmt.Sprint(r.Int64N(1_000_000_000_000) + 1)
	}
	places := r.IntN(money.Scale-r.decimals) + 1
	return fmt.Sprintf("%d.%0*d", r.IntN(3), places, r.Int64N(min(int64(1e18), pow10(places))))
}

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

// step is a quantity above another in the decimals of the component.
func (r *randomPrice) step(above money.Quantity) money.Quantity {
	unit := quantityStep[r.decimals]
	n := r.Int64N([]int64{3, 50, 10_000}[r.IntN(3)]) + 1
	return above - above%unit + money.Quantity(n)*unit
}

// unit is the fields of a unit and, at times, of its divisor.
func (r *randomPrice) unit() string {
	if r.IntN(4) == 0 {
		return fmt.Sprintf(`"unit":%s,"per":%s`, r.scalar(fmt.Sprint(r.IntN(5000))), r.scalar(r.one("1", "10", "1000000", "4")))
	}
	return `"unit":` + r.scalar(r.amount())
}

func (r *randomPrice) tiers() string {
	var list []string
	upTo := money.Quantity(0)
	for range r.IntN(4) {
		upTo = r.step(upTo)
		list = append(list, fmt.Sprintf(`{"up_to":%s,%s}`, r.scalar(upTo.String()), r.tier()))
	}
	return "[" + strings.Join(append(list, "{"+r.tier()+"}"), ",") + "]"
}

func (r *randomPrice) tier() string {
	switch r.IntN(4) {
	case 0:
		return `"flat":` + r.scalar(r.amount())
	case 1:
		return r.unit() + `,"flat":` + r.scalar(r.amount())
	}
	return r.unit()
}

func (r *randomPrice) above() string {
	names := []string{`"a"`, `"b"`, `"c"`}
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	of, at := names[:r.IntN(len(names))+1], money.Quantity(r.IntN(2))*500_000
	var list []string
	for range r.IntN(3) + 1 {
		list = append(list, fmt.Sprintf(`{"of":[%s],"quantity":%s,%s}`, strings.Join(of, ","), r.scalar(at.String()), r.unit()))
		r.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
		at = r.step(at)
	}
	return "[" + strings.Join(list, ",") + "]"
}

// component is the price of one component.
func (r *randomPrice) component() string {
	r.decimals = 0
	if r.IntN(3) == 0 {
		r.decimals = r.IntN(money.QuantityDecimals + 1)
	}
	var f []string
	add := func(format string, args ...any) { f = append(f, fmt.Sprintf(format, args...)) }
	model := r.IntN(8)
	switch model {
	case 0:
		return strings.TrimPrefix(`"unit":`+r.scalar(r.amountOfWhole()), `"unit":`)
	case 1:
		add(`"graduated":%s`, r.tiers())
	case 2:
		add(`"volume":%s`, r.tiers())
	case 3:
		add(`%s,"package":%s`, r.unit(), r.scalar(r.step(0).String()))
	case 4:
		add(`%s,"included":%s`, r.unit(), r.scalar(r.step(0).String()))
	case 5:
		add(`%s,"above":%s`, r.unit(), r.above())
	default:
		add(`%s`, r.unit())
	}
	if model >= 1 && model <= 4 && r.IntN(2) == 0 {
		add(`"period":%q`, r.one("month", "window"))
	}
	if model > 4 && r.IntN(2) == 0 {
		add(`"minimum":%s`, r.scalar(r.amount()))
	}
	if r.IntN(3) == 0 {
		add(`"flat":%s`, r.scalar(r.amount()))
	}
	if r.decimals > 0 || r.IntN(4) == 0 {
		add(`"quantity_decimals":%d`, r.decimals)
	}
	r.Shuffle(len(f), func(i, j int) { f[i], f[j] = f[j], f[i] })
	return "{" + strings.Join(f, ",") + "}"
}

func (r *randomPrice) amountOfWhole() string {
	r.decimals = 0
	return r.amount()
}

// components is the prices of a, b and c.
func (r *randomPrice) components() string {
	return fmt.Sprintf(`{"a":%s,"b":%s,"c":%s}`, r.component(), r.component(), r.component())
}

// quantity is one near the steps of prices, or beyond all of them, or with too many decimals.
func (r *randomPrice) quantity(decimals int) money.Quantity {
	switch r.IntN(12) {
	case 0:
		return money.Quantity(r.Int64N(int64(money.QuantityMax))) / 1_000_000 * 1_000_000
	case 1:
		return money.Quantity(r.IntN(9_999_999) + 1)
	case 2:
		return money.QuantityMax
	}
	r.decimals = decimals
	return r.step(0)
}
