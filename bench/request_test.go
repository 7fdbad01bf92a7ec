package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func testRenderer(batch int) *renderer {
	prefix := runPrefix(time.UnixMilli(1_700_000_000_000))
	return &renderer{host: "h:1", key: "k", prefix: prefix, names: names{run: prefix}, models: catalogue()[:3], accounts: 5, batch: batch}
}

// Every stamped request is a well-formed HTTP request whose body is JSON with
// ids that never occurred before, and nothing but the ids changes.
func TestStampedRequests(t *testing.T) {
	seen := map[string]bool{}
	for _, batch := range []int{1, 3, 1000} {
		req := testRenderer(batch).render(rand.New(rand.NewPCG(1, 1)))
		for _, block := range []uint64{1, 31, 32, 1<<40 - 1} {
			req.stamp(block + uint64(batch)<<20)
			events := parseRequest(t, req.bytes)
			if len(events) != batch {
				t.Fatalf("%d events, want %d", len(events), batch)
			}
			for i, e := range events {
				if len(e.ID) != idLen || seen[e.ID] {
					t.Fatalf("id %q is not new or not %d long", e.ID, idLen)
				}
				seen[e.ID] = true
				d := req.draws[i]
				want := map[string]uint64{"input": d.input, "cached_input": d.cached, "output": d.output}
				if e.Subject == "" || fmt.Sprint(e.Data.Usage) != fmt.Sprint(want) {
					t.Fatalf("event %+v does not use %v", e, want)
				}
			}
		}
	}
}

type wireEvent struct {
	ID, Subject string
	Data        struct {
		Model string
		Usage map[string]uint64
	}
}

func parseRequest(t *testing.T, raw []byte) []wireEvent {
	t.Helper()
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if got := req.Header.Get("Authorization"); got != "Bearer k" {
		t.Errorf("authorization %q", got)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		t.Fatal(err)
	}
	if body[0] == '{' {
		body = append(append([]byte("["), body...), ']')
	}
	var events []wireEvent
	if err := json.Unmarshal(body, &events); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return events
}

func TestIDsSortByBlock(t *testing.T) {
	var low, high [idBlockLen]byte
	for _, n := range []uint64{0, 1, 31, 1023, 1 << 30} {
		base32(low[:], n)
		base32(high[:], n+1)
		if string(low[:]) >= string(high[:]) {
			t.Errorf("%s does not come before %s", low, high)
		}
	}
}

// errShort stands for io.EOF or io.ErrUnexpectedEOF, as the reads happen to fall.
var errShort = errors.New("body cut short")

func TestReadAnswer(t *testing.T) {
	f := func(raw string, want answer, keep bool, wantErr error) {
		t.Helper()
		for _, reader := range []io.Reader{strings.NewReader(raw), iotest.OneByteReader(strings.NewReader(raw))} {
			a, k, err := newConn(nil).readAnswer(reader)
			if errors.Is(wantErr, errShort) && err != nil && strings.Contains(err.Error(), "cut short") {
				continue
			}
			if !errors.Is(err, wantErr) {
				t.Errorf("%q: error %v, want %v", raw, err, wantErr)
				continue
			}
			if err == nil && (a.status != want.status || a.accepted != want.accepted || a.duplicates != want.duplicates || string(a.body) != string(want.body) || k != keep) {
				t.Errorf("%q: got %+v keep %v", raw, a, k)
			}
		}
	}
	f("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 30\r\n\r\n{\"accepted\":12,\"duplicates\":3}", answer{200, 12, 3, []byte(`{"accepted":12,"duplicates":3}`)}, true, nil)
	f("HTTP/1.1 200 OK\r\ncontent-length:33\r\nconnection: Close\r\n\r\n{\"duplicates\": 0, \"accepted\": 1 }", answer{200, 1, 0, []byte(`{"duplicates": 0, "accepted": 1 }`)}, false, nil)
	f("HTTP/1.1 429 Too Many\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", answer{status: 429}, true, nil)
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", answer{}, false, ErrProtocol)
	f("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", answer{}, false, ErrProtocol)
	f("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", answer{}, false, ErrProtocol)
	f("SMTP ready, what do you want\r\n\r\n", answer{}, false, ErrProtocol)
	f("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", answerHeadMax), answer{}, false, ErrProtocol)
	f("HTTP/1.1 200 OK\r\nContent-Le", answer{}, false, io.EOF)
	f("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", answer{}, false, errShort)
	big := strings.Repeat("y", 100_000)
	f("HTTP/1.1 422 No\r\nContent-Length: 100000\r\n\r\n"+big, answer{status: 422, body: []byte(big)}, true, nil)
}

// What the generator does per request apart from the system calls must not
// allocate, or the collector would take its share of the two cores.
func TestHotPathDoesNotAllocate(t *testing.T) {
	req := testRenderer(1000).render(rand.New(rand.NewPCG(1, 1)))
	c, latency := newConn(nil), newHistogram()
	raw := "HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n{\"accepted\":1000,\"duplicates\":0}"
	reader := strings.NewReader(raw)
	block := uint64(0)
	allocs := testing.AllocsPerRun(100, func() {
		block++
		req.stamp(block)
		reader.Reset(raw)
		if a, _, err := c.readAnswer(reader); err != nil || a.accepted != 1000 {
			t.Fatal(a, err)
		}
		_ = latency.RecordValue(1234567)
	})
	if allocs != 0 {
		t.Errorf("%v allocations a request", allocs)
	}
}

func BenchmarkStampBatch(b *testing.B) {
	req := testRenderer(1000).render(rand.New(rand.NewPCG(1, 1)))
	for i := 0; b.Loop(); i++ {
		req.stamp(uint64(i))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
}
