package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"farthing/bench/client"
)

const (
	// demoParcelEvents is the number of fresh events in a request of the demo.
	demoParcelEvents = 200
	// demoSource is who reports all of them.
	demoSource = "demo-gateway"
)

// demoTally counts what became of events.
type demoTally struct {
	accepted, duplicates, rejected, unpriced int
}

func (t *demoTally) add(o demoTally) {
	t.accepted += o.accepted
	t.duplicates += o.duplicates
	t.rejected += o.rejected
	t.unpriced += o.unpriced
}

// demoParcel is one request with what it must come to.
type demoParcel struct {
	contentType string
	body        []byte
	want        demoTally
}

// demoSender generates and posts traffic. One goroutine owns it until it has
// ended; sent alone is read meanwhile.
type demoSender struct {
	world  *demoWorld
	client *client.Client
	rng    *rand.Rand
	name   string // begins its ids
	ids    int
	last   []*demoEvent // of the parcel before, for duplicates

	// sent counts fresh events acknowledged, all senders together.
	sent *atomic.Int64

	tally   demoTally // what must have become of what was sent
	retries int
	counts  demoCounts        // of all that must have a price in the end
	events  map[string]uint64 // account → such events it pays for
	// samples are the first events sent of each kind, to be looked at one by one.
	samples map[demoKind]*demoEvent
}

func newDemoSender(w *demoWorld, c *client.Client, seed uint64, n int, sent *atomic.Int64) *demoSender {
	return &demoSender{
		world: w, client: c, rng: rand.New(rand.NewPCG(seed, uint64(n))), name: fmt.Sprintf("d%d", n), sent: sent,
		counts: newDemoCounts(), events: map[string]uint64{}, samples: map[demoKind]*demoEvent{},
	}
}

// run posts parcels until stop says so, and waits for every answer: a lost one
// is asked for again, through the restart in the middle.
func (s *demoSender) run(ctx context.Context, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		parcel, err := s.parcel()
		if err != nil {
			return err
		}
		if err := s.post(ctx, parcel); err != nil {
			return err
		}
	}
}

// post delivers one parcel and compares the answer. After a retry what was
// fresh may be a duplicate: the lost answer may have booked it.
func (s *demoSender) post(ctx context.Context, p demoParcel) error {
	var got client.Accepted
	tries := 0
	err := client.Retry(ctx, 20*time.Millisecond, func(ctx context.Context) (err error) {
		tries++
		got, err = s.client.PostRaw(ctx, p.contentType, p.body)
		return err
	})
	if err != nil {
		return err
	}
	have := demoTally{got.Accepted, got.Duplicates, len(got.Rejected), got.Unpriced}
	same := have == p.want
	if tries > 1 {
		s.retries += tries - 1
		same = have.accepted+have.duplicates == p.want.accepted+p.want.duplicates && have.rejected == p.want.rejected
	}
	if !same {
		return fmt.Errorf("a request came to %+v, want %+v; rejected: %+v", have, p.want, got.Rejected)
	}
	s.tally.add(p.want)
	s.sent.Add(int64(p.want.accepted))
	return nil
}

// parcel makes fresh events, repeats some of the parcel before, and mixes in
// what must be refused. It books all that into the sender's expectations,
// which hold because post does not return before the parcel is delivered.
func (s *demoSender) parcel() (demoParcel, error) {
	p := demoParcel{contentType: "application/json", want: demoTally{accepted: demoParcelEvents}}
	docs := make([]any, 0, demoParcelEvents+8)
	fresh := make([]*demoEvent, demoParcelEvents)
	for i := range fresh {
		e := s.event()
		fresh[i], docs = e, append(docs, e.Event)
		s.expect(e)
		if e.Model == s.world.newcomer.name {
			p.want.unpriced++
		}
	}
	for range min(s.rng.IntN(6), len(s.last)) {
		docs = append(docs, s.last[s.rng.IntN(len(s.last))].Event)
		p.want.duplicates++
	}
	s.last = fresh
	bad := s.badEvents()
	docs = append(docs, bad...)
	p.want.rejected = len(bad)
	var err error
	if s.rng.IntN(2) == 0 {
		p.body, err = json.Marshal(docs)
		return p, err
	}
	p.contentType = "application/x-ndjson"
	p.body, err = lines(docs)
	p.body = append(p.body, `{"id":"broken", no JSON`...)
	p.want.rejected++
	return p, err
}

func lines(docs []any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, d := range docs {
		if err := enc.Encode(d); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// event draws a fresh event: LLM tokens for most dollar customers, API calls
// for the rest, now and then a model that nobody has priced yet.
func (s *demoSender) event() *demoEvent {
	s.ids++
	payer := s.world.customers[s.rng.IntN(len(s.world.customers))]
	e := &demoEvent{Event: client.Event{
		ID: fmt.Sprintf("%s-%07d", s.name, s.ids), Source: demoSource, Subject: payer.ID,
		Time: time.Now().Add(-time.Duration(s.rng.IntN(30_000)) * time.Millisecond).Truncate(time.Millisecond),
	}}
	switch {
	case payer.Currency != "USD" || s.rng.IntN(4) == 0:
		e.Type = "api.calls"
	case s.rng.IntN(200) == 0:
		e.drawUsage(s.world.newcomer, s.rng)
	default:
		e.drawUsage(s.world.models[s.rng.IntN(len(s.world.models))], s.rng)
	}
	return e
}

// badEvents are refused one by one, each for another reason.
func (s *demoSender) badEvents() []any {
	e := s.event()
	switch s.rng.IntN(4) {
	case 0:
		e.Subject = "nobody"
	case 1:
		e.Time = time.Now().Add(time.Hour)
	case 2:
		e.Time = time.Now().AddDate(-1, 0, 0)
	case 3:
		return []any{map[string]any{
			"id": e.ID, "source": demoSource, "type": "llm.tokens", "subject": s.world.customers[0].ID,
			"data": map[string]any{"model": s.world.models[0].name, "usage": map[string]int{"input": -5}},
		}}
	}
	return []any{e.Event}
}

// expect counts a fresh event.
func (s *demoSender) expect(e *demoEvent) {
	s.counts.add(s.world, e)
	s.events[e.Subject]++
	if kind := kindOf(s.world, e); s.samples[kind] == nil {
		s.samples[kind] = e
	}
}
