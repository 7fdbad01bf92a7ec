package engine

import (
	"fmt"
	"slices"
	"strings"

	"farthing/ledger"
	"farthing/meter"
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

// versionProblems bounds the problems listed of one version.
const versionProblems = 100

// checkVersion says whether a version may be taken into the book, with everything that is
// wrong with it. Its code is a conflict's if nothing but that is wrong.
func (s *state) checkVersion(v *meter.Version, faults *refusal.Refusal) *refusal.Refusal {
	var problems []string
	no := refusal.Refusal{Code: refusal.Invalid, Reason: "invalid_version"}
	if faults != nil {
		no.Code, no.Reason, problems = faults.Code, faults.Reason, faults.Problems
		if len(problems) == 0 {
			problems = []string{faults.Detail}
		}
	}
	if !meter.ValidID([]byte(v.ID)) {
		problems = append(problems, "a version's id must be 1 to 128 of A-Z a-z 0-9 . _ : - / @")
	}
	if payees := s.payeeProblems(v); len(payees) > 0 {
		if len(problems) == 0 {
			no.Reason = "invalid_payee"
		}
		problems = append(problems, payees...)
	}
	invalid := len(problems) > 0
	conflict := func(code refusal.Code, format string, args ...any) {
		problems = append(problems, fmt.Sprintf(format, args...))
		if !invalid && len(problems) == 1 {
			no.Code, no.Reason = code, string(code)
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
	no.Problems, no.Detail = problems, strings.Join(problems, "; ")
	return &no
}

// payeeProblems lists payees that are no providers of their price's currency.
func (s *state) payeeProblems(v *meter.Version) (problems []string) {
	for i := range v.Prices {
		p := &v.Prices[i]
		if p.Payee == "" || p.Currency.IsZero() {
			continue // no payee, or the currency is a problem already
		}
		ref, ok := s.findAccount([]byte(p.Payee))
		if ok && s.people[ref].Kind == ledger.Provider && s.people[ref].Currency == p.Currency {
			continue
		}
		if len(problems) == versionProblems {
			return append(problems, "and more payees")
		}
		problems = append(problems, fmt.Sprintf("prices[%d]: payee %s is no provider account in %s", i, p.Payee, p.Currency.Code()))
	}
	return problems
}
