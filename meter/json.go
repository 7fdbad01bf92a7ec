package meter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// The reader of price documents takes objects apart without building maps: a list of
// 20,000 prices has a hundred thousand small objects. It works on bytes that encoding/json
// has found to be valid, so it looks for no fault and only finds where values end.

// field is a member of an object, its value unread.
type field struct {
	name string
	raw  []byte
}

// fields is the members of an object in the order of the document.
type fields []field

// get returns the value of a member, nil if there is none.
func (f fields) get(name string) []byte {
	for i := range f {
		if f[i].name == name {
			return f[i].raw
		}
	}
	return nil
}

// strange tells members that are not among the known ones, or there twice.
func (f fields) strange(known ...string) (problems []string) {
	seen := 0
	for i := range f {
		switch k := slices.Index(known, f[i].name); {
		case k < 0:
			problems = append(problems, fmt.Sprintf("unknown field %q", clip(f[i].name)))
		case seen>>k&1 != 0:
			problems = append(problems, f[i].name+" is given twice")
		default:
			seen |= 1 << k
		}
	}
	return problems
}

// object reads the members of an object; false: the value is none.
func (p *versionParser) object(raw []byte) (fields, bool) {
	if len(raw) == 0 || raw[0] != '{' {
		return nil, false
	}
	out := make(fields, 0, 8)
	for at := skipSpace(raw, 1); raw[at] != '}'; {
		end := skipValue(raw, at)
		name := p.intern(stringBytes(raw[at:end]))
		at = skipSpace(raw, skipSpace(raw, end)+1) // behind the colon
		end = skipValue(raw, at)
		out = append(out, field{name, raw[at:end]})
		at = skipComma(raw, end)
	}
	return out, true
}

// array reads the elements of an array; false: the value is none.
func array(raw []byte) (list [][]byte, ok bool) {
	if len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	for at := skipSpace(raw, 1); raw[at] != ']'; {
		end := skipValue(raw, at)
		list = append(list, raw[at:end])
		at = skipComma(raw, end)
	}
	return list, true
}

func skipSpace(p []byte, at int) int {
	for p[at] == ' ' || p[at] == '\n' || p[at] == '\r' || p[at] == '\t' {
		at++
	}
	return at
}

// skipComma returns where the next value or the end of an object or array stands.
func skipComma(p []byte, at int) int {
	if at = skipSpace(p, at); p[at] == ',' {
		at = skipSpace(p, at+1)
	}
	return at
}

// skipValue returns the end of the value that starts at a place.
func skipValue(p []byte, at int) int {
	depth := 0
	for {
		switch p[at] {
		case '"':
			at = skipString(p, at)
		case '{', '[':
			depth++
			at++
		case '}', ']':
			depth--
			at++
		case ',', ':', ' ', '\n', '\r', '\t':
			at++
		default:
			for at++; at < len(p) && bytes.IndexByte(endOfLiteral, p[at]) < 0; at++ {
			}
		}
		if depth == 0 {
			return at
		}
	}
}

var endOfLiteral = []byte(",]} \n\r\t")

func skipString(p []byte, at int) int {
	for at++; p[at] != '"'; at++ {
		if p[at] == '\\' {
			at++
		}
	}
	return at + 1
}

// stringBytes returns the text of a JSON string. What is no plain ASCII is left to
// encoding/json: escapes, and what it makes of bytes that are no UTF-8.
func stringBytes(raw []byte) []byte {
	for _, c := range raw {
		if c == '\\' || c >= 0x80 {
			var s string
			if json.Unmarshal(raw, &s) != nil {
				panic("BUG: a part of a JSON document is no JSON")
			}
			return []byte(s)
		}
	}
	return raw[1 : len(raw)-1]
}

func isString(raw []byte) bool { return len(raw) > 0 && raw[0] == '"' }

func isNull(raw []byte) bool { return string(raw) == "null" }

// stringText returns the text of a JSON string; false: the value is none.
func stringText(raw []byte) ([]byte, bool) {
	if !isString(raw) {
		return nil, false
	}
	return stringBytes(raw), true
}

// scalarText returns the text of a JSON string, number or boolean.
func scalarText(raw []byte) ([]byte, bool) {
	if len(raw) == 0 {
		return nil, false
	}
	switch raw[0] {
	case '"':
		return stringBytes(raw), true
	case '{', '[', 'n':
		return nil, false
	}
	return raw, true
}
