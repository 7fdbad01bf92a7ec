package export

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/parquet-go/parquet-go"

	"farthing/engine"
	"farthing/money"
)

// parquetRow is a command in Parquet. Amounts are DECIMAL(38,18): everything that a ledger can move fits.
type parquetRow struct {
	Sequence   uint64    `parquet:"sequence"`
	Time       int64     `parquet:"time,timestamp(nanosecond)"`
	End        string    `parquet:"end,dict"`
	Kind       string    `parquet:"kind,dict"`
	Account    *string   `parquet:"account,optional,dict"`
	Source     *string   `parquet:"source,optional,dict"`
	ID         *string   `parquet:"id,optional"`
	EventTime  *int64    `parquet:"event_time,optional,timestamp(nanosecond)"`
	Meter      *string   `parquet:"meter,optional,dict"`
	Dimensions *string   `parquet:"dimensions,optional,dict"`
	Usage      *string   `parquet:"usage,optional"`
	Version    *string   `parquet:"version,optional,dict"`
	Amount     *[16]byte `parquet:"amount,optional,decimal(18:38)"`
	Currency   *string   `parquet:"currency,optional,dict"`
	Unpriced   *string   `parquet:"unpriced,optional,dict"`
	Origin     *uint64   `parquet:"origin,optional"`
	Hold       *string   `parquet:"hold,optional"`
	Window     *uint64   `parquet:"window,optional"`
	Detail     *string   `parquet:"detail,optional"`
	Raw        []byte    `parquet:"raw"`
}

func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// rowOf is a command as a row.
func rowOf(c *engine.ExportedCommand) (parquetRow, error) {
	r := parquetRow{
		Sequence: c.Sequence, Time: c.Time, End: endNames[c.End], Kind: c.Kind, Account: optional(c.Account), Source: optional(c.Source), ID: optional(c.ID),
		Meter: optional(c.Meter), Dimensions: optional(c.Dimensions), Usage: optional(c.Usage), Version: optional(c.Version),
		Currency: optional(c.Currency), Unpriced: optional(c.Unpriced), Origin: optional(c.Origin), Hold: optional(c.Hold), Window: optional(c.Window),
		Detail: optional(c.Detail), Raw: c.Raw,
	}
	if c.EventTime != engine.NoEventTime {
		t := c.EventTime
		r.EventTime = &t
	}
	if c.HasAmount {
		d, err := decimalOf(c.Amount)
		if err != nil {
			return r, fmt.Errorf("sequence %d: %w", c.Sequence, err)
		}
		r.Amount = &d
	}
	return r, nil
}

// decimalMax is 10³⁸ units, the first magnitude that 38 digits do not hold.
var decimalMax = money.FromWords(0x4b3b4ca85a86c47a, 0x098a224000000000)

// decimalOf is an amount as DECIMAL(38,18) has it: its units of 10⁻¹⁸, two's complement, big-endian.
func decimalOf(a money.Amount) (out [16]byte, err error) {
	if a.Abs().Cmp(decimalMax) >= 0 {
		return out, fmt.Errorf("amount %s has more than 38 digits", a)
	}
	hi, lo := a.Words()
	binary.BigEndian.PutUint64(out[:], uint64(hi))
	binary.BigEndian.PutUint64(out[8:], lo)
	return out, nil
}

// rowGroupRows and rowGroupBytes bound a row group, which is what a writer and a reader hold in memory.
const (
	rowGroupRows  = 128 << 10
	rowGroupBytes = 32 << 20 // of commands' bytes
)

// parquetWriter writes commands. It is an error to go on after one.
type parquetWriter struct {
	w     *parquet.GenericWriter[parquetRow]
	batch []parquetRow
	bytes int
	rows  int
}

func newParquetWriter(w io.Writer) *parquetWriter {
	return &parquetWriter{w: parquet.NewGenericWriter[parquetRow](w, parquet.Compression(&parquet.Zstd), parquet.CreatedBy("farthing", "1", ""))}
}

func (p *parquetWriter) write(c *engine.ExportedCommand) error {
	r, err := rowOf(c)
	if err != nil {
		return err
	}
	r.Raw = append([]byte(nil), r.Raw...)
	p.batch = append(p.batch, r)
	p.bytes += len(r.Raw)
	if len(p.batch) < 1024 && p.bytes < rowGroupBytes {
		return nil
	}
	return p.flush(p.rows+len(p.batch) >= rowGroupRows || p.bytes >= rowGroupBytes)
}

// flush hands the batch over, and ends the row group if group says so.
func (p *parquetWriter) flush(group bool) error {
	if _, err := p.w.Write(p.batch); err != nil {
		return err
	}
	p.rows += len(p.batch)
	p.batch = p.batch[:0]
	if !group {
		return nil
	}
	p.rows, p.bytes = 0, 0
	return p.w.Flush()
}

func (p *parquetWriter) close() error {
	if err := p.flush(false); err != nil {
		return err
	}
	return p.w.Close()
}

// parquetReader reads commands.
type parquetReader struct {
	r    *parquet.GenericReader[parquetRow]
	rows []parquetRow
	at   int
	end  bool
}

// newParquetReader opens a file. The library may panic on a file that it did not write; to us that is a damaged file.
func newParquetReader(f *os.File, size int64) (out *parquetReader, err error) {
	defer recovered(&err)
	file, err := parquet.OpenFile(f, size, parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	if want := parquet.SchemaOf(parquetRow{}); file.Schema().String() != want.String() {
		return nil, errors.New("its columns are not those of an export")
	}
	return &parquetReader{r: parquet.NewGenericReader[parquetRow](file), rows: make([]parquetRow, 0, 256)}, nil
}

func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("it is no Parquet file that can be read: %v", r)
	}
}

func (p *parquetReader) next() (row, error) {
	if p.at == len(p.rows) {
		if err := p.fill(); err != nil {
			return row{}, err
		}
	}
	c := p.rows[p.at]
	p.at++
	r := row{sequence: c.Sequence, time: c.Time, raw: c.Raw, columns: c}
	for i, name := range endNames {
		if name == c.End {
			r.end = engine.BlockEnd(i)
			return r, nil
		}
	}
	return row{}, fmt.Errorf("sequence %d ends with %q", c.Sequence, c.End)
}

func (p *parquetReader) fill() (err error) {
	defer recovered(&err)
	if p.end {
		return io.EOF
	}
	fresh := make([]parquetRow, cap(p.rows)) // rows of a block are kept until it is complete
	n, err := p.r.Read(fresh)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	p.end = err != nil
	p.rows, p.at = fresh[:n], 0
	if n == 0 {
		p.end = true
		return io.EOF
	}
	return nil
}

func (*parquetReader) same(r *row, c *engine.ExportedCommand) bool {
	want, err := rowOf(c)
	if err != nil {
		return false
	}
	got := &r.columns
	return got.Sequence == want.Sequence && got.Time == want.Time && got.End == want.End && got.Kind == want.Kind &&
		string(got.Raw) == string(want.Raw) && samePointers(got, &want)
}

func samePointers(a, b *parquetRow) bool {
	return eq(a.Account, b.Account) && eq(a.Source, b.Source) && eq(a.ID, b.ID) && eq(a.EventTime, b.EventTime) && eq(a.Meter, b.Meter) &&
		eq(a.Dimensions, b.Dimensions) && eq(a.Usage, b.Usage) && eq(a.Version, b.Version) && eq(a.Amount, b.Amount) && eq(a.Currency, b.Currency) &&
		eq(a.Unpriced, b.Unpriced) && eq(a.Origin, b.Origin) && eq(a.Hold, b.Hold) && eq(a.Window, b.Window) && eq(a.Detail, b.Detail)
}

func eq[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
