package bench

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"farthing/compact"
	"farthing/meter"
	"farthing/money"
)

// request is one pre-rendered HTTP request: head and body in one buffer, so
// that it leaves in one write. Its connection's goroutine owns it.
type request struct {
	bytes  []byte
	blocks []int // where the block digits of ids stand
	// payers is where the digits of each element's payer stand; empty: they stay
	// as they are.
	payers []int
	size   int // elements
	// counter is what counts the new elements in the answer; "": there is one
	// element, and the status says it.
	counter string
	reads   bool // a balance: no element
}

// outcome reads how many elements are new to the server and how many it has
// booked before; −1: the answer does not say.
func (r *request) outcome(a answer) (fresh, again int) {
	switch {
	case r.reads && a.status == 200:
		return 0, 0
	case r.counter == "" && a.status == 201:
		return 1, 0
	case r.counter == "" && a.status == 200:
		return 0, 1
	case a.status == 200:
		return number(a.body, r.counter), number(a.body, `"duplicates":`)
	}
	return -1, -1
}

// turn is what a worker does before it counts its events: it sends one request
// of events, or one of holds and, when that is answered, one that captures
// them, or reads a balance. Its worker's goroutine owns it.
type turn struct {
	requests []*request
	draws    []draw // what the events use, in order
	payers   *payers
	start    uint64 // where it begins in the table of payers
	sent     uint64 // times that all was answered with success
}

// stamp makes all ids new, and gives the elements their next payers.
func (t *turn) stamp(block uint64) {
	word := blockWord(block)
	for _, r := range t.requests {
		for _, at := range r.blocks {
			binary.LittleEndian.PutUint64(r.bytes[at:at+idBlockLen], word)
		}
	}
	if !t.payers.change() {
		return
	}
	for i := range t.draws {
		digits := accountWord(t.payers.of(t, i, t.sent))
		for _, r := range t.requests {
			at := r.payers[i]
			binary.LittleEndian.PutUint32(r.bytes[at:at+accountLen], digits)
		}
	}
}

// renderer renders the requests of a run.
type renderer struct {
	host, key string
	prefix    string // of the run's ids
	names     names
	models    []model
	payers    *payers
	workload  Workload
	holdBy    string
}

// turns draws and renders what a connection sends, one after the other.
func (r *renderer) turns(rng *rand.Rand) []*turn {
	all := make([]*turn, r.workload.Variants)
	for i := range all {
		all[i] = r.render(r.workload.kindOf(i), rng)
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// render draws one turn's events and writes its requests.
func (r *renderer) render(kind turnKind, rng *rand.Rand) *turn {
	t := &turn{payers: r.payers, start: rng.Uint64N(tableLen)}
	if kind == reads {
		t.requests = []*request{r.read(rng.IntN(r.payers.accounts))}
		return t
	}
	t.draws = make([]draw, r.workload.Batch)
	for i := range t.draws {
		t.draws[i] = r.draw(rng)
	}
	if kind == holds {
		t.requests = []*request{r.holds(t.draws), r.captures(t.draws)}
	} else {
		t.requests = []*request{r.events(t.draws)}
	}
	return t
}

// draw picks a payer, a model and token counts: those of the trace, or in the range that traces
// show: a long prompt, part of it cached, a shorter answer.
func (r *renderer) draw(rng *rand.Rand) draw {
	d := draw{payer: rng.IntN(r.payers.accounts), model: rng.IntN(len(r.models)),
		input: 1 + rng.Uint64N(2000), cached: rng.Uint64N(2) * rng.Uint64N(2000), output: 1 + rng.Uint64N(800)}
	if r.workload.Trace {
		d.input, d.cached, d.output = traceTokens(rng)
	}
	return d
}

// SampleBody is the body of a request with so many events, as the workloads send them.
func SampleBody(events int, seed uint64) []byte {
	w := Workload{Batch: events}
	r := &renderer{prefix: runPrefix(time.Now()), names: names{run: "sample"}, models: catalogue(), payers: newPayers(w, 1000, seed), workload: w}
	rng := rand.New(rand.NewPCG(seed, 1))
	var body draft
	draws := make([]draw, events)
	for i := range draws {
		draws[i] = r.draw(rng)
	}
	body.list(draws, r.event)
	return body.bytes
}

// draft is a request under construction, with the places that change.
type draft struct {
	bytes          []byte
	blocks, payers []int
}

func (t *draft) add(format string, args ...any) { t.bytes = fmt.Appendf(t.bytes, format, args...) }

// id writes the id of an element, and notes where its block stands.
func (t *draft) id(prefix string, index int) {
	t.bytes = append(t.bytes, prefix...)
	t.blocks = append(t.blocks, len(t.bytes))
	var digits [idBlockLen + idIndexLen]byte
	base32(digits[:idBlockLen], 0)
	base32(digits[idBlockLen:], uint64(index))
	t.bytes = append(t.bytes, digits[:]...)
}

// payer writes a payer's name, and notes where its digits stand.
func (t *draft) payer(name string) {
	t.bytes = append(t.bytes, name...)
	t.payers = append(t.payers, len(t.bytes)-accountLen)
}

// list writes elements as an array, a single one as an object.
func (t *draft) list(draws []draw, element func(t *draft, index int, d draw)) {
	for i, d := range draws {
		switch {
		case len(draws) == 1:
		case i == 0:
			t.add("[")
		default:
			t.add(",")
		}
		element(t, i, d)
	}
	if len(draws) > 1 {
		t.add("]")
	}
}

// event writes event number index of a request.
func (r *renderer) event(t *draft, index int, d draw) {
	t.add(`{"id":"`)
	t.id(r.prefix, index)
	t.add(`","source":"gateway-%d","type":"llm.tokens","subject":"`, d.payer%4)
	t.payer(r.names.payer(d.payer))
	t.add(`","data":{"model":"%s","usage":{"input":%d,"cached_input":%d,"output":%d}}}`, r.models[d.model].name, d.input, d.cached, d.output)
}

// events is a request of usage events.
func (r *renderer) events(draws []draw) *request {
	path := draft{bytes: []byte("/v1/events")}
	if r.workload.Compact {
		return r.post(path, r.compact(draws), compact.MediaType, len(draws), `"accepted":`)
	}
	var body draft
	body.list(draws, r.event)
	return r.post(path, body, jsonType, len(draws), `"accepted":`)
}

const jsonType = "application/json"

// compact is the same events in the compact form.
func (r *renderer) compact(draws []draw) draft {
	var batch compact.Batch
	ids := make([]draft, len(draws))
	for i, d := range draws {
		id := &ids[i]
		id.id(r.prefix, i)
		whole := func(n uint64) money.Quantity {
			q, _ := money.WholeQuantity(n) // of tokens: far below the largest
			return q
		}
		e := compact.Event{Source: fmt.Sprint("gateway-", d.payer%4), ID: string(id.bytes), Subject: r.names.payer(d.payer), Type: "llm.tokens",
			Usage:      []compact.Component{{Name: "input", Quantity: whole(d.input)}, {Name: "cached_input", Quantity: whole(d.cached)}, {Name: "output", Quantity: whole(d.output)}},
			Dimensions: []meter.Dimension{{Key: "model", Value: r.models[d.model].name}}}
		if err := batch.Add(&e); err != nil {
			panic("BUG: an event of a workload does not encode: " + err.Error())
		}
	}
	body := draft{bytes: batch.Append(nil)}
	at := 0
	for i := range ids { // where the digits stand: payers right before ids, with a byte between that says how long the id is
		at += bytes.Index(body.bytes[at:], ids[i].bytes)
		body.payers = append(body.payers, at-1-accountLen)
		body.blocks = append(body.blocks, at+ids[i].blocks[0])
	}
	return body
}

// read is a request for a payer's balance.
func (r *renderer) read(payer int) *request {
	return &request{reads: true, bytes: []byte("GET " + accountPath(r.names.payer(payer)) + " HTTP/1.1\r\nHost: " + r.host + "\r\n" + r.auth() + "\r\n")}
}

func (r *renderer) auth() string {
	if r.key == "" {
		return ""
	}
	return "Authorization: Bearer " + r.key + "\r\n"
}

// post joins path and body into a request.
func (r *renderer) post(path, body draft, mediaType string, size int, counter string) *request {
	const method = "POST "
	head := append([]byte(method), path.bytes...)
	head = append(head, " HTTP/1.1\r\nHost: "+r.host+"\r\n"+r.auth()+
		"Content-Type: "+mediaType+"\r\nContent-Length: "+strconv.Itoa(len(body.bytes))+"\r\n\r\n"...)
	req := &request{bytes: append(head, body.bytes...), size: size, counter: counter}
	for _, at := range path.blocks {
		req.blocks = append(req.blocks, len(method)+at)
	}
	for _, at := range body.blocks {
		req.blocks = append(req.blocks, len(head)+at)
	}
	for _, at := range body.payers {
		req.payers = append(req.payers, len(head)+at)
	}
	return req
}
