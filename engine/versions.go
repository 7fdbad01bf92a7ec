package engine

import (
	"fmt"
	"slices"
	"strings"

	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// PutPrices takes a price version into the book. faults is what was found wrong with the
// document itself; what only the ledger knows (payees, other versions) is added to it, so
// that a refusal names everything at once. Nothing of a refused version stays.
func (e *Engine) PutPrices(v *meter.Version, faults *refusal.Refusal) (answer PriceVersion, created bool, refused *refusal.Refusal) {
	switch {
	case v == nil:
		return answer, false, faults
	case len(v.Canonical) > maxVersionBytes:
		return answer, false, refusal.New(refusal.TooLarge, "too_large", "a price version takes at most %d bytes", maxVersionBytes)
	}
	unavailable := e.do(func(s *sequencer) bool {
		st := s.state
		old := st.byVersion[v.ID]
		if old != nil && faults == nil && string(old.Version.Canonical) == string(v.Canonical) {
			answer = *old
			return false
		}
		if refused = st.checkVersion(v, faults); refused != nil {
			return false
		}
		s.command(kindPrices, appendBytes(appendBytes(nil, v.ID), v.Canonical))
		answer, created = *st.applyPrices(v), true
		return false
	})
	if created {
		e.pokeRepricer()
	}
	return answer, created, firstOf(unavailable, refused)
}

// maxVersionBytes keeps a version's command within a journal block.
const maxVersionBytes = 12 << 20

// checkVersion says whether a version may be taken into the book, with everything that is
// wrong with it. Its code is a conflict's if nothing but that is wrong.
func (s *state) checkVersion(v *meter.Version, faults *refusal.Refusal) *refusal.Refusal {
	var problems []string
	code, reason, more := refusal.Invalid, "invalid_version", 0
	if faults != nil {
		code, reason, problems, more = faults.Code, faults.Reason, faults.Problems, v.Unlisted
		if more > 0 {
			problems = problems[:len(problems)-1] // it counts them
		}
		if problems = slices.Clip(problems); len(problems) == 0 {
			problems = []string{faults.Detail}
		}
	}
	if !meter.ValidID([]byte(v.ID)) {
		problems = append(problems, "a version's id must be 1 to 128 of A-Z a-z 0-9 . _ : - / @")
	}
	if payees, further := s.payeeProblems(v); len(payees) > 0 {
		if len(problems) == 0 {
			reason = "invalid_payee"
		}
		problems, more = append(problems, payees...), more+further
	}
	invalid := len(problems) > 0
	conflict := func(kind refusal.Code, format string, args ...any) {
		problems = append(problems, fmt.Sprintf(format, args...))
		if !invalid && len(problems) == 1 {
			code, reason = kind, string(kind)
		}
	}
	if s.byVersion[v.ID] != nil {
		conflict(refusal.IDConflict, "price version %s exists with other content", v.ID)
	}
	unread := slices.ContainsFunc(problems, func(p string) bool { return strings.HasPrefix(p, "effective_from") })
	if old := s.rates.book.InForce(v.EffectiveFrom); !unread && old != nil && old.ID != v.ID && old.EffectiveFrom == v.EffectiveFrom {
		conflict(refusal.PriceConflict, "version %s is effective at the same moment", old.ID)
	}
	if len(problems) == 0 {
		return nil
	}
	return meter.RefuseVersion(code, reason, problems, more)
}

// payeeProblems lists payees that are no providers of their price's currency, each once for a
// currency; more is how many of them are beyond meter.MaxProblems.
func (s *state) payeeProblems(v *meter.Version) (problems []string, more int) {
	type payeeIn struct {
		payee    string
		currency money.Currency
	}
	prices := map[payeeIn]int{} // how many name it
	var first []int             // price of each
	for i := range v.Prices {
		p := &v.Prices[i]
		if p.Payee == "" || p.Currency.IsZero() {
			continue // no payee, or the currency is a problem already
		}
		ref, ok := s.findAccount([]byte(p.Payee))
		if ok && s.people[ref].Kind == ledger.Provider && s.people[ref].Currency == p.Currency {
			continue
		}
		key := payeeIn{p.Payee, p.Currency}
		if prices[key]++; prices[key] == 1 {
			first = append(first, i)
		}
	}
	listed := first[:min(len(first), meter.MaxProblems)]
	for _, i := range listed {
		p := &v.Prices[i]
		text := fmt.Sprintf("prices[%d]: payee %s is no provider account in %s", i, p.Payee, p.Currency.Code())
		if n := prices[payeeIn{p.Payee, p.Currency}]; n > 1 {
			text += fmt.Sprintf(" (the first of %d prices that name it)", n)
		}
		problems = append(problems, text)
	}
	return problems, len(first) - len(listed)
}
