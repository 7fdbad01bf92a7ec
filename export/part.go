package export

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"

	"farthing/engine"
	"farthing/journal"
)

// partWriter writes one part. Its files have names that tell its end, so they are temporary until that is known.
type partWriter struct {
	dir      string
	m        Manifest
	commands interface {
		write(c *engine.ExportedCommand) error
		close() error
	}
	file  *outFile // of the commands
	lines *zipped  // the same, of NDJSON
	names *zipped  // nil: the part begins with the history
	rows  *zipped
	line  []byte
	bytes int64 // of commands
}

// newPart begins a part with the block after the given manifest, nil if it is the first.
func newPart(dir string, e Encoding, names *engine.ExportNames, b *journal.Block, after *Manifest) (*partWriter, error) {
	p := &partWriter{dir: dir, m: Manifest{Format: formatName, Version: formatVersion, Encoding: e, First: b.First, FirstTime: timeText(b.Time),
		PreviousHash: hex.EncodeToString(b.Prev[:])}}
	if after != nil {
		h := after.hash()
		p.m.PreviousPart = hex.EncodeToString(h[:])
	}
	err := p.open(names)
	if err != nil {
		p.discard()
		return nil, err
	}
	return p, nil
}

func (p *partWriter) open(names *engine.ExportNames) (err error) {
	path := func(role string) string { return filepath.Join(p.dir, partPrefix+role) }
	if p.m.Encoding == Parquet {
		if p.file, err = create(path(roleCommands)); err != nil {
			return err
		}
		p.commands = newParquetWriter(p.file)
	} else {
		if p.lines, err = createZipped(path(roleCommands)); err != nil {
			return err
		}
		p.file, p.commands = p.lines.outFile, ndjsonWriter{p}
	}
	if p.rows, err = createZipped(path(roleRows)); err != nil || p.m.First == 1 {
		return err
	}
	if p.names, err = createZipped(path(roleNames)); err != nil {
		return err
	}
	return names.Names(func(raw []byte) error {
		p.line = appendName(p.line[:0], raw)
		return p.names.line(p.line)
	})
}

// ndjsonWriter writes commands as lines.
type ndjsonWriter struct{ p *partWriter }

func (w ndjsonWriter) write(c *engine.ExportedCommand) error {
	w.p.line = appendCommand(w.p.line[:0], c)
	return w.p.lines.line(w.p.line)
}

func (w ndjsonWriter) close() error { return w.p.lines.z.Close() }

func (p *partWriter) command(c *engine.ExportedCommand) error {
	p.m.Commands++
	p.bytes += int64(len(c.Raw))
	return p.commands.write(c)
}

func (p *partWriter) row(r *engine.ExportedRow) error {
	p.line = appendRow(p.line[:0], r)
	return p.rows.line(p.line)
}

// block ends a block.
func (p *partWriter) block(b *journal.Block) {
	p.m.Blocks++
	p.m.Last, p.m.LastTime, p.m.LastHash = b.Last, timeText(b.Time), hex.EncodeToString(b.Hash[:])
}

// finish makes the part durable; its manifest comes last.
func (p *partWriter) finish(names *engine.ExportNames) (*Manifest, error) {
	p.m.Ledger, p.m.Partition = names.Ledger()
	p.m.Settlements, p.m.Notices = names.Streams()
	err := p.commands.close()
	add := func(role string, finish func(*File) error) {
		f := File{Role: role, Name: p.m.fileName(role)}
		err = errors.Join(err, finish(&f))
		if role == roleCommands {
			f.Rows = p.m.Commands
		}
		p.m.Files = append(p.m.Files, f)
	}
	add(roleCommands, p.file.finish)
	if p.names != nil {
		add(roleNames, p.names.finish)
	}
	add(roleRows, p.rows.finish)
	if err == nil {
		err = errors.Join(p.m.validate(), syncDir(p.dir))
	}
	if err == nil {
		err = p.intend()
	}
	if err != nil {
		p.discard()
		return nil, err
	}
	return &p.m, nameFiles(p.dir, &p.m)
}

// intend writes the manifest under its temporary name: from then on the files get their names, if not now then by the next export.
func (p *partWriter) intend() error {
	path := filepath.Join(p.dir, p.m.stem()+manifestSuffix+tempSuffix)
	err := writeSynced(path, p.m.encode())
	if err == nil {
		err = syncDir(p.dir)
	}
	if err != nil {
		_ = os.Remove(path) // else the next export finds that it names nothing
	}
	return err
}

// discard removes what is there of a part that is given up.
func (p *partWriter) discard() {
	if p.file != nil {
		p.file.discard()
	}
	for _, z := range []*zipped{p.names, p.rows} {
		if z != nil {
			z.discard()
		}
	}
}
