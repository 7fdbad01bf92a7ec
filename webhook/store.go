package webhook

// Store keeps the endpoints, two rows each that only this package reads. Calls for one id never overlap.
type Store interface {
	// Load calls fn with the rows of every endpoint, until fn fails.
	Load(fn func(id string, registry, progress []byte) error) error
	// Save writes both rows of an endpoint at once and returns when they are durable.
	Save(id string, registry, progress []byte) error
	// Advance writes how far an endpoint is. A crash may lose it, but nothing that was written before it.
	Advance(id string, progress []byte) error
	// Delete removes both rows and returns when that is durable.
	Delete(id string) error
}

// Source has the notifications. It is called by many goroutines at once. A *refusal.Refusal as error is passed on to
// whoever asked.
type Source interface {
	// Notifications returns up to limit durable notifications after a number, in order.
	Notifications(after uint64, limit int) ([]Notification, error)
	// Last is the number of the newest one; 0: there is none yet.
	Last() uint64
	// Changed returns a channel that is closed once there may be more than at the time of the call.
	Changed() <-chan struct{}
}

// Notification is one entry of the stream.
type Notification struct {
	Number uint64 // contiguous from 1
	Type   string
	JSON   []byte // the body of its deliveries; not changed and not kept
}
