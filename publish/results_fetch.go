package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// partitions returns the partitions of the topic; UnknownTopicOrPartition if there is none.
func (b *broker) partitions(ctx context.Context) ([]int32, error) {
	meta, err := b.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{b.o.Topic}})
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", b.o.Topic, err)
	}
	for _, t := range meta.Topics {
		if t.Name != b.o.Topic {
			continue
		}
		if t.Error != nil {
			return nil, fmt.Errorf("look for %s: %w", b.o.Topic, t.Error)
		}
		list := make([]int32, len(t.Partitions))
		for i, p := range t.Partitions {
			list[i] = int32(p.ID)
		}
		if len(list) > 0 {
			return list, nil
		}
	}
	return nil, fmt.Errorf("look for %s: %w", b.o.Topic, kafka.UnknownTopicOrPartition)
}

// results reads messages of the partition from an offset on and returns the offset to go on from; from itself if there is nothing
// new. Of transactions only what was committed is returned: the broker names those that were aborted, and kafka-go's Reader and
// Client drop that list, so the request is made below them.
func (b *broker) results(ctx context.Context, from int64, atMost time.Duration) (list []message, next int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.o.RequestTimeout)
	defer cancel()
	m, err := b.client.Transport.RoundTrip(ctx, b.client.Addr, &fetch.Request{
		ReplicaID: -1, MaxWaitTime: int32(atMost.Milliseconds()), MinBytes: 1, MaxBytes: fetchBytes, IsolationLevel: int8(kafka.ReadCommitted), SessionID: -1, SessionEpoch: -1,
		Topics: []fetch.RequestTopic{{Topic: b.o.Topic, Partitions: []fetch.RequestPartition{{
			Partition: b.o.Partition, CurrentLeaderEpoch: -1, FetchOffset: from, LogStartOffset: -1, PartitionMaxBytes: fetchBytes}}}},
	})
	if err != nil {
		return nil, from, fmt.Errorf("read %s/%d at %d: %w", b.o.Topic, b.o.Partition, from, err)
	}
	res, ok := m.(*fetch.Response)
	if !ok || len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
		return nil, from, fmt.Errorf("read %s/%d at %d: not answered", b.o.Topic, b.o.Partition, from)
	}
	p := &res.Topics[0].Partitions[0]
	for _, code := range []int16{res.ErrorCode, p.ErrorCode} {
		if code != 0 {
			return nil, from, fmt.Errorf("read %s/%d at %d: %w", b.o.Topic, b.o.Partition, from, kafka.Error(code))
		}
	}
	if p.RecordSet.Records == nil {
		return nil, from, nil
	}
	aborted := abortedIn(p.AbortedTransactions)
	for _, batch := range batchesOf(p.RecordSet.Records) {
		if list, from, err = b.resultsOf(batch, from, aborted, list); err != nil {
			return nil, from, fmt.Errorf("read %s/%d at %d: %w", b.o.Topic, b.o.Partition, from, err)
		}
	}
	return list, from, nil
}

// aborted are transactions of the records read, by producer: their first offsets in order.
type aborted map[int64][]int64

func abortedIn(list []fetch.ResponseTransaction) aborted {
	a := aborted{}
	for _, t := range list {
		a[t.ProducerID] = append(a[t.ProducerID], t.FirstOffset)
	}
	return a
}

// has says whether the producer's transaction that holds the offset was aborted; end is told by the marker.
func (a aborted) has(producer, offset int64) bool {
	return len(a[producer]) > 0 && a[producer][0] <= offset
}

func (a aborted) end(producer, offset int64) {
	if a.has(producer, offset) {
		a[producer] = a[producer][1:]
	}
}

// resultsOf appends the messages of one batch.
func (b *broker) resultsOf(batch kafka.RecordReader, from int64, aborted aborted, list []message) ([]message, int64, error) {
	dropped, marker, producerID := false, false, int64(-1)
	switch batch := batch.(type) {
	case *protocol.RecordBatch:
		dropped = batch.Attributes.Transactional() && aborted.has(batch.ProducerID, batch.BaseOffset)
	case *protocol.ControlBatch:
		marker, producerID = true, batch.ProducerID
	}
	for {
		record, err := batch.ReadRecord()
		if errors.Is(err, io.EOF) {
			return list, from, nil
		}
		if err != nil {
			return list, from, err
		}
		if marker {
			aborted.end(producerID, record.Offset)
		}
		if record.Offset < from {
			continue // the batch begins before the offset we asked for
		}
		from = record.Offset + 1
		if marker || dropped {
			continue
		}
		value, err := protocol.ReadAll(record.Value)
		if err != nil {
			return list, from, err
		}
		m := message{Result: Result{Partition: b.o.Partition, Offset: record.Offset}}
		m.bad = decodeResult(value, &m.Result)
		list = append(list, m)
	}
}
