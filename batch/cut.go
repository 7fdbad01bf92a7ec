package batch

import (
	"crypto/sha256"
	"fmt"

	"farthing/money"
)

// OperatorAccount is the id of the operator, the counterpart of everyone.
const OperatorAccount = "operator"

// idBytesMax is the longest id of an account or a ledger.
const idBytesMax = 128

// numberMax is the largest number in a record: JSON readers are only bound to
// keep integers up to 2^53 - 1 exact (RFC 8785 writes numbers as doubles).
const numberMax = 1<<53 - 1

// Cut says which part of the history a batch covers. It is set by the caller
// and not changed afterwards.
type Cut struct {
	Ledger    string         // id of the ledger: 1 to 128 bytes of an id
	Partition uint32         // the partition, 0 by default
	Window    uint64         // number of the window that the cut closes
	Currency  money.Currency // of all amounts
	First     uint64         // sequence of the window's first command
	Last      uint64         // sequence of the cut, the window's last command
	Time      int64          // of the cut, in ns since 1970 UTC, from the journal
	Events    uint64         // usage events of the window in this currency

	MerkleRoot [32]byte // of the tree over those events
	Previous   [32]byte // hash of the previous batch of this partition and currency; zero for the first

	FirstStreamSeq uint64 // stream_seq of the batch's first published record
}

// ID returns the batch id: SHA-256 of the RFC 8785 array [ledger, partition,
// window, currency, first sequence, last sequence]. Records show it in
// lowercase hexadecimal.
func (c *Cut) ID() [32]byte {
	return ID(c.Ledger, c.Partition, c.Window, c.Currency, c.First, c.Last)
}

// Scope returns what every line record of the batch repeats.
func (c *Cut) Scope() Scope {
	return Scope{BatchID: c.ID(), Partition: c.Partition, Window: c.Window, Currency: c.Currency}
}

// ID is Cut.ID for those who have only the identifying fields. It panics when
// ledger is not a valid id.
func ID(ledger string, partition uint32, window uint64, currency money.Currency, first, last uint64) [32]byte {
	var buf [256]byte
	dst := appendID(append(buf[:0], '['), ledger)
	dst = appendUint(append(dst, ','), uint64(partition))
	dst = appendUint(append(dst, ','), window)
	dst = appendString(append(dst, ','), currency.Code())
	dst = appendUint(append(dst, ','), first)
	dst = appendUint(append(dst, ','), last)
	return sha256.Sum256(append(dst, ']'))
}

// check reports the first field that a manifest could not hold.
func (c *Cut) check() error {
	switch {
	case !validID(c.Ledger):
		return fmt.Errorf("%w: ledger id %q", ErrRange, c.Ledger)
	case c.Currency.IsZero():
		return fmt.Errorf("%w: no currency", ErrRange)
	case c.First > c.Last:
		return fmt.Errorf("%w: first sequence %d after last %d", ErrRange, c.First, c.Last)
	case c.Last > numberMax, c.Window > numberMax, c.Events > numberMax, c.FirstStreamSeq > numberMax:
		return fmt.Errorf("%w: number above 2^53 - 1 in %+v", ErrRange, *c)
	case c.Time < 0:
		return fmt.Errorf("%w: time %d before 1970", ErrRange, c.Time)
	}
	return nil
}

// validID reports whether s is an id: 1 to 128 of A-Z a-z 0-9 . _ : - / @
// None of these is escaped in JSON, so ids are written as they are.
func validID[T string | []byte](s T) bool {
	if len(s) == 0 || len(s) > idBytesMax {
		return false
	}
	for i := range len(s) {
		if !idBytes[s[i]] {
			return false
		}
	}
	return true
}

var idBytes = [256]bool{
	'-': true, '.': true, '/': true, ':': true, '@': true, '_': true,
	'0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true,
	'A': true, 'B': true, 'C': true, 'D': true, 'E': true, 'F': true, 'G': true, 'H': true, 'I': true,
	'J': true, 'K': true, 'L': true, 'M': true, 'N': true, 'O': true, 'P': true, 'Q': true, 'R': true,
	'S': true, 'T': true, 'U': true, 'V': true, 'W': true, 'X': true, 'Y': true, 'Z': true,
	'a': true, 'b': true, 'c': true, 'd': true, 'e': true, 'f': true, 'g': true, 'h': true, 'i': true,
	'j': true, 'k': true, 'l': true, 'm': true, 'n': true, 'o': true, 'p': true, 'q': true, 'r': true,
	's': true, 't': true, 'u': true, 'v': true, 'w': true, 'x': true, 'y': true, 'z': true,
}
