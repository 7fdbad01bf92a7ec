package webhook

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"
)

// Options configures a Dispatcher. The zero value of an optional field means its default.
type Options struct {
	// Ledger is the ledger's id, part of every webhook-id. Required.
	Ledger string
	// AllowPrivate lets endpoints be at any address and be called over plain http. Who may create endpoints can then
	// reach everything that this process can reach.
	AllowPrivate bool
	// Types are the types that an endpoint may ask for; empty: any.
	Types []string
	// EndpointsMax bounds the endpoints; each active one takes a goroutine and a connection. Default 100.
	EndpointsMax int
	// Timeout bounds an attempt from the dial to the end of the answer; default 10 s. Too short and endpoints that do
	// work before they answer get everything twice.
	Timeout time.Duration
	// Schedule has the delays after the first, second … failure of a notification; after one more the endpoint is
	// disabled. The default is that of the specification: 5 s to 24 h, 75 hours together.
	Schedule []time.Duration
	// Jitter spreads a delay, so that endpoints that failed together do not come back together; default: up to a fifth longer.
	Jitter func(time.Duration) time.Duration
	// Now is the wall clock; default time.Now.
	Now func() time.Time
	// Resolver finds the addresses of names; default the system's.
	Resolver *net.Resolver
	// Logger receives failures and what is disabled, by the endpoint's id; default slog.Default().
	Logger *slog.Logger
}

var defaultSchedule = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// EnsureDefaults returns o with every unset optional field filled.
func (o Options) EnsureDefaults() Options {
	if o.EndpointsMax == 0 {
		o.EndpointsMax = 100
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Schedule == nil {
		o.Schedule = defaultSchedule
	}
	if o.Jitter == nil {
		o.Jitter = func(d time.Duration) time.Duration { return d + rand.N(d/5+1) }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Validate reports every problem of o, after EnsureDefaults.
func (o Options) Validate() error {
	var problems []error
	if o.Ledger == "" {
		problems = append(problems, errors.New("no ledger id"))
	}
	if o.EndpointsMax < 0 {
		problems = append(problems, fmt.Errorf("%d endpoints are below none", o.EndpointsMax))
	}
	if o.Timeout < 0 {
		problems = append(problems, fmt.Errorf("timeout %v is not positive", o.Timeout))
	}
	for _, d := range o.Schedule {
		if d <= 0 {
			problems = append(problems, fmt.Errorf("a delay of %v is not positive", d))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("webhook: options: %w", errors.Join(problems...))
}
