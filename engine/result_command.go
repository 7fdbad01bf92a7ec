package engine

import (
	"encoding/binary"
	"math"

	"github.com/zeebo/xxh3"

	"farthing/ledger"
	"farthing/money"
	"farthing/refusal"
)

// sourceResult is the source of the identities of results in the runs; no event can have it.
const sourceResult = "\x03"

func resultIdentity[T ~string | ~[]byte](dst []byte, id T) []byte {
	return append(append(dst, sourceResult+"\x00"...), id...)
}

// lineResult is the command of a result: what was said, and what it moves. Account and whole
// repeat the line's record, which is not part of the state; verify compares.
type lineResult struct {
	name      string
	batch     uint32 // number of the batch, from 0
	line      uint32
	status    ResultStatus
	explicit  bool // the amount was given
	account   ledger.Ref
	whole     money.Amount // the line's: pay is positive, collect negative
	amount    money.Amount // what is moved
	fromPaid  money.Amount // of what a customer gives back, what its paid credit gives
	reference string
}

// The status byte of a result: the status in the low bits, and whether the amount was given.
const resultExplicit = 0x80

func (p *lineResult) kind() byte { return kindResult }

func (p *lineResult) append(dst []byte) []byte {
	dst = binary.AppendUvarint(binary.AppendUvarint(appendBytes(dst, p.name), uint64(p.batch)), uint64(p.line))
	flags := byte(p.status)
	if p.explicit {
		flags |= resultExplicit
	}
	dst = appendRef(append(dst, flags), p.account)
	dst = p.fromPaid.AppendBinary(p.amount.AppendBinary(p.whole.AppendBinary(dst)))
	return appendBytes(dst, p.reference)
}

// lineResult decodes what append wrote.
func (r *reader) lineResult() *lineResult {
	p := &lineResult{name: r.str()}
	number, line, flags, account := r.uvarint(), r.uvarint(), r.byte(), r.uvarint()
	p.whole, p.amount, p.fromPaid, p.reference = r.amount(), r.amount(), r.amount(), r.str()
	p.status, p.explicit = ResultStatus(flags&^resultExplicit), flags&resultExplicit != 0
	p.batch, p.line, p.account = uint32(number), uint32(line), ledger.Ref(account)
	if max(number, line, account) > math.MaxUint32 || p.status.String() == "" {
		r.fail()
	}
	return p
}

// content is the hash of what is said of a result: the same again is the same result.
func (p *lineResult) content(seed uint64) uint64 {
	var buf [512]byte
	b := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(buf[:0], p.batch), p.line)
	b = appendBool(append(b, byte(p.status)), p.explicit)
	if p.explicit {
		b = p.amount.AppendBinary(b)
	}
	return xxh3.HashSeed(append(b, p.reference...), seed)
}

// givesBack reports whether the participant gets the amount back.
func (p *lineResult) givesBack() bool { return p.status == ResultFailed || p.status == ResultReturned }

// signed is the amount with the line's sign.
func (p *lineResult) signed() money.Amount {
	if p.whole.Sign() < 0 {
		return p.amount.Neg()
	}
	return p.amount
}

// check says whether the result can be booked as the line stands. The state knows the amount of
// a line only while that is in parts; the record has it.
func (p *lineResult) check(s *state) *refusal.Refusal {
	wrong := func(format string, args ...any) *refusal.Refusal {
		return refusal.New(refusal.Invalid, "invalid_result", format, args...)
	}
	if int(p.batch) >= len(s.batches) || int(p.account) >= len(s.people) {
		return wrong("a result of a batch or an account that is not there")
	}
	b, person := s.batches[p.batch].sealed(), s.people[p.account]
	kind := ledger.Provider
	if p.whole.Sign() < 0 {
		kind = ledger.Customer
	}
	switch {
	case p.line == 0 || p.line > b.lines:
		return wrong("batch %s has no line %d", hexID(b.id), p.line)
	case p.whole.IsZero() || person.Kind != kind || person.Currency != b.currency || person.Root != p.account:
		return wrong("line %d of batch %s is not of %s to account %s", p.line, hexID(b.id), p.whole, person.ID)
	case !s.results.known(p.batch, p.line, p.whole.Abs()):
		return wrong("line %d of batch %s is not of %s", p.line, hexID(b.id), p.whole)
	case p.amount.Sign() <= 0:
		return wrong("a result of %s", p.amount)
	case p.fromPaid != p.takesPaid(s):
		return wrong("the result takes %s from paid credit, the books %s", p.fromPaid, p.takesPaid(s))
	case !s.ledger.FitsResult(b.currency, p.amount, p.givesBack()):
		return overflow()
	}
	parts := s.lineParts(p.batch, p.line, p.whole.Abs())
	left := parts.about(p.status)
	if refused := p.fits(s, p.whole.Abs(), left); refused != nil {
		return refused
	}
	if !p.explicit && p.amount != left {
		return wrong("the result is of all of %s, and moves %s", left, p.amount)
	}
	return s.results.covers(p, s.ledger.Rows.At(uint32(p.account)))
}

func (p *lineResult) apply(s *state) {
	parts := s.lineParts(p.batch, p.line, p.whole.Abs()).moved(p.status, p.amount)
	s.results.put(p, parts)
	if p.givesBack() {
		s.ledger.GiveBack(p.account, p.signed(), p.from())
	} else {
		s.ledger.Settle(p.account, p.signed())
	}
	if p.whole.Sign() < 0 { // what a customer has available changes with what is in transit
		s.watch(p.account)
	}
}

// transfers is empty where no participant is moved: what is paid moves between accounts of the
// operator's.
func (p *lineResult) transfers(t *tables) []transfer {
	if !p.givesBack() {
		return nil
	}
	m := transfer{reason: p.status.String(), id: p.name, batch: hexID(t.batches[p.batch].sealed().id)}
	if p.whole.Sign() > 0 {
		m.debit, m.credit, m.debitClass, m.creditClass, m.amount = ledger.NoRef, p.account, p.from(), ledger.Payable, p.amount
		return []transfer{m}
	}
	var out []transfer
	m.debit, m.credit, m.creditClass = p.account, ledger.NoRef, p.from()
	for _, part := range [...]struct {
		class  ledger.Class
		amount money.Amount
	}{{ledger.Paid, p.fromPaid}, {ledger.Receivable, p.amount.MustSub(p.fromPaid)}} {
		if m.debitClass, m.amount = part.class, part.amount; !part.amount.IsZero() {
			out = append(out, m)
		}
	}
	return out
}
