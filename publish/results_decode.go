package publish

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// Result is a message of the results topic: what became of a line's amount. Only its form is checked here.
type Result struct {
	Partition int32
	Offset    int64

	ID        string
	BatchID   string
	Line      uint32
	Status    string
	Amount    *string // decimal text; nil: not given
	Reference string
}

// resultBytesMax bounds a message: a real one has some 300 bytes.
const resultBytesMax = 16 << 10

// Codes of messages that are no results. They are stable.
const (
	codeTooLarge  = "too_large"
	codeMalformed = "malformed" // not one JSON object
	codeInvalid   = "invalid"   // an object, but not a result; the reason says why
)

// badResult says why a message is no result.
type badResult struct{ code, reason, detail string }

func (b *badResult) Error() string { return b.reason + ": " + b.detail }

func invalidResult(reason, format string, args ...any) *badResult {
	return &badResult{codeInvalid, reason, fmt.Sprintf(format, args...)}
}

// decodeResult reads a message. It is strict, as money moves on it: no unknown field, none twice, exact names and types, one object and
// nothing behind it. What could be read of a bad one is in r, for the report.
func decodeResult(text []byte, r *Result) *badResult {
	switch {
	case len(text) > resultBytesMax:
		return &badResult{codeTooLarge, "too_large", fmt.Sprintf("%d bytes, at most %d are read", len(text), resultBytesMax)}
	case !utf8.Valid(text):
		return &badResult{codeMalformed, "malformed_json", "not UTF-8"}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return malformed("want a JSON object", err)
	}
	var first *badResult // the rest is read all the same: it names the line
	seen := map[string]bool{}
	for d.More() {
		name, value, bad := member(d)
		if bad != nil && bad.code == codeMalformed {
			return bad
		}
		if bad == nil && seen[name] {
			bad = invalidResult("duplicate_field", "%q stands twice", name)
		} else if bad == nil {
			bad = r.set(name, value)
		}
		seen[name] = true
		if first == nil {
			first = bad
		}
	}
	if _, err := d.Token(); err != nil {
		return malformed("the object does not end", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return malformed("something stands behind the object", nil)
	}
	for _, name := range []string{"batch_id", "line", "id", "status"} {
		if first == nil && !seen[name] {
			first = invalidResult("missing_field", "%s is missing", name)
		}
	}
	return first
}

func malformed(what string, err error) *badResult {
	if err != nil {
		what += ": " + err.Error()
	}
	return &badResult{codeMalformed, "malformed_json", what}
}

// member reads a name and its value, which must be a scalar.
func member(d *json.Decoder) (name string, value any, bad *badResult) {
	token, err := d.Token()
	if err != nil {
		return "", nil, malformed("at a name", err)
	}
	name, _ = token.(string) // the decoder takes nothing else
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return name, nil, malformed(fmt.Sprintf("at the value of %q", name), err)
	}
	if raw[0] == '{' || raw[0] == '[' {
		return name, nil, invalidResult("invalid_type", "%q is no string and no number", name)
	}
	scalar := json.NewDecoder(bytes.NewReader(raw))
	scalar.UseNumber()
	if err := scalar.Decode(&value); err != nil {
		return name, nil, malformed(fmt.Sprintf("at the value of %q", name), err)
	}
	return name, value, nil
}

// set takes a field.
func (r *Result) set(name string, value any) *badResult {
	if name == "line" {
		number, ok := value.(json.Number)
		if !ok {
			return invalidResult("invalid_type", "line is no number")
		}
		n, err := strconv.ParseUint(number.String(), 10, 32)
		if err != nil || n == 0 {
			return invalidResult("invalid_line", "line %.40s is not a whole number from 1 to 4294967295", number)
		}
		r.Line = uint32(n)
		return nil
	}
	var field *string
	switch name {
	case "id":
		field = &r.ID
	case "batch_id":
		field = &r.BatchID
	case "status":
		field = &r.Status
	case "reference":
		field = &r.Reference
	case "amount":
		r.Amount = new(string)
		field = r.Amount
	default:
		return invalidResult("unknown_field", "a result has no %.60q", name)
	}
	text, ok := value.(string)
	if !ok {
		return invalidResult("invalid_type", "%s is no string", name)
	}
	*field = text
	return nil
}
