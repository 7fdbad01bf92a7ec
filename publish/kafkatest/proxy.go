package kafkatest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy stands between clients and one broker and is asked about every produce request and every answer to one, so that a
// test can do something exactly there. Everything else passes. What it was given before a client died is still delivered.
type Proxy struct {
	// Addr is host:port on loopback, to be the broker's advertised listener.
	Addr     string
	listener net.Listener

	mu       sync.Mutex
	upstream string
	request  func(Produce) bool
	answer   func(Produce) bool
	conns    map[net.Conn]bool
	away     bool
	working  sync.WaitGroup
}

// Produce is a produce request, as far as tests tell them apart.
type Produce struct {
	// ClientID is the client's name for itself.
	ClientID string
	// Fence: it brings a relay's control record instead of records.
	Fence bool
}

// NewProxy returns a proxy that listens; it leads nowhere until To is called. It ends with t.
func NewProxy(t testing.TB) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: listener.Addr().String(), listener: listener, conns: map[net.Conn]bool{}}
	p.working.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.Away(true)
		p.working.Wait()
	})
	return p
}

// To leads to the broker at addr.
func (p *Proxy) To(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream = addr
}

// OnRequest has f asked about each produce request that has come in whole; it may wait. No: the request goes nowhere and its
// connection is cut. Nil asks nobody.
func (p *Proxy) OnRequest(f func(Produce) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.request = f
}

// OnAnswer has f asked about each answer to a produce request, which the broker has done then. No: the answer goes nowhere
// and the connection is cut. Nil asks nobody.
func (p *Proxy) OnAnswer(f func(Produce) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = f
}

// Away cuts all connections and refuses new ones while it is on.
func (p *Proxy) Away(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = on
	for c := range p.conns {
		if on {
			_ = c.Close()
		}
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.working.Go(func() { p.serve(client) })
	}
}

// serve passes what one client says, in frames.
func (p *Proxy) serve(client net.Conn) {
	defer p.drop(client)
	p.mu.Lock()
	to, away := p.upstream, p.away
	p.mu.Unlock()
	if away || to == "" {
		return
	}
	broker, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer p.drop(broker)
	if !p.keep(client) || !p.keep(broker) {
		return
	}
	on, answered := make(chan asked, 1000), make(chan struct{})
	p.working.Go(func() {
		defer close(answered)
		defer p.drop(client)
		p.answers(client, broker, on)
	})
	if refused := p.requests(client, broker, on); refused {
		p.drop(broker)
	}
	close(on)
	<-answered // a client that is gone has its requests done all the same
}

// asked is a request on its way to its answer.
type asked struct {
	produce bool
	what    Produce
}

// requests passes the requests until the client or the broker is gone, or one is refused.
func (p *Proxy) requests(client, broker net.Conn, on chan<- asked) (refused bool) {
	for {
		frame, err := readFrame(client)
		if err != nil {
			return false
		}
		a := look(frame)
		p.mu.Lock()
		ask := p.request
		p.mu.Unlock()
		if a.produce && ask != nil && !ask(a.what) {
			return true
		}
		on <- a
		if _, err := broker.Write(frame); err != nil {
			return false
		}
	}
}

// answers passes the answers, which come in the order of the requests. It reads on when the client is gone, so that the broker gets to
// do what it was asked.
func (p *Proxy) answers(client, broker net.Conn, on <-chan asked) {
	for a := range on {
		frame, err := readFrame(broker)
		if err != nil {
			return
		}
		p.mu.Lock()
		ask := p.answer
		p.mu.Unlock()
		if a.produce && ask != nil && !ask(a.what) {
			return
		}
		_, _ = client.Write(frame)
	}
}

func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	return !p.away
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close()
}

// Places in a request's frame: length, API key, version, correlation id, client id behind its length.
const (
	atKey      = 4
	atClientID = 12
	produceKey = 0
	frameMax   = 64 << 20
)

func readFrame(from io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(head[:]))
	if n > frameMax {
		return nil, errors.New("kafkatest: not a frame of Kafka")
	}
	frame := make([]byte, len(head)+n)
	copy(frame, head[:])
	_, err := io.ReadFull(from, frame[len(head):])
	return frame, err
}

func look(frame []byte) asked {
	if len(frame) < atClientID+2 || binary.BigEndian.Uint16(frame[atKey:]) != produceKey {
		return asked{}
	}
	a := asked{produce: true}
	if n := int(int16(binary.BigEndian.Uint16(frame[atClientID:]))); n > 0 && len(frame) >= atClientID+2+n {
		a.what.ClientID = string(frame[atClientID+2:][:n])
	}
	a.what.Fence = bytes.Contains(frame, []byte(".fence.v1"))
	return a
}
