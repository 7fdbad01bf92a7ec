package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"testing"
	"time"
)

// nothing is a server that reads requests, does nothing and says all was
// accepted: what is left is the cost of generator and sockets.
func nothing(b *testing.B, w Workload) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = listener.Close() })
	status := "200 OK"
	if w.Holds && w.Batch == 1 {
		status = "201 Created"
	}
	body := fmt.Sprintf(`{"accepted":%d,"held":%[1]d,"captured":%[1]d,"duplicates":0,"unpriced":0,"rejected":[],"sequence":1}`, w.Batch)
	reply := fmt.Appendf(nil, "HTTP/1.1 "+status+"\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	go func() {
		for {
			sock, err := listener.Accept()
			if err != nil {
				return
			}
			go answerAll(sock, reply)
		}
	}()
	return listener.Addr().String()
}

func answerAll(sock net.Conn, reply []byte) {
	defer func() { _ = sock.Close() }()
	in := bufio.NewReaderSize(sock, 1<<20)
	for {
		n := 0
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				break
			}
			if bytes.HasPrefix(line, []byte("Content-Length:")) {
				n = number(line, ":")
			}
		}
		if _, err := in.Discard(n); err != nil {
			return
		}
		if _, err := sock.Write(reply); err != nil {
			return
		}
	}
}

// BenchmarkGenerator drives a server that does nothing. Its figure is an upper
// bound of the generator's share: it includes the other end of the sockets.
func BenchmarkGenerator(b *testing.B) {
	for _, w := range Workloads() {
		b.Run(w.Name, func(b *testing.B) {
			for b.Loop() {
				opts := tiny("http://"+nothing(b, w), w)
				opts.Connections, opts.Duration = 0, time.Second
				r := newRun(opts.withDefaults(), "x")
				r.makeWorkers(b.Context(), runPrefix(time.Now()))
				got, err := r.drive(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(got.EventsPerSecond), "events/s")
				b.ReportMetric(float64(got.GeneratorCPU.Nanoseconds())/float64(got.Events), "cpu-ns/event")
			}
		})
	}
}
