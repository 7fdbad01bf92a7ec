package engine

import (
	"encoding/binary"
	"fmt"

	"farthing/ledger"
	"farthing/money"
)

// formatVersion is the version of the commands and checkpoints. A journal with another one
// is refused by name. 2: amendments, counters and the list of unpriced events. 3: credit and holds.
// 4: results of lines, signatures, tiles of evidence. 5: merged runs, what is forgotten.
const formatVersion = 5

// genesis is the first command of every ledger.
type genesis struct {
	version   uint64
	ledgerID  string
	partition uint32
	seed      uint64 // of all hashes of identities and shapes
}

func (g *genesis) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, g.version)
	dst = appendBytes(dst, g.ledgerID)
	dst = binary.AppendUvarint(dst, uint64(g.partition))
	return binary.LittleEndian.AppendUint64(dst, g.seed)
}

func parseGenesis(p []byte) (genesis, error) {
	g, rest, err := cutGenesis(p)
	if err == nil && len(rest) != 0 {
		err = errCodec
	}
	return g, err
}

// cutGenesis decodes a genesis and returns the bytes after it.
func cutGenesis(p []byte) (g genesis, rest []byte, err error) {
	r := reader{p: p}
	g.version = r.uvarint()
	if !r.bad && g.version != formatVersion {
		return g, nil, fmt.Errorf("the journal has format %d, this program reads %d", g.version, formatVersion)
	}
	g.ledgerID = r.str()
	g.partition = uint32(r.uvarint())
	if seed := r.take(8); seed != nil {
		g.seed = binary.LittleEndian.Uint64(seed)
	}
	if r.bad {
		return g, nil, errCodec
	}
	return g, r.p, nil
}

func appendParticipant(dst []byte, p *ledger.Participant) []byte {
	dst = appendBytes(dst, p.ID)
	dst = append(dst, p.Currency.Code()...)
	dst = append(dst, byte(p.Kind), byte(p.Billing))
	dst = appendBool(dst, p.Unlimited)
	dst = p.OverdraftLimit.AppendBinary(dst)
	dst = p.MinimumPayout.AppendBinary(dst)
	dst = appendBytes(dst, p.Metadata)
	dst = appendBytes(dst, p.Owner)
	return binary.AppendUvarint(dst, uint64(p.Parent+1)) // NoRef is 0
}

func (r *reader) participant() *ledger.Participant {
	p := &ledger.Participant{ID: r.str(), Currency: r.currency(), Kind: ledger.Kind(r.byte()), Billing: ledger.Billing(r.byte()),
		Unlimited: r.bool(), OverdraftLimit: r.amount(), MinimumPayout: r.amount(), Metadata: r.str(), Owner: r.str()}
	p.Parent = ledger.Ref(r.uvarint()) - 1
	return p
}

// topUp is a booked top-up; its id is used for ever.
type topUp struct {
	id        string
	account   ledger.Ref
	amount    money.Amount
	reference string
	posted    money.Amount // the account's, right after it
	seq       uint64
	time      int64
}

func (t *topUp) append(dst []byte) []byte {
	dst = appendBytes(dst, t.id)
	dst = binary.AppendUvarint(dst, uint64(t.account))
	dst = t.amount.AppendBinary(dst)
	return appendBytes(dst, t.reference)
}

func (r *reader) topUp() *topUp {
	return &topUp{id: r.str(), account: ledger.Ref(r.uvarint()), amount: r.amount(), reference: r.str()}
}

// cutCommand closes a window at its own sequence.
type cutCommand struct {
	window uint64
	id     string // of the request; empty when the timer closed it
	want   uint64 // the window the request named; 0: none
}

func (c *cutCommand) append(dst []byte) []byte {
	dst = appendBytes(binary.AppendUvarint(dst, c.window), c.id)
	return binary.AppendUvarint(dst, c.want)
}

func (r *reader) cut() cutCommand {
	return cutCommand{window: r.uvarint(), id: r.str(), want: r.uvarint()}
}

// closingSlice is a journaled slice of a batch's lines: what each pays or is paid.
type closingSlice struct {
	window   uint64
	currency money.Currency
	first    uint32 // number of its first line
	lines    []closingLine
}

type closingLine struct {
	account ledger.Ref
	signed  money.Amount // pay is positive, collect negative
	carried money.Amount // carried_out
}

func (c *closingSlice) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, c.window)
	dst = append(dst, c.currency.Code()...)
	dst = binary.AppendUvarint(dst, uint64(c.first))
	dst = binary.AppendUvarint(dst, uint64(len(c.lines)))
	for i := range c.lines {
		l := &c.lines[i]
		dst = binary.AppendUvarint(dst, uint64(l.account))
		dst = l.signed.AppendBinary(dst)
		dst = l.carried.AppendBinary(dst)
	}
	return dst
}

func (r *reader) closing() *closingSlice {
	c := &closingSlice{window: r.uvarint(), currency: r.currency(), first: uint32(r.uvarint())}
	n := r.uvarint()
	if n > uint64(len(r.p)) { // a line takes at least three bytes
		r.fail()
		return c
	}
	c.lines = make([]closingLine, 0, n)
	for range n {
		c.lines = append(c.lines, closingLine{ledger.Ref(r.uvarint()), r.amount(), r.amount()})
	}
	return c
}

// window is a closed window and what became of it.
type window struct {
	number  uint64
	first   uint64 // sequence of its first command
	cut     uint64 // sequence it closes at
	time    int64  // of the cut
	id      string // of the request that closed it, or empty
	want    uint64 // the window that request named; 0: none
	sealed  uint64 // sequence of the seal
	batches []sealedBatch
}

// sealedBatch is one batch of a window.
type sealedBatch struct {
	id          [32]byte
	hash        [32]byte // of its manifest
	currency    money.Currency
	lines       uint32
	pays        uint32 // lines that pay
	collects    uint32 // lines that collect
	events      uint64
	paid        money.Amount
	collected   money.Amount
	firstStream uint64 // stream_seq of its first line; the manifest follows its last
	key         uint64 // number of the key that signed the manifest, from 1; 0: it is not signed
	signature   [64]byte
}

// lastStream is the stream_seq of the batch's manifest.
func (b *sealedBatch) lastStream() uint64 { return b.firstStream + uint64(b.lines) }

// sealCommand seals a window.
type sealCommand struct {
	window  uint64
	batches []sealedBatch
}

func (c *sealCommand) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, c.window)
	dst = binary.AppendUvarint(dst, uint64(len(c.batches)))
	for i := range c.batches {
		dst = c.batches[i].append(dst)
	}
	return dst
}

func (r *reader) seal() sealCommand {
	c := sealCommand{window: r.uvarint()}
	c.batches = r.batches()
	return c
}

func (b *sealedBatch) append(dst []byte) []byte {
	dst = append(dst, b.id[:]...)
	dst = append(dst, b.hash[:]...)
	dst = append(dst, b.currency.Code()...)
	for _, n := range [...]uint64{uint64(b.lines), uint64(b.pays), uint64(b.collects), b.events} {
		dst = binary.AppendUvarint(dst, n)
	}
	dst = b.paid.AppendBinary(dst)
	dst = b.collected.AppendBinary(dst)
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, b.firstStream), b.key)
	if b.key != 0 {
		dst = append(dst, b.signature[:]...)
	}
	return dst
}

func (r *reader) batches() []sealedBatch {
	n := r.uvarint()
	if n > uint64(len(r.p)) {
		r.fail()
		return nil
	}
	out := make([]sealedBatch, 0, n)
	for range n {
		b := sealedBatch{id: r.hash(), hash: r.hash(), currency: r.currency(), lines: uint32(r.uvarint()), pays: uint32(r.uvarint()),
			collects: uint32(r.uvarint()), events: r.uvarint(), paid: r.amount(), collected: r.amount(), firstStream: r.uvarint(), key: r.uvarint()}
		if b.key != 0 {
			copy(b.signature[:], r.take(uint64(len(b.signature))))
		}
		out = append(out, b)
	}
	return out
}

// append writes a sealed window for a checkpoint.
func (w *window) append(dst []byte) []byte {
	for _, n := range [...]uint64{w.number, w.first, w.cut, uint64(w.time), w.sealed, w.want} {
		dst = binary.AppendUvarint(dst, n)
	}
	dst = appendBytes(dst, w.id)
	c := sealCommand{window: w.number, batches: w.batches}
	return c.append(dst)
}

func (r *reader) window() *window {
	w := &window{number: r.uvarint(), first: r.uvarint(), cut: r.uvarint(), time: int64(r.uvarint()), sealed: r.uvarint(), want: r.uvarint(),
		id: r.str()}
	w.batches = r.seal().batches
	return w
}
