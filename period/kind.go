package period

// Kind is a kind of fixed UTC window.
type Kind uint8

// The kinds. The zero value is none of them.
const (
	Call Kind = 1 + iota // one call: nothing is counted from one to the next
	Minute
	Hour
	Day
	Month
	Total // all time
)

var kindWords = [...]string{Call: "call", Minute: "minute", Hour: "hour", Day: "day", Month: "month", Total: "total"}

// String returns the contract's word.
func (k Kind) String() string {
	if k < Call || k > Total {
		return "unknown"
	}
	return kindWords[k]
}

// Parse reads the contract's word.
func Parse(word string) (Kind, bool) {
	for k := Call; k <= Total; k++ {
		if kindWords[k] == word {
			return k, true
		}
	}
	return 0, false
}

// Start returns the begin of the window that holds at; 0 for Call and Total.
func (k Kind) Start(at int64) int64 {
	check(at)
	switch k {
	case Call, Total:
		return 0
	case Minute:
		return at - at%minuteNanos
	case Hour:
		return at - at%hourNanos
	case Day:
		return at - at%dayNanos
	case Month:
		days := at / dayNanos
		return (days - int64(dayOfMonth(days)) + 1) * dayNanos
	}
	panic("BUG: period: start of an unknown kind")
}

// Holds reports whether the window that begins at start, a result of Start, holds
// at. It is cheaper than another Start: a month is looked up in the calendar only
// for times in its last days.
func (k Kind) Holds(start, at int64) bool {
	check(at)
	// A time before start is negative here, and as an unsigned number longer than
	// any window.
	since := uint64(at - start)
	switch k {
	case Call, Total:
		return true
	case Minute:
		return since < minuteNanos
	case Hour:
		return since < hourNanos
	case Day:
		return since < dayNanos
	case Month:
		return since < 28*dayNanos || since < 31*dayNanos && k.Start(at) == start
	}
	panic("BUG: period: window of an unknown kind")
}
