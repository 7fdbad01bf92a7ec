package engine

import (
	"fmt"

	"farthing/journal"
	"farthing/ledger"
	"farthing/money"
)

// BlockEnd says what ends with a command.
type BlockEnd uint8

// What may end with a command.
const (
	EndNothing BlockEnd = iota
	EndBlock
	EndGroup // and with it the block
)

// ExportedCommand is a command of the journal as exports show it: where it stands, its exact bytes, and what they say
// in words that need no other command. Its bytes, and what points to them, are valid until the next one.
type ExportedCommand struct {
	Sequence uint64
	Time     int64 // of its group, nanoseconds since the Unix epoch
	End      BlockEnd
	Raw      []byte // the command, kind byte and all
	CommandColumns
}

// CommandColumns is what a command says. A field that a kind of command does not have is empty. docs/export.md has the
// list by kind.
type CommandColumns struct {
	Kind       string
	Account    string
	Source, ID string
	EventTime  int64 // nanoseconds since the Unix epoch; NoEventTime: none
	Meter      string
	Dimensions string // a JSON object of texts, sorted by key
	Usage      string // a JSON object of decimals as texts, in the order of the shape: by component
	Version    string
	Amount     money.Amount
	HasAmount  bool
	Currency   string // three letters
	Unpriced   string // why an event has no price
	Origin     uint64 // sequence of the event that an amendment is of
	Hold       string
	Window     uint64
	Detail     string // a JSON object of what else a kind has to say
}

// NoEventTime is the EventTime of a command that has none.
const NoEventTime = -1 << 63

// ExportNames is what the numbers in commands stand for: accounts, sources, shapes and price versions, as they were given in the commands before. It reads
// blocks in order and learns from them. It belongs to one goroutine.
type ExportNames struct {
	p     replayer // only its state, of which only the tables of names are kept
	cols  columns
	known bool // there was a genesis

	ledgerID  string
	partition uint32

	// How far the streams are after the last command.
	stream, notices uint64
	sealed          []exportedSeal // by the last block
}

// exportedSeal is a sealed window: its rows go with the command.
type exportedSeal struct {
	window  uint64
	batches [][32]byte
}

// NewExportNames knows nothing: the first command it reads must be a genesis.
func NewExportNames() *ExportNames { return &ExportNames{} }

// Ledger is the ledger's id and partition; empty before the genesis.
func (n *ExportNames) Ledger() (id string, partition uint32) { return n.ledgerID, n.partition }

// Streams is the last stream_seq sealed and the last notification so far.
func (n *ExportNames) Streams() (settlements, notifications uint64) { return n.stream, n.notices }

// ResumeStreams sets what Streams tells where names were learned with Name alone.
func (n *ExportNames) ResumeStreams(settlements, notifications uint64) {
	n.stream, n.notices = settlements, notifications
}

// Block decodes the commands of a block and calls fn with each; fn may be nil. A body that does not decode is an error that names
// the sequence. Hashes are not looked at.
func (n *ExportNames) Block(b *journal.Block, fn func(*ExportedCommand) error) error {
	body := b.Body
	seq := b.First
	n.sealed = n.sealed[:0]
	if b.First == 1 {
		raw, err := n.genesis(b)
		if err != nil {
			return err
		}
		out := ExportedCommand{Sequence: 1, Time: b.Time, Raw: raw, CommandColumns: n.cols.genesis(n.p.state)}
		if err := n.give(&out, b, fn); err != nil {
			return err
		}
		body, seq = body[len(raw):], 2
	}
	if !n.known {
		return fmt.Errorf("sequence %d: there is no genesis before it", b.First)
	}
	c := &n.p.cur
	c.reset(body, seq, b.Time, &n.p.state.tables)
	for at := len(body); c.next(); at = len(c.r.p) {
		out := ExportedCommand{Sequence: c.seq, Time: b.Time, Raw: body[len(body)-at : len(body)-len(c.r.p)]}
		n.p.state.seq, n.p.state.time = c.seq, b.Time
		err := n.learn(c)
		if err == nil && fn != nil {
			out.CommandColumns, err = n.cols.of(c)
		}
		if err != nil {
			return fmt.Errorf("sequence %d: %w", c.seq, err)
		}
		if err := n.give(&out, b, fn); err != nil {
			return err
		}
	}
	if err := c.err(); err != nil {
		return err
	}
	if c.seq != b.Last {
		return fmt.Errorf("sequence %d: the block ends at %d, its commands at %d", b.First, b.Last, c.seq)
	}
	return nil
}

func (n *ExportNames) give(c *ExportedCommand, b *journal.Block, fn func(*ExportedCommand) error) error {
	switch {
	case fn == nil:
		return nil
	case c.Sequence != b.Last:
	case b.Final:
		c.End = EndGroup
	default:
		c.End = EndBlock
	}
	return fn(c)
}

func (n *ExportNames) genesis(b *journal.Block) (raw []byte, err error) {
	if n.known {
		return nil, fmt.Errorf("sequence 1: a second genesis")
	}
	r := reader{p: b.Body}
	kind, payload := r.byte(), r.bytes()
	if r.bad || kind != kindGenesis {
		return nil, fmt.Errorf("sequence 1: it is no genesis")
	}
	if err := n.begin(payload); err != nil {
		return nil, fmt.Errorf("sequence 1: %w", err)
	}
	return b.Body[:len(b.Body)-len(r.p)], nil
}

func (n *ExportNames) begin(payload []byte) error {
	g, err := parseGenesis(payload)
	if err != nil {
		return err
	}
	n.p.state, n.known = newState(g), true
	n.p.state.loose = true
	n.ledgerID, n.partition = g.ledgerID, g.partition
	return nil
}

// learn takes what a command names, and where the streams are after it.
func (n *ExportNames) learn(c *cursor) error {
	if c.isEvent() {
		return nil
	}
	r := reader{p: c.payload}
	switch c.kind {
	case kindSource, kindShape, kindAccount, kindPrices:
		return n.name(c.kind, c.payload)
	case kindGenesis:
		return fmt.Errorf("a second genesis")
	case kindNotice:
		n.notices = r.notice().number
	case kindExpire:
		n.notices += uint64(len(r.expiry().holds))
	case kindSeal:
		seal := r.seal()
		s := exportedSeal{window: seal.window}
		for i := range seal.batches {
			n.stream = seal.batches[i].lastStream()
			s.batches = append(s.batches, seal.batches[i].id)
		}
		n.sealed = append(n.sealed, s)
	default:
		return nil
	}
	return r.end()
}

// name takes a command that names something. The checks are those of a replay.
func (n *ExportNames) name(kind byte, payload []byte) error {
	s := n.p.state
	r := reader{p: payload}
	switch kind {
	case kindSource:
		s.applySource(append([]byte(nil), payload...))
	case kindShape:
		_, err := s.applyShape(string(payload))
		return err
	case kindAccount:
		return n.p.applyAccount(&r)
	case kindPrices:
		return n.p.applyPrices(&r)
	default:
		return fmt.Errorf("command %#02x names nothing", kind)
	}
	return nil
}

// Name takes one command that Names gave.
func (n *ExportNames) Name(raw []byte) error {
	r := reader{p: raw}
	kind, payload := r.byte(), r.bytes()
	if err := r.end(); err != nil {
		return err
	}
	if kind == kindGenesis && !n.known {
		return n.begin(payload)
	}
	if !n.known {
		return fmt.Errorf("it does not begin with a genesis")
	}
	return n.name(kind, payload)
}

// Names calls fn with the commands that, in this order, make these names: what a reader has to know who begins
// in the middle of the history.
func (n *ExportNames) Names(fn func(raw []byte) error) error {
	if !n.known {
		return fmt.Errorf("there are no names yet")
	}
	var buf, payload []byte
	give := func(kind byte) error {
		buf = appendBytes(append(buf[:0], kind), payload)
		return fn(buf)
	}
	s := n.p.state
	payload = s.genesis.append(nil)
	err := give(kindGenesis)
	for i := 1; i < len(s.sources) && err == nil; i++ {
		payload = append(payload[:0], s.sources[i]...)
		err = give(kindSource)
	}
	for i := 0; i < len(s.people) && err == nil; i++ {
		if s.people[i].Kind != ledger.Operator { // the first account of a currency brings its own
			payload = appendParticipant(payload[:0], s.people[i])
			err = give(kindAccount)
		}
	}
	for i := 0; i < len(s.shapes) && err == nil; i++ {
		payload = append(payload[:0], s.shapes[i].raw...)
		err = give(kindShape)
	}
	for i := 0; i < len(s.versions) && err == nil; i++ {
		v := s.versions[i].Version
		payload = appendBytes(appendBytes(payload[:0], v.ID), v.Canonical)
		err = give(kindPrices)
	}
	return err
}
