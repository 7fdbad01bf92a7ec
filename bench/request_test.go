package bench

import (
	"bufio"
	"bytes"
	"encoding/binary"
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

	"farthing/bench/client"
)

func testRenderer(w Workload, holdBy string) *renderer {
	prefix := runPrefix(time.UnixMilli(1_700_000_000_000))
	return &renderer{host: "h:1", key: "k", prefix: prefix, names: names{run: prefix}, models: catalogue()[:3], payers: newPayers(w, 5, 1), workload: w, holdBy: holdBy}
}

func testTurn(w Workload, holdBy string) *turn {
	return testRenderer(w, holdBy).render(w.kindOf(0), rand.New(rand.NewPCG(1, 1)))
}

// Every stamped request is a well-formed HTTP request whose body is JSON with
// ids that never occurred before, and nothing but the ids changes.
func TestStampedEvents(t *testing.T) {
	seen := map[string]bool{}
	for _, batch := range []int{1, 3, 1000} {
		turn := testTurn(Workload{Batch: batch}, "")
		for _, block := range []uint64{1, 31, 32, 1<<40 - 1} {
			turn.stamp(block + uint64(batch)<<20)
			_, events := parseRequest[wireEvent](t, turn.requests[0].bytes, batch)
			for i, e := range events {
				fresh(t, seen, e.ID)
				e.expect(t, turn.draws[i])
			}
			turn.sent++
		}
	}
}

// A turn of holds captures exactly what it held, with the same payers, which are
// others each time: those that the sums at the end are made of.
func TestStampedHolds(t *testing.T) {
	for _, batch := range []int{1, 3, 1000} {
		for _, by := range []string{HoldByEstimate, HoldByAmount} {
			seen, payers := map[string]bool{}, map[string]bool{}
			render := testRenderer(Workload{Batch: batch, Holds: true}, by)
			turn := render.render(holds, rand.New(rand.NewPCG(1, 1)))
			for block := range uint64(5) {
				turn.stamp(block)
				path, holds := parseRequest[wireHold](t, turn.requests[0].bytes, batch)
				if path != "/v1/holds" {
					t.Fatal(path)
				}
				path, captures := parseRequest[wireCapture](t, turn.requests[1].bytes, batch)
				for i, h := range holds {
					fresh(t, seen, h.ID)
					d, c := turn.draws[i], captures[i]
					if want := render.names.payer(render.payers.of(turn, i, turn.sent)); h.Account != want || c.Event.Subject != want {
						t.Fatalf("held of %s, captured of %s, want %s", h.Account, c.Event.Subject, want)
					}
					payers[h.Account] = true
					if batch == 1 && path != "/v1/holds/"+h.ID+"/capture" || batch > 1 && (path != "/v1/captures" || c.Hold != h.ID) {
						t.Fatalf("held %s, captured %s at %s", h.ID, c.Hold, path)
					}
					h.expect(t, d, by)
					if c.Event.ID != h.ID {
						t.Fatalf("the event of %s is %s", h.ID, c.Event.ID)
					}
					c.Event.expect(t, d)
				}
				turn.sent++
			}
			if len(payers) != 5 {
				t.Errorf("%d payers of 5", len(payers))
			}
		}
	}
}

// fresh is for ids that must never come twice.
func fresh(t *testing.T, seen map[string]bool, id string) {
	t.Helper()
	if len(id) != idLen || seen[id] {
		t.Fatalf("id %q is not new or not %d long", id, idLen)
	}
	seen[id] = true
}

type wireUsage struct {
	Model string
	Usage map[string]uint64
}

type wireEvent struct {
	ID, Subject string
	Data        wireUsage
}

func (e *wireEvent) expect(t *testing.T, d draw) {
	t.Helper()
	want := map[string]uint64{"input": d.input, "cached_input": d.cached, "output": d.output}
	if e.Subject == "" || fmt.Sprint(e.Data.Usage) != fmt.Sprint(want) {
		t.Fatalf("event %+v does not use %v", e, want)
	}
}

type wireHold struct {
	ID, Account string
	Amount      *client.Money
	Estimate    *struct {
		Type string
		Data wireUsage
	}
}

// expect checks that a hold reserves enough, the way it should.
func (h *wireHold) expect(t *testing.T, d draw, by string) {
	t.Helper()
	models := catalogue()
	switch {
	case (h.Amount != nil) != (by == HoldByAmount) || (h.Estimate != nil) != (by == HoldByEstimate):
		t.Fatalf("%+v is not by %s", h, by)
	case h.Amount != nil:
		if !h.Amount.Equal(billionths(d.estimate().cost(models))) || h.Amount.LessThan(billionths(d.cost(models))) {
			t.Fatalf("%s is held for %+v", h.Amount, d)
		}
	case h.Estimate.Data.Model != models[d.model].name || h.Estimate.Data.Usage["output"] < d.output || h.Estimate.Data.Usage["input"] != d.input+d.cached:
		t.Fatalf("%+v is held for %+v", h.Estimate, d)
	}
}

type wireCapture struct {
	Hold  string
	Event wireEvent
}

// parseRequest returns the path and the elements of a request.
func parseRequest[T any](t *testing.T, raw []byte, size int) (path string, elements []T) {
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
	if err := json.Unmarshal(body, &elements); err != nil || len(elements) != size {
		t.Fatalf("%d elements, %v in %s", len(elements), err, body)
	}
	return req.URL.Path, elements
}

// The costs are exact, and the digits of a name are those that a request writes.
func TestDraws(t *testing.T) {
	d := draw{model: 7, input: 2000, cached: 3, output: 800}
	if got := billionths(d.cost(catalogue())).String(); got != "0.001812177" {
		t.Error(got)
	}
	for _, i := range []int{0, 31, 32, 99_999, accountsMax - 1} {
		var digits [accountLen]byte
		binary.LittleEndian.PutUint32(digits[:], accountWord(i))
		if string(digits[:]) != accountDigits(i) {
			t.Errorf("%d: %s, %s", i, digits, accountDigits(i))
		}
	}
}

func TestOutcome(t *testing.T) {
	f := func(counter string, a answer, fresh, again int) {
		t.Helper()
		gotFresh, gotAgain := (&request{counter: counter}).outcome(a)
		if gotFresh != fresh || gotAgain != again {
			t.Errorf("%s of %d %s: %d, %d", counter, a.status, a.body, gotFresh, gotAgain)
		}
	}
	f(`"held":`, answer{200, []byte(`{"held":12,"duplicates":3,"refused":[]}`)}, 12, 3)
	f(`"captured":`, answer{200, []byte(`{"captured": 1 ,"duplicates": 0}`)}, 1, 0)
	f(`"captured":`, answer{200, []byte(`{"held":1,"duplicates":0}`)}, -1, 0)
	f(`"held":`, answer{201, []byte(`{"held":1,"duplicates":0}`)}, -1, -1)
	f("", answer{201, []byte(`{"id":"h","state":"held"}`)}, 1, 0)
	f("", answer{200, []byte(`{"id":"h","state":"held"}`)}, 0, 1)
	f("", answer{402, []byte(`{"code":"insufficient_funds"}`)}, -1, -1)
}

func TestTree(t *testing.T) {
	chain := newTree(names{"r"}, 1234, true)
	if got := fmt.Sprint(chain.count(0), chain.count(1), chain.count(2), chain.count(3), chain.nodes()); got != "2 13 124 1234 1373" {
		t.Error(got)
	}
	path := ""
	for level, number := chain.at(1372); level > 0; level, number = level-1, number/chainFan {
		path += chain.parent(level, number) + " "
	}
	if path != "bench-r-n2003V bench-r-n1000C bench-r-n00001 " || chain.parent(0, 1) != "" {
		t.Error(path)
	}
	leaves := make([]uint64, 1234)
	leaves[0], leaves[999], leaves[1000], leaves[1233] = 1, 2, 4, 8
	if sums := chain.sums(leaves); fmt.Sprint(sums[0], sums[1][0], sums[1][9], sums[1][12], sums[2][123]) != "[3 12] 1 2 8 8" {
		t.Error(sums[0], sums[1])
	}
	flat := newTree(names{"r"}, 3, false)
	if level, number := flat.at(2); flat.nodes() != 3 || level != 0 || number != 2 || flat.name(0, 2) != "bench-r-c0002" {
		t.Error(flat.nodes(), level, number)
	}
	if one := newTree(names{"r"}, 1, true); one.nodes() != chainDepth {
		t.Error(one.nodes())
	}
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
			if err == nil && (a.status != want.status || string(a.body) != string(want.body) || k != keep) {
				t.Errorf("%q: got %+v keep %v", raw, a, k)
			}
		}
	}
	f("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 30\r\n\r\n{\"accepted\":12,\"duplicates\":3}", answer{200, []byte(`{"accepted":12,"duplicates":3}`)}, true, nil)
	f("HTTP/1.1 200 OK\r\ncontent-length:33\r\nconnection: Close\r\n\r\n{\"duplicates\": 0, \"accepted\": 1 }", answer{200, []byte(`{"duplicates": 0, "accepted": 1 }`)}, false, nil)
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
	for _, holds := range []bool{false, true} {
		turn := testTurn(Workload{Batch: 1000, Holds: holds}, HoldByEstimate)
		c, latency := newConn(nil), newHistogram()
		const body = `{"accepted":1000,"held":1000,"captured":1000,"duplicates":0}`
		raw := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		reader := strings.NewReader(raw)
		block := uint64(0)
		allocs := testing.AllocsPerRun(100, func() {
			block++
			turn.stamp(block)
			for _, req := range turn.requests {
				reader.Reset(raw)
				a, _, err := c.readAnswer(reader)
				if fresh, again := req.outcome(a); err != nil || fresh != 1000 || again != 0 {
					t.Fatal(fresh, again, err)
				}
				_ = latency.RecordValue(1234567)
			}
			turn.sent++
		})
		if allocs != 0 {
			t.Errorf("%v allocations a turn, holds %v", allocs, holds)
		}
	}
}

func BenchmarkStampBatch(b *testing.B) {
	for _, w := range Workloads() {
		b.Run(w.Name, func(b *testing.B) {
			turn := testTurn(w, HoldByEstimate)
			for i := 0; b.Loop(); i++ {
				turn.stamp(uint64(i))
				turn.sent++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(w.Batch), "ns/event")
		})
	}
}
