package reconcile

import (
	"context"
	"errors"
	"fmt"

	"farthing/publish"
)

// Topic is the partition to check.
type Topic interface {
	// Topic returns its name.
	Topic() string
	// Bounds returns the first offset and the one after the last record. publish.ErrNoTopic: there is no such topic.
	Bounds(ctx context.Context) (first, end int64, err error)
	// Read visits the records at offsets in [from, end) in order.
	Read(ctx context.Context, from, end int64, visit func(*publish.TopicRecord) error) error
}

// DifferencesMax is how many differences a Report lists by default; all are counted.
const DifferencesMax = 100

// Options says what to compare.
type Options struct {
	Ledger Ledger
	Topic  Topic
	// DifferencesMax is how many differences are listed; default 100.
	DifferencesMax int
	// Progress is told now and then how many offsets of how many are done; may be nil.
	Progress func(done, total uint64)
}

// Run compares. An error says that one side could not be read and nothing is known; differences are in the report.
//
// The ledger is read before the topic's end is asked for, so what the ledger then calls published must be there. What is sealed and
// published in the meantime is looked up when it comes.
func Run(ctx context.Context, o Options) (Report, error) {
	if o.DifferencesMax == 0 {
		o.DifferencesMax = DifferencesMax
	}
	x, err := readIndex(ctx, o.Ledger)
	if err != nil {
		return Report{}, err
	}
	c := newChecker(ctx, o, x)
	first, end, err := o.Topic.Bounds(ctx)
	switch {
	case errors.Is(err, publish.ErrNoTopic):
		first, end = 0, 0
		c.noTopic = true
	case err != nil:
		return Report{}, fmt.Errorf("the topic: %w", err)
	}
	c.report.FirstOffset, c.report.EndOffset = first, end
	if err := o.Topic.Read(ctx, first, end, c.visit); err != nil {
		return Report{}, err
	}
	c.finish()
	return c.report, nil
}

// Server compares a topic with a running server in one call. Of k it needs the brokers and, unless it is the default, the topic. key is the
// API key, "" for none.
func Server(ctx context.Context, k publish.Options, url, key string) (Report, error) {
	topic, err := publish.NewTopicReader(k)
	if err != nil {
		return Report{}, err
	}
	ledger := NewHTTP(url, key)
	defer ledger.Close()
	return Run(ctx, Options{Ledger: ledger, Topic: topic})
}
