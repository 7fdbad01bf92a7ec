package twin

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
)

// compactType is the content type of a compact batch.
const compactType = "application/vnd.farthing.events.v1"

// compactReader reads the compact form by its description, field by field; after a fault all that it reads is zero.
type compactReader struct {
	*bytes.Reader
	err error
}

func (r *compactReader) number() uint64 {
	n, err := binary.ReadUvarint(r)
	r.note(err)
	return n
}

func (r *compactReader) note(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *compactReader) text() string {
	n := r.number()
	if r.err != nil || n > uint64(r.Len()) {
		r.note(io.ErrUnexpectedEOF)
		return ""
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	r.note(err)
	return string(b)
}

// texts reads a table.
func (r *compactReader) texts() []string {
	var all []string
	for n := r.number(); n > 0 && r.err == nil; n-- {
		all = append(all, r.text())
	}
	return all
}

// splitCompact turns a compact batch into documents, as the same events would come in JSON.
func splitCompact(body []byte) ([]json.RawMessage, error) {
	r := &compactReader{Reader: bytes.NewReader(body)}
	var magic [4]byte
	_, err := io.ReadFull(r, magic[:])
	if r.note(err); string(magic[:]) != "FEB\x01" {
		return nil, fmt.Errorf("not a compact batch")
	}
	count := r.number()
	sources, shapes := r.texts(), r.texts()
	var base int64
	r.note(binary.Read(r, binary.BigEndian, &base))
	var all []json.RawMessage
	for ; count > 0 && r.err == nil; count-- {
		head, source := r.number(), r.number()
		if head>>1 >= uint64(len(shapes)) || source >= uint64(len(sources)) {
			return nil, fmt.Errorf("not in a table")
		}
		event := map[string]any{"source": sources[source], "subject": r.text(), "id": r.text()}
		if head&1 == 1 {
			after, err := binary.ReadVarint(r)
			r.note(err)
			event["time"] = time.Unix(0, base+after).UTC().Format(time.RFC3339Nano)
		}
		r.shaped(event, shapes[head>>1])
		raw, err := json.Marshal(event)
		r.note(err)
		all = append(all, raw)
	}
	return all, r.err
}

// shaped fills in what the shape says, and the quantities, which are read.
func (r *compactReader) shaped(event map[string]any, shape string) {
	s := &compactReader{Reader: bytes.NewReader([]byte(shape))}
	usage, data := map[string]json.Number{}, map[string]any{}
	event["type"], data["usage"], event["data"] = s.text(), usage, data
	for _, name := range s.texts() {
		q := r.number()
		usage[name] = json.Number(strconv.FormatUint(q>>1, 10))
		if q&1 == 1 {
			usage[name] = json.Number(fmt.Sprintf("%de-6", q>>1))
		}
	}
	for n := s.number(); n > 0 && s.err == nil; n-- {
		key := s.text()
		data[key] = s.text()
	}
	r.note(s.err)
}
