package main

import (
	"sync/atomic"

	"farthing/engine"
	"farthing/httpapi"
	"farthing/refusal"
	"farthing/webhook"
)

// noticeSource is the stream of notifications as the dispatcher wants it.
type noticeSource struct{ e *engine.Engine }

var (
	_ webhook.Source = noticeSource{}
	_ webhook.Store  = (*engine.Webhooks)(nil)
)

// Notifications implements webhook.Source.
func (s noticeSource) Notifications(after uint64, limit int) ([]webhook.Notification, error) {
	page, no := s.e.Notifications(after, limit)
	if no != nil {
		return nil, no
	}
	out := make([]webhook.Notification, len(page))
	for i, n := range page {
		out[i] = webhook.Notification{Number: n.Number, Type: n.Type, JSON: n.JSON}
	}
	return out, nil
}

// Last implements webhook.Source.
func (s noticeSource) Last() uint64 { return s.e.LastNotification() }

// Changed implements webhook.Source.
func (s noticeSource) Changed() <-chan struct{} { return s.e.NotificationsChanged() }

// webhookSlot is the dispatcher as HTTP sees it, from before the ledger is open.
type webhookSlot struct {
	dispatcher atomic.Pointer[webhook.Dispatcher] // set once
}

var _ httpapi.Webhooks = (*webhookSlot)(nil)

func (s *webhookSlot) get() (*webhook.Dispatcher, *refusal.Refusal) {
	if d := s.dispatcher.Load(); d != nil {
		return d, nil
	}
	return nil, replaying()
}

// Create implements httpapi.Webhooks.
func (s *webhookSlot) Create(spec webhook.Spec) (e webhook.Endpoint, created bool, no *refusal.Refusal) {
	d, no := s.get()
	if no != nil {
		return e, false, no
	}
	return d.Create(spec)
}

// Endpoints implements httpapi.Webhooks.
func (s *webhookSlot) Endpoints() ([]webhook.Endpoint, *refusal.Refusal) {
	d, no := s.get()
	if no != nil {
		return nil, no
	}
	return d.Endpoints()
}

// Endpoint implements httpapi.Webhooks.
func (s *webhookSlot) Endpoint(id string) (e webhook.Endpoint, no *refusal.Refusal) {
	d, no := s.get()
	if no != nil {
		return e, no
	}
	return d.Endpoint(id)
}

// Enable implements httpapi.Webhooks.
func (s *webhookSlot) Enable(id string, from *uint64) (e webhook.Endpoint, no *refusal.Refusal) {
	d, no := s.get()
	if no != nil {
		return e, no
	}
	return d.Enable(id, from)
}

// Delete implements httpapi.Webhooks.
func (s *webhookSlot) Delete(id string) (e webhook.Endpoint, no *refusal.Refusal) {
	d, no := s.get()
	if no != nil {
		return e, no
	}
	return d.Delete(id)
}
