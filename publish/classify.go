package publish

import (
	"errors"

	"github.com/segmentio/kafka-go"
)

// verdict is what the failure of a send calls for. There are only these, and the choice is a function of the error.
type verdict int

const (
	// resend: it is open whether the batch was appended, or certain that it was not; either way only the identical triple and
	// bytes may follow. Everything that is not listed below is this: time-outs, cut connections, a moved leader, too
	// few replicas before or after the append, missing rights.
	resend verdict = iota
	// located: the broker says the batch is there and does not say where.
	located
	// restart: the broker has lost the producer's state, or refuses the batch for its time stamp, which a corrected
	// clock would change; only a new epoch can go on.
	restart
	// fenced: there is a newer epoch.
	fenced
	// tooLarge: the topic does not take a batch of this size. It was not appended; a new epoch may send it in smaller ones.
	tooLarge
)

func classify(err error) verdict {
	var code kafka.Error
	if !errors.As(err, &code) {
		return resend
	}
	switch code {
	case kafka.DuplicateSequenceNumber:
		return located
	case kafka.OutOfOrderSequenceNumber, kafka.UnknownProducerId, kafka.InvalidProducerIDMapping,
		kafka.InvalidTimestamp:
		return restart
	case kafka.InvalidProducerEpoch, kafka.ProducerFenced:
		return fenced
	case kafka.MessageSizeTooLarge, kafka.RecordListTooLarge:
		return tooLarge
	}
	return resend
}

// isComingUp tells a coordinator that is not ready yet, which is normal while a broker or a new transactional id starts, from a failure.
func isComingUp(err error) bool {
	var code kafka.Error
	if !errors.As(err, &code) {
		return false
	}
	switch code {
	case kafka.GroupLoadInProgress, kafka.GroupCoordinatorNotAvailable, kafka.NotCoordinatorForGroup, kafka.ConcurrentTransactions:
		return true
	}
	return false
}
