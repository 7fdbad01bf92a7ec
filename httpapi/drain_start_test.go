package httpapi

import (
	"context"
	"net"
	"testing"
	"time"
)

// TestDrainWhileItStarts ends a server that has only begun to serve: a start that fails at once ends, and hangs for nothing.
func TestDrainWhileItStarts(t *testing.T) {
	for n := range 300 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := New(newFake(), Options{})
		served := make(chan error, 1)
		go func() { served <- s.Serve(ln) }()
		for range n % 7 * 30 {
			_ = s.now() // some time
		}
		ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
		drained := make(chan error, 1)
		go func() { drained <- s.Drain(ctx) }()
		for range 2 {
			select {
			case err := <-drained:
				if err != nil {
					t.Fatal(err)
				}
			case err := <-served:
				if err != nil {
					t.Fatal(err)
				}
			case <-ctx.Done():
				t.Fatalf("run %d hangs", n)
			}
		}
		stop()
	}
}
