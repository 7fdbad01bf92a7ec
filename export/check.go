package export

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"farthing/engine"
	"farthing/journal"
)

// CheckOptions says what to check.
type CheckOptions struct {
	Dir string
	// Progress is told how many commands of how many are done; may be nil.
	Progress func(done, total uint64)
}

// Report is what was found to be in order.
type Report struct {
	Ledger      string
	Partition   uint32
	Parts       uint64
	First, Last uint64
	Commands    uint64
	Blocks      uint64
	Rows        uint64
	Head        string // hash of the last block, hex
	Manifest    string // hash of the last manifest, hex
}

// Check proves that an export is whole. The error names the first file that is not, and the sequence. It does not need the parts before the first that is
// there: names say what that refers to. That amounts and balances are right, Import proves.
func Check(ctx context.Context, o CheckOptions) (Report, error) {
	r := &reader{ctx: ctx, dir: o.Dir, progress: o.Progress}
	err := r.run(false)
	return r.report, err
}

// ImportOptions says what to import where to.
type ImportOptions struct {
	Dir  string
	Data journal.Options // its Dir is the data directory to be, absent or empty
	// Progress is told how many commands of how many are read, Verifying then how many are derived anew; may be nil.
	Progress, Verifying func(done, total uint64)
}

// Import makes a ledger of an export: equal to the one that was exported, to the last hash. Everything is checked as Check does, and then
// derived anew from the journal as Verify does. After an error there is no ledger.
func Import(ctx context.Context, o ImportOptions) (engine.VerifyReport, error) {
	in, err := engine.NewImporter(o.Data)
	if err != nil {
		return engine.VerifyReport{}, err
	}
	r := &reader{ctx: ctx, dir: o.Dir, progress: o.Progress, in: in}
	if err := r.run(true); err != nil {
		return engine.VerifyReport{}, errors.Join(err, in.Abort())
	}
	return in.Finish(o.Verifying)
}

// reader goes over an export, part by part.
type reader struct {
	ctx      context.Context
	dir      string
	progress func(done, total uint64)
	in       *engine.Importer                                         // nil: it is checked only
	see      func(*engine.ExportNames, *engine.ExportedCommand) error // is shown every command that is right; may be nil
	names    *engine.ExportNames
	head     journal.Hash
	time     int64
	total    uint64
	report   Report
}

func (r *reader) run(fromStart bool) error {
	parts, err := list(r.dir)
	if err != nil {
		return err
	}
	if len(parts) == 0 {
		return fmt.Errorf("%s holds no part of an export", r.dir)
	}
	if fromStart && parts[0].First != 1 {
		return fmt.Errorf("%s: it begins at sequence %d, the part with sequence 1 is missing", parts[0].stem(), parts[0].First)
	}
	last := parts[len(parts)-1]
	r.total = last.Last
	r.report = Report{Ledger: last.Ledger, Partition: last.Partition, First: parts[0].First, Last: last.Last}
	progress, err := readProgress(r.dir)
	if err != nil {
		return err
	}
	for i, m := range parts {
		if i > 0 {
			err = cmpFollows(parts[i-1], m)
		} else if m.First == 1 {
			err = cmpFollows(nil, m)
		}
		if err == nil {
			err = r.part(m)
		}
		if err != nil {
			return err
		}
	}
	if err := progress.belongs(parts); err != nil {
		return err
	}
	h := last.hash()
	r.report.Head, r.report.Manifest = hex.EncodeToString(r.head[:]), hex.EncodeToString(h[:])
	if r.in == nil {
		return nil
	}
	return progress.each(r.in.Row)
}

// part reads a part whose manifest follows the one before.
func (r *reader) part(m *Manifest) error {
	if err := m.whole(r.ctx, r.dir); err != nil {
		return err
	}
	if err := r.learn(m); err != nil {
		return err
	}
	p := &partReader{r: r, m: m, rows: engine.NewRowCheck()}
	if err := p.commands(); err != nil {
		return fmt.Errorf("%s: %w", m.fileName(roleCommands), err)
	}
	if err := p.storedRows(); err != nil {
		return fmt.Errorf("%s: sequences %d to %d: %w", m.fileName(roleRows), m.First, m.Last, err)
	}
	r.report.Parts++
	r.report.Commands += m.Commands
	r.report.Blocks += m.Blocks
	return nil
}

// learn takes the names before a part. Where they are known from the parts before, they have to be the same.
func (r *reader) learn(m *Manifest) error {
	if m.First == 1 {
		r.names = engine.NewExportNames()
		return nil
	}
	file := m.file(roleNames)
	fresh := r.names == nil
	var known [][]byte
	if fresh {
		r.names = engine.NewExportNames()
		b, err := hex.DecodeString(m.PreviousHash)
		copy(r.head[:], b)
		if err != nil {
			return err
		}
	} else if err := r.names.Names(func(raw []byte) error { known = append(known, append([]byte(nil), raw...)); return nil }); err != nil {
		return err
	}
	n := 0
	rows, err := eachLine(filepath.Join(r.dir, file.Name), func(line []byte) error {
		raw, err := parseName(line)
		if err != nil {
			return err
		}
		n++
		if fresh {
			return r.names.Name(raw)
		}
		if n > len(known) || string(known[n-1]) != string(raw) {
			return fmt.Errorf("name %d is not the one that the history gave", n)
		}
		return nil
	})
	if err == nil && (rows != file.Rows || (!fresh && n != len(known))) {
		err = fmt.Errorf("%d names, the manifest says %d, the history %d", rows, file.Rows, len(known))
	}
	if err != nil {
		return fmt.Errorf("%s: sequence %d: %w", file.Name, m.First, err)
	}
	return nil
}

// partReader reads one part.
type partReader struct {
	r      *reader
	m      *Manifest
	src    rowReader
	rows   *engine.RowCheck
	block  []row // of the block under way
	next   uint64
	blocks uint64
}

// rowReader reads the commands of a file in order.
type rowReader interface {
	next() (row, error) // io.EOF behind the last
	same(r *row, c *engine.ExportedCommand) bool
}

func (p *partReader) commands() error {
	f, err := os.Open(filepath.Join(p.r.dir, p.m.fileName(roleCommands)))
	if err != nil {
		return err
	}
	defer f.Close()
	if p.m.Encoding == Parquet {
		p.src, err = newParquetReader(f, p.m.file(roleCommands).Bytes)
	} else {
		var l *lines
		l, err = newLines(f)
		p.src = ndjsonReader{l}
	}
	if err != nil {
		return fmt.Errorf("sequence %d: %w", p.m.First, err)
	}
	p.next = p.m.First
	final := false
	for {
		err := p.readBlock(&final)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	return p.end(final)
}

// end compares the part with its manifest.
func (p *partReader) end(final bool) error {
	settlements, notices := p.r.names.Streams()
	ledger, partition := p.r.names.Ledger()
	m := p.m
	switch {
	case p.next != m.Last+1:
		return fmt.Errorf("sequence %d: the commands end before the manifest says, at %d", p.next, m.Last)
	case !final:
		return fmt.Errorf("sequence %d: the part ends within a group", m.Last)
	case hex.EncodeToString(p.r.head[:]) != m.LastHash:
		return fmt.Errorf("sequence %d: the chain ends with %x, the manifest says %s", m.Last, p.r.head, m.LastHash)
	case p.blocks != m.Blocks || timeText(p.r.time) != m.LastTime || m.file(roleCommands).Rows != m.Commands:
		return fmt.Errorf("sequence %d: blocks, rows or time are not those of the manifest", m.Last)
	case settlements != m.Settlements && p.r.report.First == 1, notices != m.Notices && p.r.report.First == 1:
		return fmt.Errorf("sequence %d: %d records and %d notifications up to here, the manifest says %d and %d", m.Last, settlements, notices, m.Settlements, m.Notices)
	case ledger != m.Ledger || partition != m.Partition:
		return fmt.Errorf("sequence %d: it is of ledger %s, partition %d", m.First, ledger, partition)
	}
	return nil
}

// readBlock reads the rows of a block, makes the block of their bytes, and compares every row with what the bytes say.
func (p *partReader) readBlock(final *bool) error {
	if err := p.r.ctx.Err(); err != nil {
		return err
	}
	b := journal.Block{First: p.next, Prev: p.r.head}
	p.block = p.block[:0]
	for end := engine.EndNothing; end == engine.EndNothing; p.next++ {
		c, err := p.src.next()
		switch {
		case errors.Is(err, io.EOF) && len(p.block) == 0:
			return io.EOF
		case err != nil:
			return fmt.Errorf("sequence %d: %w", p.next, err)
		case c.sequence != p.next || p.next > p.m.Last:
			return fmt.Errorf("sequence %d: the next command is %d", p.next, c.sequence)
		case len(p.block) > 0 && c.time != b.Time || c.time < p.r.time:
			return fmt.Errorf("sequence %d: its time is not that of its group", p.next)
		case len(b.Body)+len(c.raw) > journal.BodyBytesMax:
			return fmt.Errorf("sequence %d: its block is larger than %d bytes", p.next, journal.BodyBytesMax)
		}
		b.Last, b.Time, end = c.sequence, c.time, c.end
		b.Final = end == engine.EndGroup
		b.Body = append(b.Body, c.raw...)
		p.block = append(p.block, c)
	}
	*final = b.Final
	return p.take(&b)
}

func (p *partReader) take(b *journal.Block) error {
	if p.blocks == 0 && timeText(b.Time) != p.m.FirstTime {
		return fmt.Errorf("sequence %d: its time is not that of the manifest", b.First)
	}
	n := 0
	err := p.r.names.Block(b, func(c *engine.ExportedCommand) error {
		if n >= len(p.block) || !p.src.same(&p.block[n], c) {
			return fmt.Errorf("sequence %d: its columns are not what its bytes say", c.Sequence)
		}
		n++
		if err := p.rows.Block(c); err != nil || p.r.see == nil {
			return err
		}
		return p.r.see(p.r.names, c)
	})
	if err != nil {
		return err
	}
	b.Hash = blockHash(b)
	p.blocks++
	p.r.head, p.r.time = b.Hash, b.Time
	if p.r.progress != nil {
		p.r.progress(b.Last, p.r.total)
	}
	if p.r.in == nil {
		return nil
	}
	return p.r.in.Block(b)
}

// storedRows reads the rows of the windows that the part seals.
func (p *partReader) storedRows() error {
	file := p.m.file(roleRows)
	n, err := eachLine(filepath.Join(p.r.dir, file.Name), func(line []byte) error {
		row, err := parseRow(line)
		if err == nil {
			err = p.rows.Row(row)
		}
		if err != nil || p.r.in == nil {
			return err
		}
		return p.r.in.Row(row)
	})
	if err == nil && n != file.Rows {
		err = fmt.Errorf("%d rows, the manifest says %d", n, file.Rows)
	}
	if err == nil {
		err = p.rows.End()
	}
	p.r.report.Rows += n
	return err
}
