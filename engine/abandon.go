package engine

import (
	"fmt"

	"farthing/meter"
)

// The abandoner captures holds that ran out with the usage that was reported last, where the
// account says so. Whether that usage was booked meanwhile is asked of the runs on disk, so it
// cannot be done on the sequencer: the sequencer hands what is due over, and the captures come
// back through the ring as any other.

// abandonStep is how many holds are taken over at once.
const abandonStep = 64

func (e *Engine) pokeAbandoned() {
	select {
	case e.abandonPoke <- struct{}{}:
	default:
	}
}

// abandonLoop is the abandoner's goroutine; it ends when it is told to stop, at the latest after
// the holds under way. What it leaves is due again after the next start.
func (e *Engine) abandonLoop() {
	defer close(e.abandonDone)
	for e.told(e.abandonPoke, e.abandonStop) {
		for {
			list := e.takeAbandoned()
			if len(list) == 0 {
				break
			}
			e.captureAbandoned(list)
			select {
			case <-e.abandonStop:
				return
			default:
			}
		}
	}
}

// abandonedHold is a hold that ran out, and where its last report stands.
type abandonedHold struct {
	id          [2]uint64
	seq, report uint64
}

// takeAbandoned takes over some of what is due.
func (e *Engine) takeAbandoned() (list []abandonedHold) {
	e.internal(func(s *sequencer) {
		for len(list) < abandonStep && len(s.abandoned) > 0 {
			h := s.abandoned[0]
			s.abandoned = s.abandoned[1:]
			if row := s.state.holds.rows.At(h.row); row.seq == h.seq && row.due == h.due && row.report != 0 {
				list = append(list, abandonedHold{row.id, row.seq, row.report})
			}
		}
	})
	return list
}

// captureAbandoned captures holds as they were reported, with one request: one by one each would
// wait for the disk. Those that cannot be booked like that only end.
func (e *Engine) captureAbandoned(list []abandonedHold) {
	r := &Request{done: make(chan struct{}, 1), abandoned: true}
	r.batch.Reset(e.seed)
	r.holds.reset(e.seed)
	for _, h := range list {
		p, err := e.readReport(h.report)
		if err != nil {
			e.fail(err)
		}
		event := len(r.batch.Events)
		if p.fill(&r.batch); len(r.batch.Events) > event {
			r.holds.Add(HoldOp{Kind: CaptureHold, Hold: r.holds.Intern(p.hold), Event: int32(event)}, &r.batch)
		}
	}
	if _, _, refused := e.bookHolds(r); refused != nil {
		return // the ledger is damaged
	}
	e.internal(func(s *sequencer) {
		var rows []uint32
		for _, h := range list {
			if n, ok := s.state.holds.find(h.id); ok && s.state.holds.rows.At(n).due <= s.g.time {
				rows = append(rows, n)
			}
		}
		if len(rows) > 0 {
			s.expire(rows)
		}
	})
}

// readReport reads the usage that an extension reported.
func (e *Engine) readReport(seq uint64) (*report, error) {
	blocks := blockReader{e: e}
	c, err := blocks.at(seq)
	if err != nil {
		return nil, err
	}
	r := reader{p: c.payload}
	x := r.extension(c.t)
	if c.kind != kindExtend || x.report == nil || r.end() != nil {
		return nil, fmt.Errorf("sequence %d reports no usage", seq)
	}
	return x.report, nil
}

// fill puts the reported event into a batch. Its shape is decoded from the canonical bytes.
func (p *report) fill(b *meter.Batch) {
	shape, err := meter.ParseShape(p.raw)
	if err != nil {
		return
	}
	b.Begin(0)
	b.SetSource([]byte(p.source))
	b.SetID([]byte(p.id))
	b.SetSubject([]byte(p.account))
	b.SetType([]byte(shape.Type))
	if p.time != meter.NoTime {
		b.SetTime(p.time)
	}
	b.Usage()
	for i, name := range shape.Components {
		b.Component([]byte(name), p.quantities[i])
	}
	for _, d := range shape.Dimensions {
		b.Dimension([]byte(d.Key), []byte(d.Value))
	}
	if len(p.usage) > 0 {
		b.SetRawUsage(p.usage[0], p.usage[1:])
	}
	b.End()
}
