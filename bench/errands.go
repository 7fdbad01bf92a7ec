package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"farthing/bench/client"
)

// preparing is the number of requests in flight while accounts are opened and
// read: enough for group commit, as many as a fleet of gateways would have. Each is answered when it is durable, so where there are
// very many, more of them share a commit.
const (
	preparing    = 64
	preparingMax = 384
)

// errand is one small request of the preparation or of the check.
type errand struct {
	method, path string
	body         []byte // JSON; nil: none
}

// pipelined is how many errands are sent at once on a connection: with one at a time, two million for a million accounts are
// nothing but system calls.
const pipelined = 16

// errands sends n requests, several at a time, and hands the body of each
// answer to read (nil: dropped), from several goroutines at once. It returns
// the first error. It uses the workers' connections and not the client's: at
// 100,000 accounts net/http would take the better part of a minute.
func (r *run) errands(ctx context.Context, n int, ask func(i int) errand, read func(i int, body []byte) error) error {
	lanes := min(max(preparing, n/2000), preparingMax, n)
	step := min(max(n/preparing, 1), pipelined)
	var next atomic.Int64
	var failed atomic.Bool
	errs := make(chan error, lanes)
	var wg sync.WaitGroup
	for range lanes {
		wg.Go(func() {
			c := newConn(dialer(ctx, r.host()))
			defer c.drop()
			defer context.AfterFunc(ctx, c.abort)()
			for from := int(next.Add(int64(step))) - step; from < n && !failed.Load(); from = int(next.Add(int64(step))) - step {
				if err := r.pipeline(ctx, c, from, min(from+step, n), ask, read); err != nil {
					failed.Store(true)
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs // nil when there is none
}

// pipeline sends the errands from one number to another at once, and each again that was not answered with success.
func (r *run) pipeline(ctx context.Context, c *conn, from, to int, ask func(i int) errand, read func(i int, body []byte) error) error {
	if read == nil {
		read = func(int, []byte) error { return nil }
	}
	var again []int
	if to-from == 1 {
		again = append(again, from)
	} else {
		var raw []byte
		for i := from; i < to; i++ {
			raw = r.appendErrand(raw, ask(i))
		}
		answered, err := from, error(nil)
		broken := c.pipe(raw, to-from, func(a answer) {
			if a.status/100 != 2 {
				again = append(again, answered)
			} else if err == nil {
				err = read(answered, a.body)
			}
			answered++
		})
		if err != nil {
			return err
		}
		for ; broken != nil && answered < to; answered++ {
			again = append(again, answered)
		}
	}
	for _, i := range again {
		body, err := r.errand(ctx, c, ask(i))
		if err == nil {
			err = read(i, body)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *run) appendErrand(raw []byte, e errand) []byte {
	auth := ""
	if r.opts.Key != "" {
		auth = "Authorization: Bearer " + r.opts.Key + "\r\n"
	}
	raw = fmt.Appendf(raw, "%s %s HTTP/1.1\r\nHost: %s\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		e.method, e.path, r.host(), auth, len(e.body))
	return append(raw, e.body...)
}

// errand sends one request until it is answered for good.
func (r *run) errand(ctx context.Context, c *conn, e errand) ([]byte, error) {
	raw := r.appendErrand(nil, e)
	for {
		a, err := c.roundTrip(raw)
		if err == nil && a.status/100 == 2 {
			return a.body, nil
		}
		if err == nil {
			err = problemOf(e, a)
		}
		if ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), err)
		}
		if errors.Is(err, ErrProtocol) || !client.Temporary(err) {
			return nil, err
		}
		time.Sleep(backoff)
	}
}

// problemOf is an answer outside 2xx.
func problemOf(e errand, a answer) error {
	p := &client.Problem{Status: a.status, Request: e.method + " " + e.path}
	if json.Unmarshal(a.body, p) != nil {
		p.Detail = fmt.Sprintf("%.200s", a.body)
	}
	return p
}

// post is an errand with a body; what it says is ours, so that it can be
// marshalled.
func post(method, path string, body any) errand {
	raw, err := json.Marshal(body)
	if err != nil {
		panic("BUG: bench: " + err.Error())
	}
	return errand{method, path, raw}
}

// readInto decodes an answer.
func readInto(e errand, body []byte, out any) error {
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%w: %s %s: %w", ErrProtocol, e.method, e.path, err)
	}
	return nil
}

func accountPath(id string) string { return "/v1/accounts/" + url.PathEscape(id) }
