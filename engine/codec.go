package engine

import (
	"encoding/binary"
	"errors"

	"farthing/money"
)

// Every command of the journal starts with a kind byte. Kinds below kindEvent are
// followed by a uvarint length and a payload; an event's kind byte holds its flags
// and its payload has no length, because events are what the journal is full of.
const (
	kindGenesis = 0x01 // the ledger's birth: its id, seed and format
	kindSource  = 0x02 // the next source id: a name
	kindShape   = 0x03 // the next shape id: canonical shape bytes
	kindAccount = 0x04 // a participant
	kindPrices  = 0x05 // a price version
	kindTopUp   = 0x06 // a top-up
	kindCut     = 0x07 // a window closes here
	kindClosing = 0x08 // a slice of closing transfers
	kindSeal    = 0x09 // the batches of a window
	kindAmend   = 0x0a // an event is rated late, voided or rated anew
	kindRerate  = 0x0b // a rerate begins
	kindRerated = 0x0c // and is done

	kindGrant     = 0x0d // credit is given
	kindGrantEnd  = 0x0e // what was free of an expired grant goes
	kindRefund    = 0x0f // paid credit goes back
	kindMove      = 0x10 // paid credit goes to another account of its owner
	kindStatus    = 0x11 // an account is frozen, resumed or closed
	kindLimits    = 0x12 // the limits of an account
	kindSettings  = 0x13 // the settings of a root
	kindNotice    = 0x14 // a notification; it follows from the command before it
	kindAsk       = 0x15 // a top-up is requested
	kindReply     = 0x16 // a request is declined, or paid by the top-up in it
	kindSubscribe = 0x17 // a subscription begins
	kindChange    = 0x18 // it changes or is cancelled
	kindPeriod    = 0x19 // its next period begins
	kindHold      = 0x1a // a hold is placed, or refused for good
	kindExtend    = 0x1b // it is extended
	kindCapture   = 0x1c // it is captured by amount; by an event, the event says so
	kindRelease   = 0x1d // it is voided
	kindExpire    = 0x1e // holds expire
	kindLook      = 0x1f // time has come to look at something
	kindResult    = 0x20 // what became of a line
	kindKey       = 0x21 // the key that signs manifests from here on
	kindForget    = 0x22 // identities that may be booked again
	kindBase      = 0x23 // what was exported, and the base that the history goes on from
	kindTop       = kindBase

	kindEvent = 0x40 // this bit and flags
)

// The flags of an event's kind byte.
const (
	flagTime     = 0x01 // it had a time of its own
	flagSource   = 0x02 // its source is spelled out, not interned
	flagUnpriced = 0x04 // no price known: reason and shape are spelled out
	flagExtras   = 0x08 // dimensions that rating does not look at follow
	flagPaid     = 0x10 // all of it was taken from paid credit
	flagMixed    = 0x20 // the part taken from paid credit follows
	flagMore     = 0x80 // more follows: usage object, counters, sources, hold
)

var errCodec = errors.New("command does not decode")

// reader decodes a command; after the first failure every further read returns zero.
type reader struct {
	p   []byte
	bad bool
}

func (r *reader) fail() { r.bad, r.p = true, nil }

func (r *reader) uvarint() uint64 {
	if len(r.p) > 0 && r.p[0] < 0x80 { // most are small
		n := r.p[0]
		r.p = r.p[1:]
		return uint64(n)
	}
	n, k := binary.Uvarint(r.p)
	if k <= 0 {
		r.fail()
		return 0
	}
	r.p = r.p[k:]
	return n
}

func (r *reader) varint() int64 {
	n, k := binary.Varint(r.p)
	if k <= 0 {
		r.fail()
		return 0
	}
	r.p = r.p[k:]
	return n
}

func (r *reader) byte() byte {
	if len(r.p) == 0 {
		r.fail()
		return 0
	}
	c := r.p[0]
	r.p = r.p[1:]
	return c
}

// take returns the next n bytes; they stay part of the input.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.p)) {
		r.fail()
		return nil
	}
	out := r.p[:n:n]
	r.p = r.p[n:]
	return out
}

func (r *reader) bytes() []byte { return r.take(r.uvarint()) }
func (r *reader) str() string   { return string(r.bytes()) }

func (r *reader) amount() money.Amount {
	a, n, err := money.DecodeBinary(r.p)
	if err != nil {
		r.fail()
		return money.Amount{}
	}
	r.p = r.p[n:]
	return a
}

func (r *reader) hash() (h [32]byte) {
	copy(h[:], r.take(32))
	return h
}

func (r *reader) currency() money.Currency {
	c, ok := money.LookupBytes(r.take(3))
	if !ok {
		r.fail()
	}
	return c
}

func (r *reader) bool() bool { return r.byte() != 0 }

// end reports whether everything was read and nothing failed.
func (r *reader) end() error {
	if r.bad || len(r.p) != 0 {
		return errCodec
	}
	return nil
}

func appendBytes[T ~string | ~[]byte](dst []byte, s T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func (r *reader) quantity() money.Quantity {
	q, ok := money.BinaryQuantity(r.uvarint())
	if !ok {
		r.fail()
	}
	return q
}
