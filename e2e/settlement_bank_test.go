package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const resultsTopic = "farthing.settlement-results"

// payments is the bank: it hears of the lines that are to be paid or collected and says what
// became of them, some of it to the server and some through Kafka.
type payments struct {
	rng    *rand.Rand
	oracle *settlementOracle
	due    map[uint64][]*bankResult // by the window in which they are told
	told   map[string]int           // by status and channel
}

// bankResult is one result of a line.
type bankResult struct {
	line      *settledLine
	id        string
	status    string
	amount    *decimal.Decimal // nil: all
	kafka     bool
	twice     bool
	reference string

	// What the oracle says of it, once it is told.
	moves   decimal.Decimal
	refused error
}

func newPayments(rng *rand.Rand, o *settlementOracle) *payments {
	return &payments{rng: rng, oracle: o, due: map[uint64][]*bankResult{}, told: map[string]int{}}
}

// hear draws what will become of the lines of a batch.
func (p *payments) hear(b *settledBatch) {
	for _, l := range b.lines {
		if l.open.IsPositive() {
			p.schedule(l, p.fate(l))
		}
	}
}

// fate draws a story: a step of it is told in a window of its own.
func (p *payments) fate(l *settledLine) []*bankResult {
	part := p.part(l.open, l.batch.currency)
	if l.Account == settlementProvider(quietProvider, "USD") {
		return []*bankResult{{status: "paid"}} // what came back to it would hide that it owes
	}
	step := func(status string, amount *decimal.Decimal) *bankResult {
		return &bankResult{status: status, amount: amount}
	}
	switch n := p.rng.IntN(20); {
	case n < 10:
		return []*bankResult{step("paid", nil)}
	case n == 10:
		return []*bankResult{step("paid", &l.Amount.Decimal), step("returned", part), step("returned", nil)}
	case n < 13 && part != nil:
		return []*bankResult{step("partially_paid", part), step("paid", nil)}
	case n == 13 && part != nil: // what was paid may be returned though the rest failed
		return []*bankResult{step("partially_paid", part), step("failed", nil), step("returned", nil)}
	case n < 16: // failed is final: a late word from the bank must not pay again
		return []*bankResult{step("failed", nil), step("paid", nil)}
	case n == 16:
		return []*bankResult{step("paid", nil), step("returned", nil), step("paid", nil)}
	case n == 17:
		more := l.open.Add(decimal.NewFromInt(1))
		return []*bankResult{step("partially_paid", &more), step("paid", nil)}
	}
	return nil // nothing is heard of it
}

// part draws less than an amount, in whole minor units; nil if it has one only.
func (p *payments) part(amount decimal.Decimal, currency string) *decimal.Decimal {
	digits := map[string]int32{"JPY": 0, "USD": 2}[currency]
	units := amount.Shift(digits).IntPart()
	if units < 2 {
		return nil
	}
	part := decimal.New(1+p.rng.Int64N(units-1), -digits)
	return &part
}

func (p *payments) schedule(l *settledLine, steps []*bankResult) {
	window := l.batch.window
	for i, s := range steps {
		window += 1 + p.rng.Uint64N(2)
		s.line, s.id = l, fmt.Sprintf("bank-%d-%s-%d-%d", l.batch.window, l.batch.currency, l.Line.Line, i)
		s.kafka, s.twice = p.rng.IntN(4) == 0, p.rng.IntN(3) == 0
		if p.rng.IntN(2) == 0 {
			s.reference = "wire " + s.id
		}
		p.due[window] = append(p.due[window], s)
	}
}

// tell books the results of a window with the oracle and returns them.
func (p *payments) tell(window uint64) []*bankResult {
	for _, s := range p.due[window] {
		s.moves, s.refused = p.oracle.result(s.line, s.status, s.amount)
		channel := "POST"
		if s.kafka {
			channel = "Kafka"
		}
		if s.refused != nil {
			p.told[channel+" refused"]++
			continue
		}
		p.told[channel+" "+s.status]++
	}
	return p.due[window]
}

// post is the job of telling the server, which must say what the oracle says.
func (s *bankResult) post(c *client.Client) job {
	return func(ctx context.Context) error {
		r := client.NewResult{ID: s.id, Status: s.status, Reference: s.reference}
		if s.amount != nil {
			r.Amount = &client.Money{Decimal: *s.amount}
		}
		got, err := c.Result(ctx, s.line.batch.id, s.line.Line.Line, r)
		if client.Temporary(err) {
			return err
		}
		return s.compare(got, err)
	}
}

// compare holds the server's answer against the oracle's.
func (s *bankResult) compare(got client.Result, refused error) error {
	if reasonOf(refused) != reasonOf(s.refused) || (refused == nil) != (s.refused == nil) {
		return fmt.Errorf("%w: %s of line %d (%s), %s %s: %w", errAnswer, s.id, s.line.Line.Line, s.line.Account, s.status, s.moves, errors.Join(refused, s.refused))
	}
	if refused == nil && (got.Status != s.status || !got.Amount.Equal(s.moves)) {
		return fmt.Errorf("%w: %s to %s %s: %+v", errAnswer, s.id, s.status, s.moves, got)
	}
	return nil
}

// checkFeed waits until the server has read every result on Kafka, and looks at what it refused.
func (p *payments) checkFeed(ctx context.Context, t *testing.T, c *client.Client, produced int64) {
	t.Helper()
	var feed struct {
		Partitions []struct {
			NextOffset int64 `json:"next_offset"`
		} `json:"partitions"`
		Recent []struct {
			ID     string `json:"id"`
			Reason string `json:"reason"`
		} `json:"recent"`
	}
	err := client.Retry(ctx, retryEvery, func(ctx context.Context) error {
		raw, err := c.ResultFeed(ctx)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(raw, &feed); err != nil {
			return err
		}
		read := int64(0)
		for _, at := range feed.Partitions {
			read += at.NextOffset
		}
		if read < produced {
			return fmt.Errorf("%w: %d of %d results are read: %s", client.ErrNotYet, read, produced, raw)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, results := range p.due {
		for _, r := range results {
			want[r.id] = reasonOf(r.refused)
		}
	}
	for _, r := range feed.Recent {
		if r.Reason == "" || want[r.ID] != r.Reason {
			t.Errorf("the server refused result %s from Kafka with %q, want %q", r.ID, r.Reason, want[r.ID])
		}
	}
}

// reasonOf is the finest word for a refusal, the server's or the oracle's.
func reasonOf(err error) string {
	for _, known := range []error{errResultConflict, errInvalidAmount} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	var p *client.Problem
	if errors.As(err, &p) {
		return p.Reason
	}
	return ""
}

// record is the result as it stands on Kafka.
func (s *bankResult) record() ([]byte, error) {
	m := map[string]any{"id": s.id, "status": s.status, "batch_id": s.line.batch.id, "line": s.line.Line.Line}
	if s.amount != nil {
		m["amount"] = s.amount.String()
	}
	if s.reference != "" {
		m["reference"] = s.reference
	}
	return json.Marshal(m)
}

// produce is the job of telling it on Kafka; the outcome shows in the line's state.
func (s *bankResult) produce(writer *kgo.Client, produced *atomic.Int64) job {
	return func(ctx context.Context) error {
		value, err := s.record()
		if err != nil {
			return err
		}
		err = writer.ProduceSync(ctx, &kgo.Record{Topic: resultsTopic, Key: []byte(s.line.batch.id), Value: value}).FirstErr()
		if err == nil {
			produced.Add(1)
		}
		return err
	}
}

// equal says whether the line stands as the oracle has it.
func (l *settledLine) equal(s *client.LineState) bool {
	return s.Status == l.status() && s.Open.Equal(l.open) && s.Paid.Equal(l.paid) && s.Failed.Equal(l.failed) && s.Returned.Equal(l.returned)
}

// awaited is the job of waiting until the server's line stands as the oracle's.
func (s *bankResult) awaited(c *client.Client) job {
	return func(ctx context.Context) error {
		got, err := c.LineState(ctx, s.line.batch.id, s.line.Line.Line)
		if err != nil {
			return err
		}
		if !s.line.equal(&got) {
			return fmt.Errorf("%w: %s: line %d (%s) is %+v", client.ErrNotYet, s.id, s.line.Line.Line, s.line.Account, got)
		}
		return nil
	}
}

// newResultsWriter makes the topic of results, on two partitions: the server looks for it when it
// starts.
func newResultsWriter(t *testing.T, broker string) *kgo.Client {
	t.Helper()
	writer, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(writer.Close)
	if _, err := kadm.NewClient(writer).CreateTopic(t.Context(), 2, 1, nil, resultsTopic); err != nil {
		t.Fatal(err)
	}
	return writer
}
