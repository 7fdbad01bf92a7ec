package publish

import "errors"

// Final answers of Run: the relay has stopped and must not be started again without an operator.
var (
	// ErrFenced: another relay has taken over this ledger's partition with a newer epoch; this one must not publish.
	ErrFenced = errors.New("publish: fenced: a newer relay publishes this ledger's partition")

	// ErrForked: the topic holds other content under one of our stream_seq, so this ledger is not the one that
	// published it: a restored old copy, or two ledgers on one partition.
	ErrForked = errors.New("publish: forked: the topic holds other content under our stream_seq")

	// ErrLost: the partition is not the one, or not all of the one, that the outbox holds records of as confirmed: the options
	// name another topic or partition, or it was deleted and created again, or truncated. Publishing on would leave a gap that
	// consumers stop at.
	ErrLost = errors.New("publish: lost: the topic lacks records that were confirmed")
)

// Misuse.
var (
	// ErrOptions: the options given to New, NewTopicReader or CreateTopics are not usable; the text names every problem.
	ErrOptions = errors.New("publish: options")

	// ErrNoTopic: the topic to read, or its partition, does not exist.
	ErrNoTopic = errors.New("publish: no such topic")

	// ErrRunning: Run was called while it runs.
	ErrRunning = errors.New("publish: the relay is running already")
)

// Reasons for a new session or another look, inside the package.
var (
	// errShort: the partition ends before what was confirmed, by one broker's word.
	errShort = errors.New("publish: the partition looks too short")

	// errRenew: the session reached Options.RenewEvery.
	errRenew = errors.New("publish: producer epoch due for renewal")

	// errLocated: the broker has the batch already and does not say where.
	errLocated = errors.New("publish: the broker has this batch already")

	// errReopen: this epoch cannot go on: the broker does not know our producer id or expects another sequence, or it
	// has refused bytes that must not be changed under their triple. Only a new epoch and a read-back can.
	errReopen = errors.New("publish: the epoch cannot go on")
)
