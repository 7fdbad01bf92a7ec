package httpapi

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Scopes is the set of things an API key may do.
type Scopes uint8

// The scopes. ScopeAdmin includes the other two.
const (
	ScopeIngest Scopes = 1 << iota // usage events and operations on holds
	ScopeRead                      // every GET that is not open
	ScopeAdmin                     // everything
)

// Has reports whether s allows what needs scope need.
func (s Scopes) Has(need Scopes) bool { return need == 0 || s&(need|ScopeAdmin) != 0 }

// Keys knows the API keys. It is called by many goroutines at once and must
// compare in constant time.
type Keys interface {
	// Authenticate returns the key that token is. The token must not be kept.
	Authenticate(token []byte) (key Key, ok bool)
}

// BodyMaxBytes is the contract's limit of a request of usage events and of a
// price version.
const BodyMaxBytes = 8 << 20

// coldBodyMaxBytes bounds every other body: an account with 4 KiB of metadata,
// escaped at its worst, is below half of it.
const coldBodyMaxBytes = 64 << 10

// Options sets the limits of a Server. The zero value of a field means its default.
type Options struct {
	// Keys are the API keys; nil: everybody who can connect may do everything,
	// which is why the server then listens on loopback only.
	Keys Keys
	// Webhooks has the endpoints of webhooks; nil: the server has none, and says so.
	Webhooks Webhooks
	// Backups makes copies of the ledger; nil: the server makes none, and says so.
	Backups Backups
	// Results tells the state of what reads results of lines from a topic; nil: nothing does.
	// It is called by many goroutines at once.
	Results func() ResultFeed
	// Collectors are registered beside the server's own metrics (the engine's).
	Collectors []prometheus.Collector
	// Logger takes what an operator should see; nil: slog.Default().
	Logger *slog.Logger
	// ReadTimeout is how long a request may take from its first byte to its last,
	// or up to an eighth longer, at most a second; then it is answered 408 and its
	// connection closed. Too short cuts off slow senders of 8 MiB, too long lets them
	// sit on the body budget. Default 30 s.
	ReadTimeout time.Duration
	// BodyStall is how far a body may fall behind 100 KB/s before it is answered 408;
	// so long does one that stalls hold its budget. Default 5 s.
	BodyStall time.Duration
	// ArrivingMaxBytes bounds the memory of bodies over 64 KiB while they arrive, so that
	// slow ones leave the rest of the budget to others. Half of the engine's budget is
	// right: less refuses bursts of large bodies, all of it lets a few dozen slow senders
	// keep everybody out for a second. Default 128 MiB.
	ArrivingMaxBytes int64
	// WriteTimeout is how long an answer may take to be taken by the client, after
	// which the connection is closed; or up to an eighth longer, at most a second. Until
	// then it takes memory. Default 10 s.
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection may stay without a request. Default 2 min.
	IdleTimeout time.Duration
	// HeaderMaxBytes bounds the request line and headers together; it is also what
	// each connection's read buffer takes. An id in a path may need 384 bytes, a
	// cursor some more. Default 8 KiB.
	HeaderMaxBytes int
	// ConnectionsMax bounds the open connections. For one more, the one goes that has
	// waited longest for its client; when requests are under way on all of them, the new
	// one is answered 429 and closed. Each costs about 40 KiB when busy, a tenth of it
	// when silent. Default 16,384.
	ConnectionsMax int
	// ConnectionsPerAddressMax bounds those of one client address (of IPv6, of one /64
	// network) in the same way. Too low for a proxy in front, whose clients share its
	// address. Default 0: no such bound.
	ConnectionsPerAddressMax int
	// TLS makes the server speak TLS; nil: plain text.
	TLS *TLS
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.ReadTimeout <= 0 {
		o.ReadTimeout = 30 * time.Second
	}
	if o.BodyStall <= 0 {
		o.BodyStall = 5 * time.Second
	}
	if o.ArrivingMaxBytes <= 0 {
		o.ArrivingMaxBytes = 128 << 20
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = 10 * time.Second
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = 2 * time.Minute
	}
	if o.HeaderMaxBytes <= 0 {
		o.HeaderMaxBytes = 8 << 10
	}
	if o.ConnectionsMax <= 0 {
		o.ConnectionsMax = 16384
	}
	return o
}
