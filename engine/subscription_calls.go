package engine

import "farthing/refusal"

func notYet() *refusal.Refusal { return refusal.New(refusal.NotReady, "not_yet", "not there yet") }

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
