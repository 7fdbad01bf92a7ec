package limit

import (
	"encoding/binary"
	"errors"
	"math"

	"farthing/money"
	"farthing/period"
)

// The flags of an encoded row.
const (
	hasAmount = 1 << iota
	hasCount
	allotment
	told
	flagsEnd
)

// rowBytes is the size of an encoded row: three bytes, three amounts, five counters
// and the ring.
const rowBytes = 3 + 3*16 + 5*8 + recentLen*8

// ErrRow says that bytes are not an encoded row.
var ErrRow = errors.New("not an encoded limit")

// Append appends the fixed-size binary form of r. Equal rows have equal bytes.
func (r *Row) Append(dst []byte) []byte {
	var flags byte
	for i, set := range [...]bool{r.HasAmount, r.HasCount, r.Allotment, r.Told} {
		if set {
			flags |= 1 << i
		}
	}
	dst = append(dst, byte(r.Per), byte(r.Mode), flags)
	for _, a := range [...]money.Amount{r.Amount, r.Spent, r.Held} {
		hi, lo := a.Words()
		dst = binary.LittleEndian.AppendUint64(dst, uint64(hi))
		dst = binary.LittleEndian.AppendUint64(dst, lo)
	}
	for _, n := range [...]uint64{r.Count, uint64(r.Start), r.Calls, r.Reserved, r.WouldRefuse} {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	for _, n := range r.Recent {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	return dst
}

// Decode reads what Append wrote and returns the bytes after it. A row that no
// sequence of operations on a valid bound leaves is ErrRow.
func Decode(src []byte) (r Row, rest []byte, err error) {
	if len(src) < rowBytes || src[2] >= flagsEnd {
		return Row{}, src, ErrRow
	}
	flags := src[2]
	r.Per, r.Mode = period.Kind(src[0]), Mode(src[1])
	r.HasAmount, r.HasCount = flags&hasAmount != 0, flags&hasCount != 0
	r.Allotment, r.Told = flags&allotment != 0, flags&told != 0
	in := src[3:]
	for _, a := range [...]*money.Amount{&r.Amount, &r.Spent, &r.Held} {
		hi, lo := binary.LittleEndian.Uint64(in), binary.LittleEndian.Uint64(in[8:])
		if hi == 1<<63 && lo == 0 { // no amount
			return Row{}, src, ErrRow
		}
		*a, in = money.FromWords(int64(hi), lo), in[16:]
	}
	var start uint64
	for _, n := range [...]*uint64{&r.Count, &start, &r.Calls, &r.Reserved, &r.WouldRefuse} {
		*n, in = binary.LittleEndian.Uint64(in), in[8:]
	}
	for i := range r.Recent {
		r.Recent[i], in = binary.LittleEndian.Uint64(in), in[8:]
	}
	if start > math.MaxInt64 {
		return Row{}, src, ErrRow
	}
	r.Start = int64(start)
	if !r.valid() {
		return Row{}, src, ErrRow
	}
	return r, in, nil
}

// valid reports whether the row is one that operations on a valid bound can leave, as
// far as it can be told from the row alone, and that no method panics on.
func (r *Row) valid() bool {
	if r.Valid() != nil || r.Per.Start(r.Start) != r.Start || r.Held.Sign() < 0 {
		return false
	}
	if r.Per == period.Call && (!r.Spent.IsZero() || !r.Held.IsZero() || r.Calls != 0 || r.Reserved != 0) {
		return false
	}
	if _, ok := r.Spent.Add(r.Held); !ok || r.Calls > math.MaxUint64-r.Reserved {
		return false
	}
	for i, seq := range r.Recent {
		if (uint64(i) < r.WouldRefuse) != (seq != 0) {
			return false
		}
	}
	return true
}
