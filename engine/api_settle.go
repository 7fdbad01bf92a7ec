package engine

import (
	"time"

	"farthing/money"
)

// LineResult says what became of a line's amount, which is in transit since its batch was sealed.
type LineResult struct {
	ID        string // of the result; the same again gives the first one's answer
	Batch     string // batch id, hex
	Line      uint32
	Status    ResultStatus
	Amount    *money.Amount // nil: all that the status can be about
	Reference string        // the bank's, at most 256 bytes
}

// ResultStatus is what a result says.
type ResultStatus uint8

// What a result says. Paid and PartiallyPaid move an amount from in transit to cash, Failed gives
// back what is in transit, Returned what was paid.
const (
	ResultPaid ResultStatus = iota + 1
	ResultPartiallyPaid
	ResultFailed
	ResultReturned
)

var resultStatusNames = [...]string{ResultPaid: "paid", ResultPartiallyPaid: "partially_paid", ResultFailed: "failed", ResultReturned: "returned"}

// String returns the word of the contract.
func (s ResultStatus) String() string {
	if int(s) >= len(resultStatusNames) {
		return ""
	}
	return resultStatusNames[s]
}

// ParseResultStatus reads the word of the contract.
func ParseResultStatus(text string) (ResultStatus, bool) {
	for s, name := range resultStatusNames {
		if name != "" && name == text {
			return ResultStatus(s), true
		}
	}
	return 0, false
}

// LineState is how a line stands. The four amounts add up to the line's.
type LineState struct {
	Batch     string
	Line      uint32
	Account   string
	Currency  money.Currency
	Direction string       // pay, collect or none
	Amount    money.Amount // of the line
	Open      money.Amount // in transit
	Paid      money.Amount // moved to cash and not returned
	Failed    money.Amount // given back from in transit
	Returned  money.Amount // given back after it was paid
	Status    string       // none, open, partially_paid, paid, failed, returned
}

// LineResultAnswer is a booked result and, when it is new, how its line stands after it.
type LineResultAnswer struct {
	Booked
	LineResult            // Amount is what was moved
	State      *LineState // nil in a repeated answer
}

// InTransit is what of a batch waits for results.
type InTransit struct {
	Batch    string
	Window   uint64
	Currency money.Currency
	Time     time.Time    // of the cut
	Lines    uint32       // with an amount in transit
	Pay      money.Amount // in transit to participants
	Collect  money.Amount // in transit from participants
	Sequence uint64       // of the state that this shows
}

// SigningKey is a key that signs, or signed, manifests.
type SigningKey struct {
	ID        string // "ed25519-" and 16 hex digits: the beginning of SHA-256 of the public key
	PublicKey []byte // 32 bytes
	Sequence  uint64 // signs from here on
	Time      time.Time
	Current   bool
}

// Proof shows that an event is a leaf of a batch's tree (RFC 6962, section 2.1.1).
type Proof struct {
	Batch    string
	Window   uint64
	Currency money.Currency
	Leaf     []byte     // the leaf's bytes, version 1 (batch.ParseLeaf)
	Shape    []byte     // the event's canonical shape, whose hash the leaf has
	Index    uint64     // of the leaf, from 0
	Size     uint64     // of the tree
	Path     [][32]byte // from the leaf's sibling upwards
	Root     [32]byte
	Sequence uint64 // at which the event was rated
}
