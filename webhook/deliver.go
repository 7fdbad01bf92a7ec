package webhook

import (
	"context"
	"time"
)

const (
	// pageNotifications is how many notifications are read at once: some 100 KB.
	pageNotifications = 256
	// sourceRetry is the wait after a failed read of notifications, which is a failure of our own disk.
	sourceRetry = 30 * time.Second
)

// deliver is an endpoint's worker. It ends with ctx, or once the endpoint is disabled.
func (d *Dispatcher) deliver(ctx context.Context, id string) {
	for ctx.Err() == nil {
		e, _ := d.view(id)
		changed := d.source.Changed()
		page, err := d.source.Notifications(e.Delivered, pageNotifications)
		switch {
		case err != nil:
			d.log.Error("notifications could not be read", "webhook", id, "error", err)
			wait(ctx, sourceRetry)
		case len(page) == 0:
			select {
			case <-changed:
			case <-ctx.Done():
			}
		case !d.page(ctx, &e, page):
			return
		}
	}
}

// page delivers what the endpoint wants of a page; false: it must not go on.
func (d *Dispatcher) page(ctx context.Context, e *Endpoint, page []Notification) bool {
	for i := range page {
		n := &page[i]
		if e.wants(n.Type) {
			if !d.one(ctx, e, n) {
				return false
			}
			e.Failures, e.NextAttempt = 0, time.Time{}
		}
		e.Delivered = n.Number
		// What it does not want is passed over in memory: only the end of a page is worth a row.
		if e.wants(n.Type) || i == len(page)-1 {
			d.advance(e)
		}
	}
	return true
}

// one delivers a notification, however many attempts that takes; false: it was not delivered.
func (d *Dispatcher) one(ctx context.Context, e *Endpoint, n *Notification) bool {
	for {
		if !d.awaitAttempt(ctx, e) {
			return false
		}
		out := d.attempt(ctx, e, n)
		if out.err == nil {
			d.delivered.Add(1)
			return true
		}
		if ctx.Err() != nil {
			return false // broken off by us: no failure of the endpoint
		}
		d.failed.Add(1)
		if !d.note(e, n, &out) {
			return false
		}
	}
}

// awaitAttempt waits until the next attempt is due. A clock that was set back cannot make it wait for longer than the
// longest delay.
func (d *Dispatcher) awaitAttempt(ctx context.Context, e *Endpoint) bool {
	if e.NextAttempt.IsZero() {
		return ctx.Err() == nil
	}
	return wait(ctx, min(e.NextAttempt.Sub(d.o.Now()), 2*retryAfterMax))
}

// note takes a failure; false: it was the last, and the endpoint is disabled.
func (d *Dispatcher) note(e *Endpoint, n *Notification, out *outcome) bool {
	e.Failures++
	e.LastError, e.LastErrorAt = plain(out.err), d.o.Now().UTC()
	if out.gone || e.Failures > len(d.o.Schedule) {
		e.Disabled, e.NextAttempt = true, time.Time{}
		d.log.Error("a webhook is disabled; enable it once its endpoint works again", "webhook", e.ID, "number", n.Number, "failures", e.Failures, "error", e.LastError)
		// If it cannot be stored, it stands as active after a restart and fails once more.
		_ = d.save(e)
		d.show(*e)
		return false
	}
	delay := max(d.o.Jitter(d.o.Schedule[e.Failures-1]), out.retryAfter)
	e.NextAttempt = d.o.Now().Add(delay)
	d.log.Warn("a webhook failed", "webhook", e.ID, "number", n.Number, "failures", e.Failures, "error", e.LastError, "retry", delay)
	d.advance(e)
	return true
}

// advance shows how far an endpoint is and stores it.
func (d *Dispatcher) advance(e *Endpoint) {
	if err := d.store.Advance(e.ID, e.progress()); err != nil {
		// After a restart it begins where it was stored last and delivers some again.
		d.log.Error("the position of a webhook could not be stored", "webhook", e.ID, "error", err)
	}
	d.show(*e)
}

// wait returns true after the time, or false when ctx ends before.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
