package main

import (
	"farthing/engine"
	"farthing/httpapi"
	"farthing/refusal"
)

var _ httpapi.Credit = (*engineSlot)(nil)

// Grant implements httpapi.Credit.
func (s *engineSlot) Grant(spec engine.GrantSpec) (engine.Grant, bool, *refusal.Refusal) {
	return write(s, (*engine.Engine).Grant, spec)
}

// Grants implements httpapi.Credit.
func (s *engineSlot) Grants(account, cursor string, limit int) (engine.Page[engine.Grant], *refusal.Refusal) {
	return pageOf(s, (*engine.Engine).Grants, account, cursor, limit)
}

// Refund implements httpapi.Credit.
func (s *engineSlot) Refund(spec engine.RefundSpec) (engine.Refund, bool, *refusal.Refusal) {
	return write(s, (*engine.Engine).Refund, spec)
}

// Move implements httpapi.Credit.
func (s *engineSlot) Move(spec engine.MoveSpec) (engine.Move, bool, *refusal.Refusal) {
	return write(s, (*engine.Engine).Move, spec)
}

// SetStatus implements httpapi.Credit.
func (s *engineSlot) SetStatus(spec engine.StatusSpec) (engine.StatusChange, bool, *refusal.Refusal) {
	return write(s, (*engine.Engine).SetStatus, spec)
}

// PutLimits implements httpapi.Credit.
func (s *engineSlot) PutLimits(spec engine.LimitsSpec) (engine.Limits, bool, *refusal.Refusal) {
	return write(s, (*engine.Engine).PutLimits, spec)
}

// Limits implements httpapi.Credit.
func (s *engineSlot) Limits(account string) (engine.Limits, *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Limits, *refusal.Refusal) { return e.Limits(account) })
}

// PutSettings implements httpapi.Credit.
func (s *engineSlot) PutSettings(spec engine.SettingsSpec) (engine.Settings, bool, *refusal.Refusal) {
	return write(s, (*engine.Engine).PutSettings, spec)
}

// Settings implements httpapi.Credit.
func (s *engineSlot) Settings(account string) (engine.Settings, *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Settings, *refusal.Refusal) { return e.Settings(account) })
}

// AskTopUp implements httpapi.Credit.
func (s *engineSlot) AskTopUp(spec engine.TopUpAskSpec) (engine.TopUpRequest, bool, *refusal.Refusal) {
	return write(s, (*engine.Engine).AskTopUp, spec)
}

// ReplyTopUp implements httpapi.Credit.
func (s *engineSlot) ReplyTopUp(spec engine.TopUpReplySpec) (engine.TopUpRequest, bool, *refusal.Refusal) {
	return write(s, (*engine.Engine).ReplyTopUp, spec)
}

// TopUpRequests implements httpapi.Credit.
func (s *engineSlot) TopUpRequests(account, cursor string, limit int) (engine.Page[engine.TopUpRequest], *refusal.Refusal) {
	return pageOf(s, (*engine.Engine).TopUpRequests, account, cursor, limit)
}

// Subscribe implements httpapi.Credit.
func (s *engineSlot) Subscribe(spec engine.SubscriptionSpec) (engine.Subscription, bool, *refusal.Refusal) {
	return write(s, (*engine.Engine).Subscribe, spec)
}

// ChangeSubscription implements httpapi.Credit.
func (s *engineSlot) ChangeSubscription(spec engine.SubscriptionChange) (engine.Subscription, bool, *refusal.Refusal) {
	return write(s, (*engine.Engine).ChangeSubscription, spec)
}

// Subscription implements httpapi.Credit.
func (s *engineSlot) Subscription(id string) (engine.Subscription, *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Subscription, *refusal.Refusal) { return e.Subscription(id) })
}

// Subscriptions implements httpapi.Credit.
func (s *engineSlot) Subscriptions(account, cursor string, limit int) (engine.Page[engine.Subscription], *refusal.Refusal) {
	return pageOf(s, (*engine.Engine).Subscriptions, account, cursor, limit)
}

// Notifications implements httpapi.Credit.
func (s *engineSlot) Notifications(after uint64, limit int) ([]engine.Notification, *refusal.Refusal) {
	return call(s, func(e *engine.Engine) ([]engine.Notification, *refusal.Refusal) { return e.Notifications(after, limit) })
}

// NotificationsChanged implements httpapi.Credit. Without an engine there is nothing to wait
// for, and Notifications refuses.
func (s *engineSlot) NotificationsChanged() <-chan struct{} {
	if e := s.engine.Load(); e != nil {
		return e.NotificationsChanged()
	}
	return nil
}

// write is call for what books something.
func write[S, T any](s *engineSlot, ask func(*engine.Engine, S) (T, bool, *refusal.Refusal), spec S) (T, bool, *refusal.Refusal) {
	return call2(s, func(e *engine.Engine) (T, bool, *refusal.Refusal) { return ask(e, spec) })
}

// pageOf is call for a list that belongs to an account.
func pageOf[T any](s *engineSlot, ask func(e *engine.Engine, account, cursor string, limit int) (engine.Page[T], *refusal.Refusal), account, cursor string, limit int) (engine.Page[T], *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Page[T], *refusal.Refusal) { return ask(e, account, cursor, limit) })
}

// BookHolds implements httpapi.Engine. Who has a request has an engine.
func (s *engineSlot) BookHolds(r *engine.Request) ([]engine.HoldResult, uint64, *refusal.Refusal) {
	return s.engine.Load().BookHolds(r)
}

// Hold implements httpapi.Engine.
func (s *engineSlot) Hold(id string) (engine.HoldView, *refusal.Refusal) {
	e, no := s.get()
	if no != nil {
		return engine.HoldView{}, no
	}
	return e.Hold(id)
}
