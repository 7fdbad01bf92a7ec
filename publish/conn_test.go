package publish

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// wire is a Dial that can interfere with produce requests. Each connection has one request in flight, so what is read after a
// produce request was written is its answer.
type wire struct {
	// cutAnswers is how many answers to produce requests are lost, with their connection, after skip others went through.
	skip, cutAnswers atomic.Int32
	// onCut, if set, is called when an answer is lost: the broker has appended, the relay does not know.
	onCut func()
	// gate, if set, makes produce requests wait before they reach the broker.
	gate atomic.Pointer[gate]
	// onSent, if set, is called when the kernel has taken a produce request.
	onSent atomic.Pointer[func()]
}

// gate says when the first request has come to it, and holds all until it is opened.
type gate struct {
	come chan struct{}
	once sync.Once
	open chan struct{}
}

func newGate() *gate { return &gate{come: make(chan struct{}), open: make(chan struct{})} }

func (g *gate) pass() {
	g.once.Do(func() { close(g.come) })
	<-g.open
}

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &wireConn{Conn: conn, wire: w}, nil
}

type wireConn struct {
	net.Conn
	wire    *wire
	inReply atomic.Bool // the next bytes read answer a produce request
	between atomic.Bool // a request has begun; its further writes are not requests
}

const produceKey = 0

func (c *wireConn) Write(p []byte) (int, error) {
	if !c.between.Swap(true) && len(p) >= 6 && p[4] == 0 && p[5] == produceKey {
		if g := c.wire.gate.Load(); g != nil {
			g.pass()
		}
		c.inReply.Store(true)
		if sent := c.wire.onSent.Load(); sent != nil {
			defer (*sent)()
		}
	}
	return c.Conn.Write(p)
}

func (c *wireConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.between.Store(false)
	if n == 0 || !c.inReply.Swap(false) {
		return n, err
	}
	if c.wire.skip.Add(-1) >= 0 || c.wire.cutAnswers.Add(-1) < 0 {
		return n, err
	}
	if c.wire.onCut != nil {
		c.wire.onCut()
	}
	c.Close()
	return 0, io.ErrUnexpectedEOF
}
