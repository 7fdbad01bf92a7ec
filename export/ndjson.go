package export

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"farthing/engine"
)

// lineMax bounds a line: the largest command in base64 and as much again for what it says.
const lineMax = 48 << 20

// endNames are the values of "end".
var endNames = [...]string{engine.EndNothing: "", engine.EndBlock: "block", engine.EndGroup: "group"}

// appendCommand writes a command as a line. Fields that are empty are left out; their order is fixed.
func appendCommand(b []byte, c *engine.ExportedCommand) []byte {
	b = strconv.AppendUint(append(b, `{"sequence":`...), c.Sequence, 10)
	b = append(b, `,"time":"`...)
	b = append(time.Unix(0, c.Time).UTC().AppendFormat(b, time.RFC3339Nano), '"')
	b = appendField(b, "end", endNames[c.End])
	b = appendField(b, "kind", c.Kind)
	b = appendField(b, "account", c.Account)
	b = appendField(b, "source", c.Source)
	b = appendField(b, "id", c.ID)
	if c.EventTime != engine.NoEventTime {
		b = appendField(b, "event_time", timeText(c.EventTime))
	}
	b = appendField(b, "meter", c.Meter)
	b = appendJSON(b, "dimensions", c.Dimensions)
	b = appendJSON(b, "usage", c.Usage)
	b = appendField(b, "version", c.Version)
	if c.HasAmount {
		b = appendField(b, "amount", c.Amount.String())
	}
	b = appendField(b, "currency", c.Currency)
	b = appendField(b, "unpriced", c.Unpriced)
	b = appendNumber(b, "origin", c.Origin)
	b = appendField(b, "hold", c.Hold)
	b = appendNumber(b, "window", c.Window)
	b = appendJSON(b, "detail", c.Detail)
	b = append(b, `,"raw":"`...)
	b = base64.StdEncoding.AppendEncode(b, c.Raw)
	return append(b, "\"}\n"...)
}

func appendField(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(append(append(b, `,"`...), name...), `":`...)
	return appendText(b, value)
}

func appendJSON(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return append(append(append(append(b, `,"`...), name...), `":`...), value...)
}

func appendNumber(b []byte, name string, n uint64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendUint(append(append(append(b, `,"`...), name...), `":`...), n, 10)
}

// appendText writes a JSON string; encoding/json escapes more than has to be and would make <, > and & hard to read.
func appendText(b []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		plain = plain && s[i] >= 0x20 && s[i] != '"' && s[i] != '\\'
	}
	if plain {
		return append(append(append(b, '"'), s...), '"')
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("BUG: a text does not encode: " + err.Error())
	}
	return append(b, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
}

// row is a command as a file holds it: what is needed to decode its bytes, and how the rest was spelled.
type row struct {
	sequence uint64
	time     int64
	end      engine.BlockEnd
	raw      []byte
	line     []byte     // of NDJSON
	columns  parquetRow // of Parquet
}

// lineHead is what of a line is taken from it; all else is compared with what the bytes say.
type lineHead struct {
	Sequence uint64    `json:"sequence"`
	Time     time.Time `json:"time"`
	End      string    `json:"end"`
	Raw      []byte    `json:"raw"`
}

func parseLine(line []byte) (row, error) {
	var h lineHead
	if err := json.Unmarshal(line, &h); err != nil {
		return row{}, fmt.Errorf("a line is no command: %w", err)
	}
	r := row{sequence: h.Sequence, time: h.Time.UnixNano(), raw: h.Raw, line: line}
	for i, name := range endNames {
		if name == h.End {
			r.end = engine.BlockEnd(i)
			return r, nil
		}
	}
	return row{}, fmt.Errorf("a line ends with %q", h.End)
}

// lines reads lines of a gzip file of one stream.
type lines struct {
	z *gzip.Reader
	r *bufio.Reader
}

func newLines(src io.Reader) (*lines, error) {
	z, err := gzip.NewReader(bufio.NewReaderSize(src, 256<<10))
	if err != nil {
		return nil, err
	}
	return &lines{z, bufio.NewReaderSize(z, 256<<10)}, nil
}

// next returns a copy of the next line with its end, io.EOF behind the last.
func (l *lines) next() ([]byte, error) {
	var out []byte
	for {
		part, err := l.r.ReadSlice('\n')
		out = append(out, part...)
		switch {
		case err == nil:
			return out, nil
		case errors.Is(err, io.EOF) && len(out) > 0:
			return nil, io.ErrUnexpectedEOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(out) > lineMax:
			return nil, fmt.Errorf("a line has more than %d bytes", lineMax)
		}
	}
}

// ndjsonReader reads commands.
type ndjsonReader struct{ l *lines }

func (r ndjsonReader) next() (row, error) {
	line, err := r.l.next()
	if err != nil {
		return row{}, err
	}
	return parseLine(line)
}

func (ndjsonReader) same(r *row, c *engine.ExportedCommand) bool {
	return bytes.Equal(appendCommand(nil, c), r.line)
}

// rowLine is a stored row as a line.
type rowLine struct {
	Space   string            `json:"space"`
	Key     string            `json:"key"`
	Records []json.RawMessage `json:"records,omitempty"`
	Value   []byte            `json:"value,omitempty"`
}

// appendRow writes a stored row as a line. Records are JSON as they are.
func appendRow(b []byte, r *engine.ExportedRow) []byte {
	b = appendText(append(b, `{"space":`...), r.Space)
	b = append(b, `,"key":"`...)
	for _, c := range r.Key {
		b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
	}
	b = append(b, '"')
	if len(r.Records) > 0 {
		b = append(b, `,"records":[`...)
		for i, record := range r.Records {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, record...)
		}
		return append(b, "]}\n"...)
	}
	b = append(b, `,"value":"`...)
	return append(base64.StdEncoding.AppendEncode(b, r.Value), "\"}\n"...)
}

// parseRow reads a line that appendRow wrote; any other spelling is refused.
func parseRow(line []byte) (*engine.ExportedRow, error) {
	var l rowLine
	if err := json.Unmarshal(line, &l); err != nil {
		return nil, fmt.Errorf("a line is no row: %w", err)
	}
	r := &engine.ExportedRow{Space: l.Space, Value: l.Value}
	var err error
	if r.Key, err = hex.DecodeString(l.Key); err != nil {
		return nil, fmt.Errorf("a line is no row: its key is not hexadecimal")
	}
	for _, record := range l.Records {
		r.Records = append(r.Records, record)
	}
	if !bytes.Equal(appendRow(nil, r), line) {
		return nil, fmt.Errorf("a row is not spelled as an export spells it")
	}
	return r, nil
}

// appendName writes a command that names something as a line.
func appendName(b, raw []byte) []byte {
	b = append(b, `{"raw":"`...)
	return append(base64.StdEncoding.AppendEncode(b, raw), "\"}\n"...)
}

func parseName(line []byte) ([]byte, error) {
	var l struct {
		Raw []byte `json:"raw"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return nil, fmt.Errorf("a line is no name: %w", err)
	}
	if !bytes.Equal(appendName(nil, l.Raw), line) {
		return nil, fmt.Errorf("a name is not spelled as an export spells it")
	}
	return l.Raw, nil
}
