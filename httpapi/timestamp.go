package httpapi

import (
	"math/bits"
	"time"
)

// The years a time may lie in, in UTC. Nanoseconds since 1970 reach 2262; the
// bound stays clear of it.
const (
	yearMin = 1970
	yearMax = 2200
)

const (
	secondsPerDay   = 24 * 60 * 60
	nanosPerSecond  = int64(time.Second)
	endOfTimes      = int64(84371) * secondsPerDay // 2201-01-01, in seconds since 1970
	fractionDigits  = 9
	timestampPrefix = len("2006-01-02T15:04:05")
	minutePrefix    = len("2006-01-02T15:04")
)

// parseTime reads an RFC 3339 time with any offset (capital T and Z, no leap
// second, which package time does not know either) and returns
// nanoseconds since the Unix epoch. Digits beyond the ninth of a second are cut.
// False: not such a time, or not within 1970 to 2200 UTC.
//
// time.Parse takes 60 ns more for the same: this is done once per event.
func parseTime(b []byte) (ns int64, ok bool) {
	if len(b) <= timestampPrefix {
		return 0, false
	}
	minute, ok := parseMinute(b)
	if !ok {
		return 0, false
	}
	return parseRest(minute, b)
}

// lastMinute reads times as parseTime does, and those of the same minute as the one before without reading the date again.
type lastMinute struct {
	known   bool
	text    [minutePrefix]byte
	seconds int64
}

func (m *lastMinute) parse(b []byte) (ns int64, ok bool) {
	if len(b) <= timestampPrefix {
		return 0, false
	}
	if !m.known || [minutePrefix]byte(b) != m.text {
		if m.seconds, m.known = parseMinute(b); !m.known {
			return 0, false
		}
		m.text = [minutePrefix]byte(b)
	}
	return parseRest(m.seconds, b)
}

// parseMinute reads the beginning of a time, which is long enough, and returns seconds since 1970 without the offset.
func parseMinute(b []byte) (seconds int64, ok bool) {
	year := digits2(b, 0)*100 + digits2(b, 2)
	month, day := digits2(b, 5), digits2(b, 8)
	hour, minute := digits2(b, 11), digits2(b, 14)
	// A pair that is not two digits is huge, so it fails these bounds.
	if year > 9999 || month-1 > 11 || day-1 > 30 || hour > 23 || minute > 59 {
		return 0, false
	}
	if b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' {
		return 0, false
	}
	if day > daysIn(year, month) {
		return 0, false
	}
	return dayNumber(year, month, day)*secondsPerDay + int64(hour*3600+minute*60), true
}

// parseRest reads what is after the minute of b, which begins at so many seconds.
func parseRest(minute int64, b []byte) (ns int64, ok bool) {
	second := digits2(b, minutePrefix+1)
	if b[minutePrefix] != ':' || second > 59 {
		return 0, false
	}
	nanos, rest, ok := parseFraction(b[timestampPrefix:])
	if !ok {
		return 0, false
	}
	offset, ok := parseOffset(rest)
	if !ok {
		return 0, false
	}
	seconds := minute + int64(second) - offset
	if seconds < 0 || seconds >= endOfTimes {
		return 0, false
	}
	return seconds*nanosPerSecond + nanos, true
}

// notDigits is what digits2 gives for anything but two digits: larger than any
// bound it is compared with, small enough not to overflow.
const notDigits = 1 << 20

func digits2(b []byte, i int) uint {
	tens, ones := uint(b[i]-'0'), uint(b[i+1]-'0')
	if tens > 9 || ones > 9 {
		return notDigits
	}
	return tens*10 + ones
}

var tenTo = [fractionDigits + 1]int64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// parseFraction reads an optional dot with digits.
func parseFraction(b []byte) (nanos int64, rest []byte, ok bool) {
	if b[0] != '.' {
		return 0, b, true
	}
	i := 1
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		if i <= fractionDigits {
			nanos = nanos*10 + int64(b[i]-'0')
		}
	}
	if i == 1 || i == len(b) {
		return 0, nil, false
	}
	if digits := i - 1; digits < fractionDigits {
		nanos *= tenTo[fractionDigits-digits]
	}
	return nanos, b[i:], true
}

// parseOffset reads Z or an offset from UTC, in seconds.
func parseOffset(b []byte) (seconds int64, ok bool) {
	if len(b) == 1 {
		return 0, b[0] == 'Z'
	}
	if len(b) != len("+00:00") || b[3] != ':' || (b[0] != '+' && b[0] != '-') {
		return 0, false
	}
	hour, minute := digits2(b, 1), digits2(b, 4)
	if hour > 23 || minute > 59 {
		return 0, false
	}
	seconds = int64(hour*3600 + minute*60)
	if b[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

// longMonths has a bit set for each month of 31 days.
const longMonths = 1<<1 | 1<<3 | 1<<5 | 1<<7 | 1<<8 | 1<<10 | 1<<12

func daysIn(year, month uint) uint {
	switch {
	case month != 2:
		return 30 + longMonths>>month&1
	case year%4 == 0 && (year%100 != 0 || year%400 == 0):
		return 29
	default:
		return 28
	}
}

// dayNumber returns the days from 1970-01-01 to a date of the Gregorian
// calendar. The year is taken to begin in March, so the leap day comes last and
// the days before a month are a linear formula.
func dayNumber(year, month, day uint) int64 {
	borrow := (month - 3) >> (bits.UintSize - 1) // 1 in January and February
	y := int64(year) - int64(borrow)
	m := (int64(month) + 9) % 12
	era := y / 400
	if y < 0 {
		era = -1
	}
	yearOfEra := y - era*400
	dayOfYear := (153*m+2)/5 + int64(day) - 1
	return era*146097 + yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear - 719468
}
