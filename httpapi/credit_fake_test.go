package httpapi

import (
	"fmt"
	"strconv"
	"sync"

	"farthing/engine"
	"farthing/refusal"
)

// fakeCredit is what the fake engine knows of prepaid credit: what it was asked, and
// the notifications that there are.
type fakeCredit struct {
	spec any // the last one that a write brought

	mu            sync.Mutex
	notifications []engine.Notification
	changed       chan struct{}
	looked        chan struct{} // gets a value at each look at the notifications, if there is room
}

// notify adds a notification.
func (c *fakeCredit) notify() {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := uint64(len(c.notifications) + 1)
	c.notifications = append(c.notifications, engine.Notification{Number: n, JSON: fmt.Appendf(nil,
		`{"account":"acme","data":{"available":"1","threshold":"2"},"sequence":%d,"time":"2026-11-23T10:00:00Z","type":"credit.low"}`, n)})
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// book remembers a spec and gives what all writes answer.
func (f *fakeEngine) book(spec any) (bool, *refusal.Refusal) {
	f.credit.spec = spec
	return !f.existing, f.note()
}

var someBooking = engine.Booked{Sequence: 21, Time: someTime}

func (f *fakeEngine) Grant(spec engine.GrantSpec) (engine.Grant, bool, *refusal.Refusal) {
	created, no := f.book(spec)
	return engine.Grant{GrantSpec: spec, Remaining: spec.Amount, State: "open", Booked: someBooking}, created, no
}

func (f *fakeEngine) Grants(account, cursor string, limit int) (engine.Page[engine.Grant], *refusal.Refusal) {
	g := engine.Grant{GrantSpec: engine.GrantSpec{ID: "g1", Account: account, Amount: amount("5"), Kind: "subscription", Priority: 50, Expires: someTime},
		Subscription: "s1", Used: amount("1"), Remaining: amount("3"), Held: amount("0.5"), Expired: amount("1"), State: "expired", Booked: someBooking}
	return engine.Page[engine.Grant]{Items: []engine.Grant{g}, Next: "n"}, f.note(account, cursor, strconv.Itoa(limit))
}

func (f *fakeEngine) Refund(spec engine.RefundSpec) (engine.Refund, bool, *refusal.Refusal) {
	created, no := f.book(spec)
	return engine.Refund{RefundSpec: spec, Booked: someBooking}, created, no
}

func (f *fakeEngine) Move(spec engine.MoveSpec) (engine.Move, bool, *refusal.Refusal) {
	created, no := f.book(spec)
	return engine.Move{MoveSpec: spec, Booked: someBooking}, created, no
}

func (f *fakeEngine) SetStatus(spec engine.StatusSpec) (engine.StatusChange, bool, *refusal.Refusal) {
	created, no := f.book(spec)
	state := map[string]string{"freeze": "frozen", "resume": "open", "close": "closed"}[spec.Action]
	return engine.StatusChange{StatusSpec: spec, State: state, Booked: someBooking}, created, no
}

func (f *fakeEngine) PutLimits(spec engine.LimitsSpec) (engine.Limits, bool, *refusal.Refusal) {
	created, no := f.book(spec)
	l := engine.Limits{Account: spec.Account, Currency: usd, Overdraft: spec.Overdraft, Root: spec.SetOverdraft, Sequence: 21}
	for _, one := range spec.Limits {
		l.Limits = append(l.Limits, engine.Limit{LimitSpec: one})
	}
	return l, created, no
}

func (f *fakeEngine) Limits(account string) (engine.Limits, *refusal.Refusal) {
	most := amount("10")
	return engine.Limits{Account: account, Currency: usd, Root: true, Sequence: 22, Limits: []engine.Limit{{
		LimitSpec: engine.LimitSpec{Name: "m", Per: "month", Amount: &most, Mode: "shadow", Scope: engine.Scope{Types: []string{"llm"}}},
		Period:    someTime, Spent: amount("9"), Held: amount("2"), Calls: 7, Passed: true, WouldRefuse: 3, Recent: []string{"h1", "h2"}}}}, f.note(account)
}

func (f *fakeEngine) PutSettings(spec engine.SettingsSpec) (engine.Settings, bool, *refusal.Refusal) {
	created, no := f.book(spec)
	return engine.Settings{SettingsSpec: spec, Sequence: 21}, created, no
}

func (f *fakeEngine) Settings(account string) (engine.Settings, *refusal.Refusal) {
	return engine.Settings{SettingsSpec: engine.SettingsSpec{Account: account, Excess: "cap", Abandoned: "capture"}, Sequence: 22}, f.note(account)
}

func (f *fakeEngine) AskTopUp(spec engine.TopUpAskSpec) (engine.TopUpRequest, bool, *refusal.Refusal) {
	created, no := f.book(spec)
	return engine.TopUpRequest{ID: "tr-21", Account: spec.Account, Currency: usd, Amount: spec.Amount, By: "customer", State: "open", Created: someTime, Sequence: 21}, created, no
}

func (f *fakeEngine) ReplyTopUp(spec engine.TopUpReplySpec) (engine.TopUpRequest, bool, *refusal.Refusal) {
	created, no := f.book(spec)
	r := engine.TopUpRequest{ID: spec.Request, Account: "acme", Currency: usd, Amount: amount("5"), By: "auto", State: "declined", Created: someTime, Answered: someTime, Sequence: 22}
	if spec.Paid {
		r.State, r.TopUp = "paid", spec.ID
	}
	return r, created, no
}

func (f *fakeEngine) TopUpRequests(account, cursor string, limit int) (engine.Page[engine.TopUpRequest], *refusal.Refusal) {
	r := engine.TopUpRequest{ID: "tr-9", Account: account, Currency: usd, Amount: amount("5"), By: "auto", State: "open", Created: someTime, Sequence: 9}
	return engine.Page[engine.TopUpRequest]{Items: []engine.TopUpRequest{r}}, f.note(account, cursor, strconv.Itoa(limit))
}

func (f *fakeEngine) Subscribe(spec engine.SubscriptionSpec) (engine.Subscription, bool, *refusal.Refusal) {
	created, no := f.book(spec)
	return engine.Subscription{SubscriptionSpec: spec, State: "active", Booked: someBooking}, created, no
}

func (f *fakeEngine) ChangeSubscription(change engine.SubscriptionChange) (engine.Subscription, bool, *refusal.Refusal) {
	created, no := f.book(change)
	s, _ := f.Subscription(change.Subscription)
	return s, created, no
}

func (f *fakeEngine) Subscription(id string) (engine.Subscription, *refusal.Refusal) {
	plan := engine.PlanSpec{Allowance: amount("10"), Price: amount("5"), Priority: 50}
	next := plan
	next.Scope, next.Rollover = engine.Scope{Types: []string{"llm"}}, &engine.RolloverSpec{Max: amount("2"), Periods: 3}
	return engine.Subscription{SubscriptionSpec: engine.SubscriptionSpec{ID: id, Account: "acme", Period: "month", Anchor: 31, Starts: someTime, Plan: plan},
		State: "ending", PeriodNumber: 2, PeriodStart: someTime, PeriodEnd: someTime.AddDate(0, 1, 0), Next: &next, Credited: amount("0.5"), Booked: someBooking}, f.note(id)
}

func (f *fakeEngine) Subscriptions(account, cursor string, limit int) (engine.Page[engine.Subscription], *refusal.Refusal) {
	s := engine.Subscription{SubscriptionSpec: engine.SubscriptionSpec{ID: "s1", Account: account, Period: "day", Plan: engine.PlanSpec{Allowance: amount("1")}}, State: "active", Booked: someBooking}
	return engine.Page[engine.Subscription]{Items: []engine.Subscription{s}}, f.note(account, cursor, strconv.Itoa(limit))
}

func (f *fakeEngine) Notifications(after uint64, limit int) ([]engine.Notification, *refusal.Refusal) {
	c := &f.credit
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case c.looked <- struct{}{}:
	default:
	}
	after = min(after, uint64(len(c.notifications)))
	rest := c.notifications[after:]
	return rest[:min(limit, len(rest))], f.note(fmt.Sprint(after))
}

func (f *fakeEngine) NotificationsChanged() <-chan struct{} {
	c := &f.credit
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}
