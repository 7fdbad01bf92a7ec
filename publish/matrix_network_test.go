package publish

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"farthing/publish/kafkatest"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// TestMatrixNetwork has a proxy between the relay and a real broker that spoils connections.
func TestMatrixNetwork(t *testing.T) {
	for _, row := range []struct {
		name string
		run  func(t *testing.T, w *world, p *spoiler)
	}{
		{"cut after the request was sent", cutAfterRequest},
		{"reset after the request was sent", resetAfterRequest},
		{"cut within the request", cutWithinRequest},
		{"ack delayed past the timeout", ackDelayed},
		{"ack never comes", ackNeverComes},
		{"network gone while the broker answers", networkGone},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := cluster{addr: kafkatest.Start(t), topic: strings.ReplaceAll(topicName(t), " ", "-")}
			c.createTopic(t)
			p := newSpoiler(t, c.addr)
			row.run(t, newWorld(t, c, func(o *Options) { o.Dial, o.RequestTimeout = p.dial, 300*time.Millisecond }), p)
		})
	}
}

// spoiler is a way to a broker through a proxy that can be spoiled. Toxics are only ever added; heal leads new connections past the proxy.
type spoiler struct {
	proxy *toxiproxy.Proxy
	addr  string
	past  atomic.Bool
}

func newSpoiler(t *testing.T, upstream string) *spoiler {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := &spoiler{proxy: toxiproxy.NewProxy(server, "broker", "127.0.0.1:0", upstream)}
	must(t, p.proxy.Start())
	p.addr = p.proxy.Listen
	t.Cleanup(p.proxy.Stop)
	return p
}

// dial goes through the proxy, whatever address the broker says it has.
func (p *spoiler) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if !p.past.Load() {
		address = p.addr
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// spoil adds a toxic: see the documentation of toxiproxy. up is towards the broker.
func (p *spoiler) spoil(t *testing.T, kind string, up bool, attribute string, value int) {
	t.Helper()
	stream := "downstream"
	if up {
		stream = "upstream"
	}
	_, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name":"it","type":%q,"stream":%q,"attributes":{%q:%d}}`, kind, stream, attribute, value)))
	must(t, err)
}

func (p *spoiler) heal() { p.past.Store(true) }

// appendedUnheard waits until the second half stands in the topic, while the relay knows only of the first.
func (w *world) appendedUnheard(t *testing.T) {
	t.Helper()
	end := w.box.pos.NextOffset + rowRecords/2
	eventually(t, "the broker has appended", func() bool { return w.end(t) == end })
	if s := w.run.relay.Stats(); s.Confirmed != rowRecords/2 {
		t.Fatalf("confirmed already: %+v", s)
	}
}

func cutAfterRequest(t *testing.T, w *world, p *spoiler) {
	p.spoil(t, "limit_data", false, "bytes", 1)
	w.sealRest()
	w.appendedUnheard(t)
	w.awaitStats(t, "sent twice", func(s Stats) bool { return s.Resent >= 2 })
	p.heal()
	w.finish(t, 0)
}

func resetAfterRequest(t *testing.T, w *world, p *spoiler) {
	p.spoil(t, "reset_peer", false, "timeout", 0)
	w.sealRest()
	w.appendedUnheard(t)
	w.awaitStats(t, "sent twice", func(s Stats) bool { return s.Resent >= 2 })
	p.heal()
	w.finish(t, 0)
}

func cutWithinRequest(t *testing.T, w *world, p *spoiler) {
	end := w.end(t)
	p.spoil(t, "limit_data", true, "bytes", 300)
	w.sealRest()
	w.awaitStats(t, "sent twice", func(s Stats) bool { return s.Resent >= 2 })
	if now := w.end(t); now != end {
		t.Fatalf("half a request has moved the end from %d to %d", end, now)
	}
	p.heal()
	w.finish(t, 0)
}

func ackDelayed(t *testing.T, w *world, p *spoiler) {
	p.spoil(t, "latency", false, "latency", 700)
	w.sealRest()
	w.appendedUnheard(t)
	w.awaitStats(t, "sent twice", func(s Stats) bool { return s.Resent >= 2 && strings.Contains(s.LastError, "deadline exceeded") })
	p.heal()
	w.finish(t, 0)
}

func ackNeverComes(t *testing.T, w *world, p *spoiler) {
	p.spoil(t, "timeout", false, "timeout", 0)
	w.sealRest()
	w.appendedUnheard(t)
	w.awaitStats(t, "sent twice", func(s Stats) bool { return s.Resent >= 2 })
	p.heal()
	w.finish(t, 0)
}

func networkGone(t *testing.T, w *world, p *spoiler) {
	p.proxy.Stop()
	w.sealRest()
	w.awaitStats(t, "sent twice", func(s Stats) bool { return s.Resent >= 2 })
	must(t, p.proxy.Start())
	w.finish(t, 0)
}
