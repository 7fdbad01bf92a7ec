package webhook

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"farthing/refusal"
)

// Dispatcher delivers notifications to endpoints. All methods may be called by many goroutines at once.
type Dispatcher struct {
	o      Options
	store  Store
	source Source
	client *http.Client
	log    *slog.Logger

	delivered, failed atomic.Uint64 // attempts of this process

	// calls orders what changes the set of endpoints and workers. It is held while the store syncs and while a worker
	// ends, and nothing but these calls waits for it. Taken before mu.
	calls   sync.Mutex
	workers map[string]*worker // by endpoint
	running context.Context    // of Run; nil outside of it

	// mu guards what reads show. It is a leaf and never held over I/O. An endpoint is changed by its worker while it
	// has one, else under calls.
	mu        sync.Mutex
	endpoints map[string]*Endpoint
}

// worker is the goroutine that delivers to an endpoint.
type worker struct {
	stop context.CancelFunc
	done chan struct{} // closed at its end
}

// New returns a dispatcher with the endpoints of the store. It delivers nothing before Run.
func New(o Options, store Store, source Source) (*Dispatcher, error) {
	o = o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	d := &Dispatcher{o: o, store: store, source: source, client: newClient(&o), log: o.Logger,
		workers: map[string]*worker{}, endpoints: map[string]*Endpoint{}}
	err := store.Load(func(id string, registry, progress []byte) error {
		e, err := decodeEndpoint(id, registry, progress)
		d.endpoints[id] = &e
		return err
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Run delivers until ctx ends. A request that is on its way then is broken off, and made again by the next Run.
func (d *Dispatcher) Run(ctx context.Context) {
	d.calls.Lock()
	d.running = ctx
	for _, e := range d.list() {
		d.start(&e)
	}
	d.calls.Unlock()
	<-ctx.Done()
	d.calls.Lock()
	defer d.calls.Unlock()
	d.running = nil
	for _, id := range slices.Collect(maps.Keys(d.workers)) {
		d.halt(id)
	}
	d.client.CloseIdleConnections()
}

// start begins to deliver to an endpoint; calls is held.
func (d *Dispatcher) start(e *Endpoint) {
	if d.running == nil || e.Disabled {
		return
	}
	ctx, stop := context.WithCancel(d.running)
	w := &worker{stop: stop, done: make(chan struct{})}
	d.workers[e.ID] = w
	go func() {
		defer close(w.done)
		defer stop()
		d.deliver(ctx, e.ID)
	}()
}

// halt returns once nothing more is delivered to an endpoint; calls is held.
func (d *Dispatcher) halt(id string) {
	if w := d.workers[id]; w != nil {
		w.stop()
		<-w.done
		delete(d.workers, id)
	}
}

// Create makes an endpoint. With the id of one that asks for the same it changes nothing and created is false.
func (d *Dispatcher) Create(s Spec) (e Endpoint, created bool, no *refusal.Refusal) {
	if no := s.check(&d.o); no != nil {
		return e, false, no
	}
	d.calls.Lock()
	defer d.calls.Unlock()
	if there, ok := d.view(s.ID); ok {
		if !there.isWhat(&s) {
			return e, false, refusal.New(refusal.IDConflict, "content", "the endpoint %s exists with other content; delete it first", s.ID)
		}
		return there, false, nil
	}
	if len(d.list()) >= d.o.EndpointsMax {
		return e, false, refusal.New(refusal.Invalid, "too_many_webhooks", "there can be %d endpoints at most", d.o.EndpointsMax)
	}
	e = Endpoint{ID: s.ID, URL: s.URL, Secret: s.Secret, Types: s.Types, Created: d.o.Now().UTC()}
	if e.Secret == nil {
		e.Secret = newSecret()
	}
	if e.From, no = d.startOf(s.From); no != nil {
		return e, false, no
	}
	e.Delivered = e.From
	if no := d.save(&e); no != nil {
		return e, false, no
	}
	d.start(&e)
	return e, true, nil
}

// startOf is the number to start after: the one asked for, or the newest. What comes after it has to be there: old notifications may have been dropped.
func (d *Dispatcher) startOf(from *uint64) (uint64, *refusal.Refusal) {
	if from == nil {
		return d.source.Last(), nil
	}
	if _, err := d.source.Notifications(*from, 1); err != nil {
		return 0, d.refusalOf(err)
	}
	return *from, nil
}

// Endpoints lists all endpoints, sorted by id.
func (d *Dispatcher) Endpoints() ([]Endpoint, *refusal.Refusal) { return d.list(), nil }

// Endpoint shows one.
func (d *Dispatcher) Endpoint(id string) (Endpoint, *refusal.Refusal) {
	e, ok := d.view(id)
	if !ok {
		return e, unknown(id)
	}
	return e, nil
}

// Enable makes an endpoint active, forgets its failures and tries at once. With from it goes on after that number.
func (d *Dispatcher) Enable(id string, from *uint64) (Endpoint, *refusal.Refusal) {
	if no := checkNumber(from); no != nil {
		return Endpoint{}, no
	}
	d.calls.Lock()
	defer d.calls.Unlock()
	if _, ok := d.view(id); !ok {
		return Endpoint{}, unknown(id)
	}
	if from != nil {
		if _, no := d.startOf(from); no != nil {
			return Endpoint{}, no
		}
	}
	d.halt(id)
	e, _ := d.view(id)
	was := e
	e.Disabled, e.Failures, e.NextAttempt = false, 0, time.Time{}
	if from != nil {
		e.Delivered = *from
	}
	if no := d.save(&e); no != nil {
		d.start(&was)
		return was, no
	}
	d.start(&e)
	return e, nil
}

// Delete removes an endpoint and returns it as it stood. Nothing is sent to it after.
func (d *Dispatcher) Delete(id string) (Endpoint, *refusal.Refusal) {
	d.calls.Lock()
	defer d.calls.Unlock()
	if _, ok := d.view(id); !ok {
		return Endpoint{}, unknown(id)
	}
	d.halt(id)
	e, _ := d.view(id)
	if err := d.store.Delete(id); err != nil {
		d.start(&e)
		return e, d.refusalOf(err)
	}
	d.mu.Lock()
	delete(d.endpoints, id)
	d.mu.Unlock()
	return e, nil
}

func unknown(id string) *refusal.Refusal {
	return refusal.New(refusal.NotFound, "unknown_webhook", "there is no webhook %s", id)
}

// save makes an endpoint durable, then shows it.
func (d *Dispatcher) save(e *Endpoint) *refusal.Refusal {
	if err := d.store.Save(e.ID, e.registry(), e.progress()); err != nil {
		return d.refusalOf(err)
	}
	d.show(*e)
	return nil
}

// refusalOf tells a failure of store or source to who asked.
func (d *Dispatcher) refusalOf(err error) *refusal.Refusal {
	var no *refusal.Refusal
	if errors.As(err, &no) {
		return no
	}
	d.log.Error("a webhook could not be read or stored", "error", err)
	return refusal.New(refusal.Internal, "storage", "the webhook could not be read or stored; this was logged")
}

func (d *Dispatcher) show(e Endpoint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.endpoints[e.ID] = &e
}

// view is an endpoint as it stands. What it points to is never changed.
func (d *Dispatcher) view(id string) (e Endpoint, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	there := d.endpoints[id]
	if there == nil {
		return e, false
	}
	return *there, true
}

func (d *Dispatcher) list() []Endpoint {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]Endpoint, 0, len(d.endpoints))
	for _, id := range slices.Sorted(maps.Keys(d.endpoints)) {
		out = append(out, *d.endpoints[id])
	}
	return out
}

// Needed is the number of the first notification that an endpoint has still to be told; all ones: there is none.
func (d *Dispatcher) Needed() uint64 {
	needed := ^uint64(0)
	for _, e := range d.list() {
		needed = min(needed, e.Delivered+1)
	}
	return needed
}

// Stats is what metrics need. Counters are of this process.
type Stats struct {
	Delivered, Failed uint64 // attempts
	Active, Disabled  int    // endpoints
	Failing           int    // active endpoints whose last attempt failed
}

// Stats returns the present figures.
func (d *Dispatcher) Stats() Stats {
	s := Stats{Delivered: d.delivered.Load(), Failed: d.failed.Load()}
	for _, e := range d.list() {
		switch {
		case e.Disabled:
			s.Disabled++
		case e.Failures > 0:
			s.Failing++
			fallthrough
		default:
			s.Active++
		}
	}
	return s
}
