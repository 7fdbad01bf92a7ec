package period

const (
	minuteNanos = 60 * 1_000_000_000
	hourNanos   = 60 * minuteNanos
	dayNanos    = 24 * hourNanos
)

// check panics for a time before 1970. Division truncates towards zero, so every
// answer about such a time would be wrong.
func check(at int64) {
	if at < 0 {
		panic("BUG: period: a time before 1970")
	}
}

// The calendar counts years from March, so that the leap day is the last day of a
// year and the months before it have the same lengths every year: in days from
// March, month m (0 is March) begins at (153m+2)/5. The eras of 400 years are all
// alike. See Howard Hinnant, "chrono-compatible low-level date algorithms".
const (
	eraDays   = 146_097
	fromMarch = 719_468 // days from 0000-03-01 to 1970-01-01
)

// marchDate returns the year, counted from March, and the day of it from 0, of the
// day that begins days after 1970-01-01.
func marchDate(days int64) (year, day uint32) {
	// Below 2^32: int64 nanoseconds end on day 106,751.
	z := uint32(days) + fromMarch
	era, d := z/eraDays, z%eraDays
	y := (d - d/1_460 + d/36_524 - d/146_096) / 365
	return era*400 + y, d - (365*y + y/4 - y/100)
}

// dayOfMonth returns the day of the month, from 1.
func dayOfMonth(days int64) uint32 {
	_, day := marchDate(days)
	month := (5*day + 2) / 153
	return day - (153*month+2)/5 + 1
}

// date returns the year, the month and the day of the month, both from 1.
func date(days int64) (year, month, day uint32) {
	year, day = marchDate(days)
	m := (5*day + 2) / 153
	day -= (153*m+2)/5 - 1
	if m < 10 {
		return year, m + 3, day
	}
	return year + 1, m - 9, day
}

var monthDays = [...]uint32{0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// daysIn returns the length of a month, 1 to 12.
func daysIn(year, month uint32) uint32 {
	if month == 2 && year%4 == 0 && (year%100 != 0 || year%400 == 0) {
		return 29
	}
	return monthDays[month]
}

// weekday returns the day of the week, 1 is Monday. 1970-01-01 was a Thursday.
func weekday(days int64) uint32 { return uint32((days+3)%7) + 1 }
