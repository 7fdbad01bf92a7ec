package money

// Index numbers the currencies for arrays in memory: CurrencyAt(c.Index()) == c.
// It is -1 for the zero value and, like the currency itself, private to the
// running program.
func (c Currency) Index() int { return int(c.index) - 1 }
