package bench

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
)

// request is one pre-rendered HTTP request: head and body in one buffer, so
// that it leaves in one write. Its connection's goroutine owns it.
type request struct {
	bytes  []byte
	blocks []int  // where each event's block digits stand
	draws  []draw // what its events use, in order
	sent   uint64 // times it was answered with success
}

// stamp makes the ids of all its events new.
func (r *request) stamp(block uint64) {
	word := blockWord(block)
	for _, at := range r.blocks {
		binary.LittleEndian.PutUint64(r.bytes[at:at+idBlockLen], word)
	}
}

// renderer renders the requests of a run.
type renderer struct {
	host, key string
	prefix    string // of the run's ids
	names     names
	models    []model
	accounts  int
	batch     int
}

// render draws one request's events and writes them out. A request of one
// event is an object, of more an array.
func (r *renderer) render(rng *rand.Rand) *request {
	req := &request{draws: make([]draw, r.batch), blocks: make([]int, r.batch)}
	var body []byte
	if r.batch > 1 {
		body = append(body, '[')
	}
	for i := range req.draws {
		if i > 0 {
			body = append(body, ',')
		}
		req.draws[i] = r.draw(rng)
		body, req.blocks[i] = r.appendEvent(body, i, req.draws[i])
	}
	if r.batch > 1 {
		body = append(body, ']')
	}
	head := r.head(len(body))
	req.bytes = append([]byte(head), body...)
	for i := range req.blocks {
		req.blocks[i] += len(head)
	}
	return req
}

func (r *renderer) head(bodyLen int) string {
	auth := ""
	if r.key != "" {
		auth = "Authorization: Bearer " + r.key + "\r\n"
	}
	return "POST /v1/events HTTP/1.1\r\nHost: " + r.host + "\r\n" + auth +
		"Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(bodyLen) + "\r\n\r\n"
}

// draw picks a payer, a model and token counts in the range that real traces
// show: a long prompt, part of it cached, a shorter answer.
func (r *renderer) draw(rng *rand.Rand) draw {
	return draw{
		payer: rng.IntN(r.accounts), model: rng.IntN(len(r.models)),
		input: 1 + rng.Uint64N(2000), cached: rng.Uint64N(2) * rng.Uint64N(2000), output: 1 + rng.Uint64N(800),
	}
}

// appendEvent writes event number index of a request and returns where its
// block digits stand in dst.
func (r *renderer) appendEvent(dst []byte, index int, d draw) ([]byte, int) {
	dst = append(dst, `{"id":"`...)
	dst = append(dst, r.prefix...)
	block := len(dst)
	var digits [idBlockLen + idIndexLen]byte
	base32(digits[idBlockLen:], uint64(index))
	base32(digits[:idBlockLen], 0)
	dst = append(dst, digits[:]...)
	dst = fmt.Appendf(dst, `","source":"gateway-%d","type":"llm.tokens","subject":"%s","data":{"model":"%s","usage":{"input":%d,"cached_input":%d,"output":%d}}}`,
		d.payer%4, r.names.payer(d.payer), r.models[d.model].name, d.input, d.cached, d.output)
	return dst, block
}
