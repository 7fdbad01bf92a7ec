package engine

import (
	"encoding/binary"
	"time"

	"farthing/ledger"
	"farthing/money"
	"farthing/refusal"
)

// excessPolicy says what happens to what a capture costs beyond its hold and free credit.
type excessPolicy uint8

const (
	excessAllow excessPolicy = iota
	excessUpTo
	excessCap
	numExcessPolicies
)

var excessNames = [numExcessPolicies]string{"allow", "allow_up_to", "cap"}

// settings are a root's.
type settings struct {
	Excess       excessPolicy
	ExcessLimit  money.Amount
	Capture      bool // abandoned holds are captured as reported, else voided
	HasLow       bool
	Low          money.Amount
	GrantWarning time.Duration
	Auto         *AutoTopUp
}

// grantWarningDefault is how long before its expiry a grant is announced.
const (
	grantWarningDefault = 72 * time.Hour
	grantWarningMax     = 366 * 24 * time.Hour
	autoPerDayMax       = 1000
)

var defaultSettings = &settings{GrantWarning: grantWarningDefault}

// settingsOf returns a root's settings; they never change in place.
func (s *state) settingsOf(root ledger.Ref) *settings {
	if set := s.settings[root]; set != nil {
		return set
	}
	return defaultSettings
}

// setSettings replaces a root's settings.
type setSettings struct {
	name    string
	account ledger.Ref
	settings
}

func (c *setSettings) kind() byte { return kindSettings }
func (c *setSettings) id() string { return c.name }

func (c *setSettings) append(dst []byte) []byte {
	dst = appendRef(appendBytes(dst, c.name), c.account)
	dst = c.ExcessLimit.AppendBinary(append(dst, byte(c.Excess)))
	dst = appendBool(appendBool(dst, c.Capture), c.HasLow)
	dst = c.Low.AppendBinary(dst)
	dst = binary.AppendUvarint(dst, uint64(c.GrantWarning))
	dst = appendBool(dst, c.Auto != nil)
	if c.Auto != nil {
		dst = c.Auto.Amount.AppendBinary(c.Auto.Threshold.AppendBinary(dst))
		dst = binary.AppendUvarint(dst, uint64(c.Auto.MaxPerDay))
	}
	return dst
}

func (r *reader) settings() *setSettings {
	c := &setSettings{name: r.str(), account: r.ref()}
	c.Excess, c.ExcessLimit = excessPolicy(r.byte()), r.amount()
	c.Capture, c.HasLow, c.Low = r.bool(), r.bool(), r.amount()
	c.GrantWarning = time.Duration(r.uvarint())
	if r.bool() {
		c.Auto = &AutoTopUp{Threshold: r.amount(), Amount: r.amount(), MaxPerDay: uint32(r.uvarint())}
	}
	return c
}

func (c *setSettings) check(s *state) *refusal.Refusal {
	if refused := s.checkRoot(c.account); refused != nil {
		return refused
	}
	invalid := func(reason, format string, args ...any) *refusal.Refusal {
		return refusal.New(refusal.Invalid, reason, format, args...)
	}
	bounded := func(a money.Amount) bool { return a.Abs().Cmp(amountMax) <= 0 }
	switch {
	case c.Excess >= numExcessPolicies:
		return invalid("invalid_excess", "excess.policy must be allow, allow_up_to or cap")
	case c.ExcessLimit.Sign() < 0 || !bounded(c.ExcessLimit) || (c.Excess != excessUpTo && !c.ExcessLimit.IsZero()):
		return invalid("invalid_excess", "excess.limit is what allow_up_to allows, 0 to %s", amountMax)
	case !bounded(c.Low):
		return invalid("invalid_amount", "credit_low must be at most %s", amountMax)
	case c.GrantWarning < 0 || c.GrantWarning > grantWarningMax:
		return invalid("invalid_grant_expiring", "grant_expiring must be at most %v", grantWarningMax)
	case c.Auto == nil:
		return nil
	case c.Auto.Amount.Sign() <= 0 || !bounded(c.Auto.Amount) || !bounded(c.Auto.Threshold):
		return invalid("invalid_amount", "auto_topup needs an amount above 0 and a threshold, both at most %s", amountMax)
	case c.Auto.MaxPerDay == 0 || c.Auto.MaxPerDay > autoPerDayMax:
		return invalid("invalid_auto_topup", "auto_topup.max_per_day must be 1 to %d", autoPerDayMax)
	}
	return nil
}

func (c *setSettings) apply(s *state) {
	s.enterSettings(c)
	for n := s.ledger.Rows.At(uint32(c.account)).Grants; n != 0; n = s.ledger.Grants.At(n - 1).Next {
		s.scheduleWarning(n - 1) // it may be announced at another time now
	}
	s.watch(c.account)
}

func (s *state) enterSettings(c *setSettings) {
	set, doc := c.settings, *c
	doc.name = ""
	s.settings[c.account] = &set
	s.setDocs[c.account] = string(doc.append(nil))
	s.setLog = append(s.setLog, s.setDocs[c.account])
	s.setMark(c.account, markWatch, set.HasLow || set.Auto != nil)
}

func (c *setSettings) unchanged(s *state) bool {
	return s.setDocs[c.account] == string(c.append(nil))
}

func (c *setSettings) transfers(*tables) []transfer { return nil }
