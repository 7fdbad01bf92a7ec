package publish

// Record is one sealed record of the outbox. The relay does not change Key and Value and does not keep them past Confirm.
type Record struct {
	// StreamSeq numbers the records of a partition from 1 without gaps. The same number never has two contents.
	StreamSeq uint64
	// Type is the CloudEvents type (ce_type), which tells the record kind.
	Type string
	// ID is the CloudEvents id (ce_id), unique within the source.
	ID string
	// Key and Value are the record as consumers see it: batch id and canonical JSON.
	Key, Value []byte
	// Headers follow those of the contract, whose names they must not have. They are content: the same again always.
	Headers []Header
}

// Header is a header of a record beyond those that every record has.
type Header struct {
	Key   string
	Value []byte
}

// Outbox is what the relay needs from the ledger. The goroutine in Run calls them one at a time, but for Records and Changed, which
// another goroutine of it calls too. An error is an environment failure: the relay waits and starts a new session, which asks Position again.
type Outbox interface {
	// Records returns sealed records with StreamSeq >= from, contiguous and in order, up to about maxBytes of key and
	// value bytes (at least one if any is sealed). Empty: nothing sealed yet. It may be asked for confirmed ones again; those
	// that are kept no more are left out.
	Records(from uint64, maxBytes int) ([]Record, error)
	// Position returns the durable progress of publication.
	Position() (Position, error)
	// Attempt makes the triple of an in-flight send durable before it returns. It replaces the one before.
	Attempt(a Attempt) error
	// Confirm makes it durable that records First..Last stand at BaseOffset.. in the topic. First is always one more
	// than the last confirmed one. It ends the attempt.
	Confirm(c Confirmation) error
	// ConfirmAttempt is Confirm and then Attempt, in one durable step.
	ConfirmAttempt(c Confirmation, a Attempt) error
	// Changed returns a channel that is closed once more may have been sealed than at the time of the call.
	Changed() <-chan struct{}
}

// Position is the durable progress of publication.
type Position struct {
	// Confirmed is the last confirmed StreamSeq, 0 for none.
	Confirmed uint64
	// Topic, Partition and Offset say where record Confirmed stands, as its Confirmation said. Without one they are zero.
	Topic     string
	Partition int32
	Offset    int64
	// NextOffset is the last Confirmation's NextOffset, 0 at first. A partition that ends before it is not the one we wrote to.
	NextOffset int64
	// Attempt is the last attempt that was not confirmed, or nil. The relay only reports it: the fence and the
	// read-back decide about it without trusting it.
	Attempt *Attempt
}

// Attempt is the triple under which records First..Last are being sent.
type Attempt struct {
	ProducerID  int64
	Epoch       int16
	Sequence    int32
	First, Last uint64
}

// Confirmation says where records stand in the topic.
type Confirmation struct {
	// First and Last are the StreamSeq of the run, First <= Last.
	First, Last uint64
	Topic       string
	Partition   int32
	// BaseOffset is the offset of First; the records of a run have contiguous offsets.
	BaseOffset int64
	// NextOffset is an offset that the partition has reached: after the run, or after the fence that followed it.
	NextOffset int64
}
