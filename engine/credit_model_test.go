package engine

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// creditTwin is the dumb twin of prepaid credit: one thread, decimals, plain maps and slices.
// It keeps no sum that it can work out: what is held of anything it adds up over the open
// holds each time it is asked. Where a rule can be read in two ways the comment says which
// way it is taken here.
type creditTwin struct {
	now      int64
	age      int // numbers what has an order
	accounts map[string]*creditAccount
	names    []string // of accounts, in order of creation
	versions []*modelVersion
	known    map[string]string // kind and id → content
	grants   []*creditGrant
	grantIDs map[string]*creditGrant
	holds    map[string]*creditHold
	holdIDs  []string
	events   map[string]*creditEvent // by identity
	booked   []*creditEvent
	voids    map[string]string // void id → the event's identity
	subs     []*creditSub
	requests []*creditRequest
	notes    []creditNote
	classes  map[string]map[string]decimal.Decimal // currency → the operator's class → credits − debits
}

func newCreditTwin(now int64, versions ...*modelVersion) *creditTwin {
	return &creditTwin{now: now, accounts: map[string]*creditAccount{}, versions: versions, known: map[string]string{},
		grantIDs: map[string]*creditGrant{}, holds: map[string]*creditHold{}, events: map[string]*creditEvent{},
		voids: map[string]string{}, classes: map[string]map[string]decimal.Decimal{}}
}

// creditAccount is a customer, root or not, or a provider.
type creditAccount struct {
	spec      AccountSpec
	billing   string
	root      *creditAccount
	parent    *creditAccount   // nil: a root
	overdraft *decimal.Decimal // nil: unlimited
	state     string
	paid, due decimal.Decimal // due: owed by a customer, payable to a provider
	transit   decimal.Decimal // collected from it by batches
	limits    []*creditLimit
	settings  creditSettings
	limited   bool // a list was put, even if it is empty
	set       bool // settings were put
	// withOverdraft says that the last list came with an overdraft limit: the list alone may
	// count as another.
	withOverdraft bool
	low           bool // credit.low went out and was not armed again
	declines      int  // in a row
	backOff       int64
	lookAt        int64 // when it is looked at because a request had to wait; 0: it is not
}

// creditSettings are a root's; what was never set is the default.
type creditSettings struct {
	excess      string
	excessLimit decimal.Decimal
	abandoned   string
	low         *decimal.Decimal
	warning     time.Duration
	topUp       *AutoTopUp
}

func creditDefaults() creditSettings {
	return creditSettings{excess: "allow", abandoned: "void", warning: 72 * time.Hour}
}

// creditUsage is what scopes look at.
type creditUsage struct {
	kind string
	dims [][2]string
}

func usageOfCall(c *call) *creditUsage { return &creditUsage{kind: c.kind, dims: c.dims} }

// creditScopeEmpty reports whether a scope takes everything.
func creditScopeEmpty(s *Scope) bool { return len(s.Types) == 0 && len(s.Match) == 0 }

// creditMatches reports whether a scope takes a usage; nil is an amount that no usage is
// known of, which only an empty scope takes.
func creditMatches(s *Scope, u *creditUsage) bool {
	if creditScopeEmpty(s) {
		return true
	}
	if u == nil || (len(s.Types) > 0 && !slices.Contains(s.Types, u.kind)) {
		return false
	}
	for _, d := range s.Match {
		if !slices.Contains(u.dims, [2]string{d.Key, d.Value}) {
			return false
		}
	}
	return true
}

// creditFault is a refusal; an empty code or reason may be any.
type creditFault struct {
	code   refusal.Code
	reason string
}

// creditAnswer is what the engine has to answer.
type creditAnswer struct {
	duplicate bool
	loose     bool // may be called a duplicate: a new id asks for what is there already
	any       bool // may be refused as well: nothing changes either way
	one       bool // of a request with one operation: only then it says what is available
	// faults are all that is wrong. Where the order of checks is fixed there is one; else the
	// engine may name any of them.
	faults []creditFault
	short  *creditShort

	// Of operations on holds.
	state                          HoldState
	amount, charged, released, net decimal.Decimal // net: what the operator paid
	available                      *decimal.Decimal
	expires                        int64
	unpriced                       bool
}

// creditShort is what did not fit into what.
type creditShort struct {
	account, limit string
	asked, left    decimal.Decimal
}

func (a *creditAnswer) refused() bool { return len(a.faults) > 0 }

// changes reports whether the operation may have changed something: what touches a hold that is
// due is refused, and ends it.
func (a *creditAnswer) changes() bool {
	expired := func(f creditFault) bool { return f.reason == "hold_expired" }
	return !a.refused() && !a.duplicate || slices.ContainsFunc(a.faults, expired)
}

// creditNo is a refusal for one reason.
func creditNo(code refusal.Code, reason string) creditAnswer {
	return creditAnswer{faults: []creditFault{{code, reason}}}
}

// creditCheck collects what is wrong.
type creditCheck struct{ faults []creditFault }

func (c *creditCheck) that(ok bool, code refusal.Code, reason string) {
	if !ok {
		c.faults = append(c.faults, creditFault{code, reason})
	}
}

func (c *creditCheck) id(id string) {
	c.that(meter.ValidID([]byte(id)), refusal.Invalid, "invalid_id")
}

func (c *creditCheck) amount(a decimal.Decimal) {
	c.that(a.IsPositive() && a.LessThanOrEqual(creditAmountMax), refusal.Invalid, "invalid_amount")
}

func (c *creditCheck) failed() bool         { return len(c.faults) > 0 }
func (c *creditCheck) answer() creditAnswer { return creditAnswer{faults: c.faults} }

var creditAmountMax = decimal.RequireFromString("1000000000000")

// once says whether an id of a kind was used: with the same content, or (a fault) with other.
func (m *creditTwin) once(c *creditCheck, kind, id string, content any) (again bool) {
	c.id(id)
	old, used := m.known[kind+" "+id]
	if !used {
		return false
	}
	c.that(old == creditText(content), refusal.IDConflict, "id_conflict")
	return old == creditText(content)
}

func (m *creditTwin) use(kind, id string, content any) { m.known[kind+" "+id] = creditText(content) }

// creditText prints a value with all that its pointers point to, so that two say the same
// exactly if they are the same.
func creditText(v any) string { return creditTextOf(reflect.ValueOf(v)) }

func creditTextOf(v reflect.Value) string {
	if !v.IsValid() {
		return "nil"
	}
	if v.CanInterface() {
		switch x := v.Interface().(type) {
		case money.Amount, money.Currency, time.Time, time.Duration:
			return fmt.Sprint(x)
		}
	}
	var out strings.Builder
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return "nil"
		}
		return "&" + creditTextOf(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			fmt.Fprintf(&out, "%s:%s ", v.Type().Field(i).Name, creditTextOf(v.Field(i)))
		}
		return "{" + out.String() + "}"
	case reflect.Slice:
		for i := range v.Len() {
			fmt.Fprintf(&out, "%s ", creditTextOf(v.Index(i)))
		}
		return "[" + out.String() + "]"
	}
	return fmt.Sprintf("%q", fmt.Sprint(v))
}

// root looks a root up that money is to be booked on; nil with faults.
func (m *creditTwin) root(c *creditCheck, id string) *creditAccount {
	a := m.accounts[id]
	if a == nil {
		c.that(false, refusal.NotFound, "unknown_account")
		return nil
	}
	c.that(a.spec.Kind == "customer", refusal.Invalid, "not_a_customer")
	c.that(a.parent == nil, refusal.Invalid, "not_a_root")
	c.that(a.state != "closed", refusal.AccountConflict, "account_closed")
	return a
}

// chain is a node and all above it.
func (a *creditAccount) chain() (out []*creditAccount) {
	for ; a != nil; a = a.parent {
		out = append(out, a)
	}
	return out
}

func (a *creditAccount) under(top *creditAccount) bool { return slices.Contains(a.chain(), top) }

func (a *creditAccount) code() string  { return a.spec.Currency.Code() }
func (a *creditAccount) digits() int32 { return int32(a.spec.Currency.Digits()) }

// createAccount creates an account.
func (m *creditTwin) createAccount(spec AccountSpec) creditAnswer {
	var c creditCheck
	c.id(spec.ID)
	c.that(!spec.Currency.IsZero(), refusal.Invalid, "unknown_currency")
	parent := m.accounts[spec.Parent]
	old := m.accounts[spec.ID]
	billing := spec.Billing
	if spec.Parent != "" {
		c.that(spec.OverdraftLimit == nil && !spec.Unlimited, refusal.Invalid, "not_for_children")
		switch {
		case spec.Parent == spec.ID || (old != nil && parent != nil && parent.under(old)):
			c.that(false, refusal.Invalid, "parent_cycle")
		case parent == nil:
			c.that(false, refusal.NotFound, "unknown_account")
		case parent.spec.Kind != "customer":
			c.that(false, refusal.Invalid, "not_a_customer")
			c.that(billing != "", refusal.Invalid, "invalid_billing") // it has none to take over
		default:
			m.checkParent(&c, parent, &spec)
			if billing == "" {
				billing = parent.root.billing
			}
		}
	}
	a := &creditAccount{spec: spec, billing: billing, parent: parent, state: "open", settings: creditDefaults()}
	if old != nil {
		was := old.spec
		was.Billing = old.billing
		now := spec
		now.Billing = billing
		same := creditText(was) == creditText(now)
		if same {
			return creditAnswer{duplicate: true} // whatever became of the account and of its parent
		}
		c.that(false, refusal.IDConflict, "id_conflict")
	}
	if c.failed() {
		return c.answer()
	}
	a.root = a
	if parent != nil {
		a.root = parent.root
	}
	a.overdraft = creditOverdraft(&spec)
	m.accounts[spec.ID] = a
	m.names = append(m.names, spec.ID)
	return creditAnswer{}
}

// checkParent checks a parent that is a customer.
func (m *creditTwin) checkParent(c *creditCheck, parent *creditAccount, spec *AccountSpec) {
	c.that(parent.spec.Currency == spec.Currency, refusal.Invalid, "currency_mismatch")
	c.that(parent.state != "closed", refusal.AccountConflict, "account_closed")
	c.that(len(parent.chain()) < 8, refusal.Invalid, "tree_too_deep")
	c.that(spec.Billing == "" || spec.Billing == parent.root.billing, refusal.Invalid, "")
}

// creditOverdraft is the overdraft that an account begins with.
func creditOverdraft(spec *AccountSpec) *decimal.Decimal {
	zero := decimal.Zero
	switch {
	case spec.OverdraftLimit != nil:
		limit := spec.OverdraftLimit.Decimal()
		return &limit
	case spec.Unlimited, spec.Billing == "postpaid":
		return nil
	}
	return &zero
}

// setStatus freezes, resumes or closes.
func (m *creditTwin) setStatus(spec StatusSpec) creditAnswer {
	var c creditCheck
	if m.once(&c, "status", spec.ID, spec) {
		return creditAnswer{duplicate: true}
	}
	a := m.accounts[spec.Account]
	if a == nil {
		c.that(false, refusal.NotFound, "unknown_account")
		return c.answer()
	}
	c.that(a.spec.Kind == "customer", refusal.Invalid, "not_a_customer")
	c.that(a.state != "closed", refusal.AccountConflict, "account_closed")
	if spec.Action == "close" {
		m.checkClose(&c, a)
	}
	if c.failed() {
		return c.answer()
	}
	m.use("status", spec.ID, spec)
	a.state = map[string]string{"freeze": "frozen", "resume": "open", "close": "closed"}[spec.Action]
	for _, sub := range m.subs {
		if sub.account == a && spec.Action == "close" {
			sub.state = "ended"
		}
	}
	if spec.Action == "freeze" {
		m.note("account.suspended", a.spec.ID, creditData{"reason": spec.Reason})
	}
	return creditAnswer{}
}

func (m *creditTwin) checkClose(c *creditCheck, a *creditAccount) {
	if a.parent == nil {
		empty := a.paid.IsZero() && a.due.IsZero() && a.transit.IsZero()
		for _, g := range m.grantsOf(a) {
			empty = empty && g.remaining.IsZero()
		}
		c.that(empty, refusal.AccountConflict, "balance_not_zero")
	}
	c.that(len(m.openHolds(a)) == 0, refusal.AccountConflict, "open_holds")
	for _, id := range m.names {
		child := m.accounts[id]
		if child.parent == a && child.state != "closed" {
			c.that(false, refusal.AccountConflict, "open_children")
			break
		}
	}
}

// putSettings replaces a root's settings.
func (m *creditTwin) putSettings(spec SettingsSpec) creditAnswer {
	var c creditCheck
	if spec.ID != "" && m.once(&c, "settings", spec.ID, spec) {
		return creditAnswer{duplicate: true}
	}
	a := m.root(&c, spec.Account)
	c.that(slices.Contains([]string{"allow", "allow_up_to", "cap"}, spec.Excess), refusal.Invalid, "")
	c.that(slices.Contains([]string{"void", "capture"}, spec.Abandoned), refusal.Invalid, "")
	if c.failed() {
		return c.answer()
	}
	if spec.ID != "" {
		m.use("settings", spec.ID, spec)
	}
	next := creditSettings{excess: spec.Excess, excessLimit: spec.ExcessLimit.Decimal(), abandoned: spec.Abandoned,
		warning: spec.GrantWarning, topUp: spec.AutoTopUp}
	if spec.CreditLow != nil {
		low := spec.CreditLow.Decimal()
		next.low = &low
	}
	same := a.settings.same(&next)
	if spec.ID == "" && same {
		return creditAnswer{duplicate: true, loose: !a.set}
	}
	a.settings, a.set = next, true
	m.after(a)
	return creditAnswer{loose: same}
}

func (s *creditSettings) same(o *creditSettings) bool { return s.text() == o.text() }

func (s *creditSettings) text() string {
	low := "none"
	if s.low != nil {
		low = s.low.String()
	}
	return fmt.Sprintf("%s %s, %s, low %s, warning %v, top-up %s", s.excess, s.excessLimit, s.abandoned, low, s.warning, creditText(s.topUp))
}

// creditByBurn orders grants as they burn.
func creditByBurn(a, b *creditGrant) int {
	last := func(at int64) int64 {
		if at == 0 {
			return 1<<63 - 1
		}
		return at
	}
	return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(last(a.expires), last(b.expires)), cmp.Compare(a.age, b.age))
}
