package httpapi

import (
	"time"

	"farthing/refusal"
)

// ResultFeed is the state of what reads results from a topic.
type ResultFeed struct {
	Topic      string
	Partitions []ResultPartition
	State      string // a word of the reader's
	Applied    uint64 // results booked since the start
	Repeated   uint64 // that were booked before
	Refused    uint64
	LastError  string // "" if there was none
	LastAt     time.Time
	Recent     []RefusedResult // the last refused ones, the newest first
}

// ResultPartition is how far a partition was read.
type ResultPartition struct {
	Partition int32
	Offset    int64 // of the next record
}

// RefusedResult is a record that booked nothing.
type RefusedResult struct {
	Partition            int32
	Offset               int64
	Time                 time.Time
	ID, Batch            string // as far as they could be read
	Line                 uint64
	Code, Reason, Detail string
}

// getResultFeed answers with the state of the reader of results.
func (s *Server) getResultFeed(c *call) (answer, *refusal.Refusal) {
	if q := c.query(); q.no != nil {
		return answer{}, q.no
	}
	if s.options.Results == nil {
		return answer{}, refusal.New(refusal.NotFound, "no_results_topic", "this server reads no results from a topic")
	}
	f := s.options.Results()
	return answer{200, resultFeedView(&f)}, nil
}

type resultFeedJSON struct {
	Topic      string                `json:"topic"`
	Partitions []resultPartitionJSON `json:"partitions"`
	State      string                `json:"state"`
	Applied    uint64                `json:"applied"`
	Repeated   uint64                `json:"repeated"`
	Refused    uint64                `json:"refused"`
	LastError  *string               `json:"last_error"`
	LastAt     *string               `json:"last_error_at"`
	Recent     []refusedResultJSON   `json:"recent"`
}

type resultPartitionJSON struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"next_offset"`
}

type refusedResultJSON struct {
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Time      string `json:"time"`
	ID        string `json:"id"`
	BatchID   string `json:"batch_id"`
	Line      uint64 `json:"line"`
	Code      string `json:"code"`
	Reason    string `json:"reason"`
	Detail    string `json:"detail"`
}

func resultFeedView(f *ResultFeed) resultFeedJSON {
	v := resultFeedJSON{Topic: f.Topic, State: f.State, Applied: f.Applied, Repeated: f.Repeated, Refused: f.Refused, LastError: textOrNull(f.LastError),
		LastAt: timeOrNull(f.LastAt), Partitions: make([]resultPartitionJSON, 0, len(f.Partitions)), Recent: make([]refusedResultJSON, 0, len(f.Recent))}
	for _, p := range f.Partitions {
		v.Partitions = append(v.Partitions, resultPartitionJSON(p))
	}
	for _, r := range f.Recent {
		v.Recent = append(v.Recent, refusedResultJSON{r.Partition, r.Offset, timeText(r.Time), r.ID, r.Batch, r.Line, r.Code, r.Reason, r.Detail})
	}
	return v
}
