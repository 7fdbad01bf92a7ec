package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"farthing/journal"
)

// check opens what power left and holds it against what was promised, and against the twin that
// applies its journal.
func (r *pointRig) check(c *crashed) error {
	o := r.x.options(c.disk)
	o.Clock, o.Now = func() time.Time { return time.Unix(0, c.now) }, func() int64 { return c.now }
	there, err := journal.Exists(o.Journal)
	if err != nil {
		return err
	}
	head := journal.Head{}
	if there {
		store, err := journal.OpenReadOnly(o.Journal)
		if err != nil {
			return err
		}
		head = store.Head()
		if err := store.Close(); err != nil {
			return err
		}
	} else {
		r.redone.Add(1)
	}
	if head.Seq < c.was.answers.seq {
		return fmt.Errorf("the journal ends at %d, answers said %d", head.Seq, c.was.answers.seq)
	}
	e, err := Open(o)
	if err != nil {
		return err
	}
	err = r.checkOpen(e, c, head)
	if err := errors.Join(err, e.Close()); err != nil {
		return err
	}
	_, err = Verify(VerifyOptions{Journal: o.Journal})
	return err
}

func (r *pointRig) checkOpen(e *Engine, c *crashed, head journal.Head) error {
	e.repriced()
	if err := equalsReplay(e); err != nil {
		return err
	}
	at := openedAt{point: c.point, seq: head.Seq, hash: head.Hash, windows: map[uint64]string{}}
	for _, w := range e.published.Load().windows {
		if w.cut <= head.Seq && w.sealed > head.Seq {
			r.resumed.Add(1)
		}
		if w.cut <= head.Seq {
			at.windows[w.number] = windowBytes(r.x.w.t, e, w)
		}
	}
	r.mu.Lock()
	r.opened = append(r.opened, at)
	r.mu.Unlock()
	if err := r.checkBesides(e, c); err != nil {
		return err
	}
	return r.checkRetries(e, c)
}

// checkBesides: what was written beside the journal is there, and nothing that was not asked for.
func (r *pointRig) checkBesides(e *Engine, c *crashed) error {
	r.x.a.mu.Lock()
	tried := r.x.tried
	r.x.a.mu.Unlock()
	for i, p := range []progress{e.settlementProgress(), e.noticeProgress()} {
		at, err := p.Position()
		if err != nil {
			return err
		}
		if at.Confirmed < c.was.confirmed[i] || at.Confirmed > tried.confirmed[i] {
			return fmt.Errorf("stream %d is published to %d, promised were %d, tried %d", i, at.Confirmed, c.was.confirmed[i], tried.confirmed[i])
		}
	}
	records, err := e.Outbox().Records(1, 1<<30)
	if err != nil {
		return err
	}
	for seq, text := range c.was.answers.stream {
		if seq > uint64(len(records)) || recordText(&records[seq-1]) != text {
			return fmt.Errorf("record %d of %d was handed out as\n%s", seq, len(records), text)
		}
	}
	hook := uint64(0)
	if err := e.Webhooks().Load(func(id string, registry, _ []byte) error {
		if id == worldHook {
			hook = binary.BigEndian.Uint64(registry)
		}
		return nil
	}); err != nil {
		return err
	}
	if hook < c.was.hook || hook > tried.hook {
		return fmt.Errorf("the webhook is at %d, promised was %d, tried %d", hook, c.was.hook, tried.hook)
	}
	return nil
}

// retriesPerCrash bounds what of each kind is asked again after a crash.
const retriesPerCrash = 25

// checkRetries asks again for some of what was answered: nothing may happen.
func (r *pointRig) checkRetries(e *Engine, c *crashed) error {
	rng := rand.New(rand.NewPCG(c.seed, 2))
	before := e.store.Head().Seq
	moves, err := r.retrySteps(e, c, rng)
	if err := errors.Join(r.retryEvents(e, c, rng), r.retryBookings(e, c), err); err != nil {
		return err
	}
	if after := e.store.Head().Seq; after != before && !moves {
		return fmt.Errorf("retries moved the journal from %d to %d", before, after)
	}
	return nil
}

func (r *pointRig) retryEvents(e *Engine, c *crashed, rng *rand.Rand) error {
	var calls []call
	r.x.a.mu.Lock()
	skip := rng.IntN(1 + max(len(c.was.answers.events)-retriesPerCrash, 0))
	for identity := range c.was.answers.events {
		if skip--; skip < 0 && len(calls) < retriesPerCrash {
			calls = append(calls, r.x.a.w.calls[identity])
		}
	}
	r.x.a.mu.Unlock()
	if len(calls) == 0 {
		return nil
	}
	q := e.Acquire(200 * len(calls))
	defer e.Release(q)
	fill(r.x.w.t, q.Batch(), calls)
	out, no := e.Ingest(q)
	if no != nil {
		return no
	}
	if out.Duplicates != len(calls) {
		return fmt.Errorf("of %d events that were answered %d are duplicates now", len(calls), out.Duplicates)
	}
	return nil
}

// retryBookings asks for top-ups, results and closes again.
func (r *pointRig) retryBookings(e *Engine, c *crashed) error {
	n := 0
	for id := range c.was.answers.topUps {
		if n++; n > retriesPerCrash {
			break
		}
		r.x.a.mu.Lock()
		u := r.x.a.w.topUps[id]
		r.x.a.mu.Unlock()
		if _, created, no := e.TopUp(u); created || no != nil {
			return fmt.Errorf("top-up %s again: created %v, %s", id, created, fmt.Sprint(no))
		}
	}
	for id, answer := range c.was.answers.results {
		if n++; n > 2*retriesPerCrash {
			break
		}
		r.x.a.mu.Lock()
		x := r.x.a.w.results[id]
		r.x.a.mu.Unlock()
		got, created, no := e.Result(x.LineResult)
		if created || no != nil || fmt.Sprint(got.Amount.Decimal(), got.Sequence, got.Time.UnixNano()) != answer {
			return fmt.Errorf("result %s was answered %s, again %+v (created %v, %s)", id, answer, got, created, fmt.Sprint(no))
		}
	}
	for id, first := range c.was.answers.closes {
		again, created, no := e.CloseWindow(id, nil)
		if created || no != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", first) {
			return fmt.Errorf("close %s answered %+v, now %+v (created %v, %s)", id, first, again, created, fmt.Sprint(no))
		}
	}
	return nil
}

// retrySteps does the last steps of prepaid credit again, and some of the older ones.
func (r *pointRig) retrySteps(e *Engine, c *crashed, rng *rand.Rand) (moves bool, err error) {
	steps := c.was.steps
	for n := range min(len(steps), retriesPerCrash) {
		s := steps[len(steps)-1-n]
		if n > retriesPerCrash/2 {
			s = steps[rng.IntN(len(steps))]
		}
		replies := s.step.engine(&creditRig{t: r.x.w.t, e: e, names: r.x.names(e)})
		for i, booked := range s.replies {
			if booked && (replies[i].created || replies[i].no != nil) {
				return false, fmt.Errorf("%s, answer %d, was booked, and again: %s", s.step.text, i, replies[i].text())
			}
			if !booked && replies[i].created && replies[i].no == nil {
				return true, nil // it was refused before, and can be booked now: what follows meets another state
			}
		}
	}
	return false, nil
}

func windowTexts(x *everything, e *Engine) map[uint64]string {
	out := map[uint64]string{}
	for _, w := range e.published.Load().windows {
		out[w.number] = windowBytes(x.w.t, e, w)
	}
	return out
}

// compareWithSurvivor checks every crashed disk's history against that of the machine that lived on: it has to
// be its beginning, up to the end of a group, so nothing is in it that was not submitted, nothing half, nothing else. Windows
// whose cut it has came out the same, also where a start had to finish them.
func (r *pointRig) compareWithSurvivor(windows map[uint64]string) error {
	store, err := journal.OpenReadOnly(r.x.options(r.fs.mem).Journal)
	if err != nil {
		return err
	}
	defer store.Close()
	return r.compareWithHistory(onDisk{store}, windows)
}

func (r *pointRig) compareWithHistory(store storage, windows map[uint64]string) error {
	ends := map[uint64]journal.Hash{}
	if err := store.Blocks(1, func(b *journal.Block) error {
		if b.Final {
			ends[b.Last] = b.Hash
		}
		return nil
	}); err != nil {
		return err
	}
	for _, at := range r.opened {
		if at.seq == 0 {
			continue
		}
		if hash, ok := ends[at.seq]; !ok || hash != at.hash {
			r.lost = append(r.lost, loss{at.point, fmt.Errorf("the history ends at %d, where no group of the machine that lived on ended like that", at.seq)})
		}
		for number, text := range at.windows {
			if text != windows[number] {
				r.lost = append(r.lost, loss{at.point, fmt.Errorf("window %d came out as\n%s\non the machine that lived on it was\n%s", number, text, windows[number])})
			}
		}
	}
	return nil
}
