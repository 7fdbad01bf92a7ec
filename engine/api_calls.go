package engine

import (
	"farthing/refusal"
)

// The calls of prepaid credit. Each is idempotent by its id: created is false when the same
// content was booked before.

// BookHolds carries out the operations of r.Holds and returns when all that the answer depends
// on is durable, with one result for each, in their order, valid until Release. What decoding
// refused is in r.Batch().Rejects and has none.
func (e *Engine) BookHolds(r *Request) ([]HoldResult, uint64, *refusal.Refusal) {
	return nil, 0, notYet()
}

func notYet() *refusal.Refusal { return refusal.New(refusal.NotReady, "not_yet", "not there yet") }

// Hold shows a hold.
func (e *Engine) Hold(id string) (HoldView, *refusal.Refusal) { return HoldView{}, notYet() }

// Grant gives credit.
func (e *Engine) Grant(GrantSpec) (g Grant, created bool, no *refusal.Refusal) {
	return g, false, notYet()
}

// Grants lists an account's grants, oldest first.
func (e *Engine) Grants(account, cursor string, limit int) (Page[Grant], *refusal.Refusal) {
	return Page[Grant]{}, notYet()
}

// Refund pays unused paid credit back.
func (e *Engine) Refund(RefundSpec) (r Refund, created bool, no *refusal.Refusal) {
	return r, false, notYet()
}

// Move moves paid credit between accounts of one owner.
func (e *Engine) Move(MoveSpec) (m Move, created bool, no *refusal.Refusal) {
	return m, false, notYet()
}

// SetStatus freezes, resumes or closes an account.
func (e *Engine) SetStatus(StatusSpec) (c StatusChange, created bool, no *refusal.Refusal) {
	return c, false, notYet()
}

// PutLimits replaces the limits of an account. Created is false when they were these already.
func (e *Engine) PutLimits(LimitsSpec) (l Limits, created bool, no *refusal.Refusal) {
	return l, false, notYet()
}

// Limits shows the limits of an account and how far they are used.
func (e *Engine) Limits(account string) (Limits, *refusal.Refusal) { return Limits{}, notYet() }

// PutSettings replaces the settings of a root.
func (e *Engine) PutSettings(SettingsSpec) (s Settings, created bool, no *refusal.Refusal) {
	return s, false, notYet()
}

// Settings shows the settings of a root.
func (e *Engine) Settings(account string) (Settings, *refusal.Refusal) {
	return Settings{}, notYet()
}

// AskTopUp raises a top-up request by hand.
func (e *Engine) AskTopUp(TopUpAskSpec) (r TopUpRequest, created bool, no *refusal.Refusal) {
	return r, false, notYet()
}

// ReplyTopUp answers a top-up request.
func (e *Engine) ReplyTopUp(TopUpReplySpec) (r TopUpRequest, created bool, no *refusal.Refusal) {
	return r, false, notYet()
}

// TopUpRequests lists an account's top-up requests, oldest first.
func (e *Engine) TopUpRequests(account, cursor string, limit int) (Page[TopUpRequest], *refusal.Refusal) {
	return Page[TopUpRequest]{}, notYet()
}

// Subscribe begins a subscription.
func (e *Engine) Subscribe(SubscriptionSpec) (s Subscription, created bool, no *refusal.Refusal) {
	return s, false, notYet()
}

// ChangeSubscription changes or cancels a subscription.
func (e *Engine) ChangeSubscription(SubscriptionChange) (s Subscription, created bool, no *refusal.Refusal) {
	return s, false, notYet()
}

// Subscription shows a subscription.
func (e *Engine) Subscription(id string) (Subscription, *refusal.Refusal) {
	return Subscription{}, notYet()
}

// Subscriptions lists an account's subscriptions, oldest first.
func (e *Engine) Subscriptions(account, cursor string, limit int) (Page[Subscription], *refusal.Refusal) {
	return Page[Subscription]{}, notYet()
}

// Notifications returns up to limit notifications after a number, in order.
func (e *Engine) Notifications(after uint64, limit int) ([]Notification, *refusal.Refusal) {
	return nil, notYet()
}

// NotificationsChanged returns a channel that is closed once there may be more notifications
// than at the time of the call.
func (e *Engine) NotificationsChanged() <-chan struct{} { return nil }
