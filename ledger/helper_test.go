package ledger

import "farthing/money"

// What PostUsage, Correct and Capture write to a split, which held something else before, as results.

func (l *Ledger) posted(u *Usage) Split {
	s := stale()
	l.PostUsage(u, &s)
	return s
}

func (l *Ledger) corrected(u *Usage) Split {
	s := stale()
	l.Correct(u, &s)
	return s
}

func (l *Ledger) captured(u *Usage, h Reserved, x Excess) Split {
	s := stale()
	l.Capture(u, h, x, &s)
	return s
}

func stale() Split {
	odd := money.FromWords(7, 7)
	return Split{Paid: odd, Receivable: odd, Lost: odd, Parts: []Part{{7, odd}, {8, odd}}}
}
