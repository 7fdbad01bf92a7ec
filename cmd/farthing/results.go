package main

import (
	"context"

	"farthing/engine"
	"farthing/httpapi"
	"farthing/money"
	"farthing/publish"
	"farthing/refusal"
)

// resultsLedger is the engine as the reader of results wants it.
type resultsLedger struct {
	book      func([]engine.LineResult) ([]engine.ResultOutcome, *refusal.Refusal)
	positions *engine.ResultPositions
}

var _ publish.ResultsLedger = resultsLedger{}

// Positions implements publish.ResultsLedger.
func (l resultsLedger) Positions(topic string) (map[int32]int64, error) {
	return l.positions.Load(topic)
}

// SetPosition implements publish.ResultsLedger.
func (l resultsLedger) SetPosition(topic string, partition int32, next int64) error {
	return l.positions.Set(topic, partition, next)
}

// Results implements publish.ResultsLedger. What the engine has no words for is refused here.
func (l resultsLedger) Results(list []publish.Result) ([]publish.ResultOutcome, error) {
	out := make([]publish.ResultOutcome, len(list))
	var asked []engine.LineResult
	var places []int
	for i := range list {
		result, no := lineResult(&list[i])
		if no != nil {
			out[i] = refusedResult(no)
			continue
		}
		asked, places = append(asked, result), append(places, i)
	}
	if len(asked) == 0 {
		return out, nil
	}
	outcomes, no := l.book(asked)
	if no != nil {
		return nil, no
	}
	for k := range outcomes {
		o := &outcomes[k]
		switch {
		case o.Refusal == nil:
			out[places[k]] = publish.ResultOutcome{Repeated: !o.Created}
		case o.Refusal.Reason == engine.ResultExported: // it was booked as it is, and read again after long
			out[places[k]] = publish.ResultOutcome{Repeated: true}
		case isForNow(o.Refusal):
			return nil, o.Refusal // all of them again, later
		default:
			out[places[k]] = refusedResult(o.Refusal)
		}
	}
	return out, nil
}

// isForNow says whether a refusal is about the server, not about what was asked.
func isForNow(no *refusal.Refusal) bool {
	return no.Code == refusal.Overloaded || no.Code == refusal.NotReady || no.Code == refusal.Internal || no.Code == refusal.Timeout
}

func refusedResult(no *refusal.Refusal) publish.ResultOutcome {
	return publish.ResultOutcome{Code: string(no.Code), Reason: no.Reason, Detail: no.Detail}
}

func lineResult(r *publish.Result) (engine.LineResult, *refusal.Refusal) {
	result := engine.LineResult{ID: r.ID, Batch: r.BatchID, Line: r.Line, Reference: r.Reference}
	var ok bool
	if result.Status, ok = engine.ParseResultStatus(r.Status); !ok {
		return result, refusal.New(refusal.Invalid, "invalid_status", "status must be paid, partially_paid, failed or returned")
	}
	if r.Amount != nil {
		amount, err := money.Parse(*r.Amount)
		if err != nil {
			return result, refusal.New(refusal.Invalid, "invalid_amount", "amount: %v", err)
		}
		result.Amount = &amount
	}
	return result, nil
}

// openResults makes the reader of results, if there is a topic to read.
func (p *process) openResults(e *engine.Engine) error {
	if !p.cmd.readsResults() {
		return nil
	}
	o := p.cmd.resultsOptions(e.LedgerID())
	o.Logger = p.log
	reader, err := publish.NewResultsReader(o, resultsLedger{e.Results, e.ResultPositions()})
	if err == nil {
		p.results.Store(reader)
		p.metrics.results.reader.Store(reader)
	}
	return err
}

// readResults runs until ctx ends; without a reader it does nothing.
func (p *process) readResults(ctx context.Context) {
	if reader := p.results.Load(); reader != nil {
		_ = reader.Run(ctx) // it is run once, and ends with ctx
	}
}

// resultFeed is the reader's state as HTTP shows it.
func (p *process) resultFeed() httpapi.ResultFeed {
	reader := p.results.Load()
	if reader == nil {
		return httpapi.ResultFeed{Topic: p.cmd.KafkaResultsTopic, State: string(publish.StateIdle)}
	}
	s := reader.Stats()
	f := httpapi.ResultFeed{Topic: s.Topic, State: string(s.State), Applied: s.Applied, Repeated: s.Repeated, Refused: s.Refused,
		LastError: s.LastError, LastAt: s.LastErrorAt}
	for _, at := range s.Partitions {
		f.Partitions = append(f.Partitions, httpapi.ResultPartition{Partition: at.Partition, Offset: at.Next})
	}
	for _, r := range s.Recent {
		f.Recent = append(f.Recent, httpapi.RefusedResult{Partition: r.Partition, Offset: r.Offset, Time: r.Time, ID: r.ID, Batch: r.BatchID,
			Line: uint64(r.Line), Code: r.Code, Reason: r.Reason, Detail: r.Detail})
	}
	return f
}
