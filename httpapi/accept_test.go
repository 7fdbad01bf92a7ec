package httpapi

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// scriptedListener answers Accept with errors first, then with one connection, then with
// an error for good, once it is told.
type scriptedListener struct {
	net.Listener
	errs []error
	conn net.Conn
	end  chan struct{} // closed: that was all
}

var errListenerClosed = errors.New("closed for good")

func (l *scriptedListener) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, err
	}
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.end
	return nil, errListenerClosed
}

// TestAcceptOutlivesMissingDescriptors: a moment without file descriptors does not end
// the server, anything else does.
func TestAcceptOutlivesMissingDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer here.Close()
		defer there.Close()
		none := func(code syscall.Errno) error {
			return &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", code)}
		}
		end := make(chan struct{})
		l := &clientListener{Listener: &scriptedListener{errs: []error{none(syscall.EMFILE), none(syscall.ENFILE)}, conn: here, end: end}, conns: testConnections(1)}
		l.conns.readWithin = time.Minute
		go l.take()
		<-time.After(3 * acceptPause)
		synctest.Wait()
		if n := l.conns.count(); n != 1 {
			t.Errorf("%d connections", n)
		}
		close(end)
		if _, err := l.Accept(); !errors.Is(err, errListenerClosed) {
			t.Fatalf("%v", err)
		}
	})
}
