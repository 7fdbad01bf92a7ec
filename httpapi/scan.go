package httpapi

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// depthMax is how deep values may nest inside an event or a cold body, the
// outermost object counted as 1. It bounds the recursion of the scanner.
const depthMax = 64

// scanner reads JSON (RFC 8259) in place: strings without escapes and numbers
// are slices of the input. It is owned by one goroutine.
//
// Why not jx, which has the same purpose: for the canonical 220-byte event it
// takes 466 ns beside what filling the batch costs, and the scanner 255
// (BenchmarkDecodeJX, BenchmarkDecodeArray, BenchmarkBatchAlone; minimum of 40
// runs on 2 cores of an EPYC 9004). And that is without noticing duplicate keys,
// which jx leaves to its caller. Events that are written like one before do not come
// here since: see layouts.
//
// The methods take the offset to read at and return the offset after what they
// read, or -1 after noting the first fault. Offsets travel in registers: kept in
// the struct, each token would wait for the store of the one before.
//
// Invalid UTF-8 is not looked for here. The caller checks the whole text first
// (utf8.Valid runs at several bytes a cycle on ASCII), so inside strings any
// byte from 0x80 up is text.
type scanner struct {
	in []byte
	// fault says why in is not JSON, and faultAt where; empty: no fault so far.
	fault   string
	faultAt int
	// lone is set when a string holds a \u escape that is half a surrogate pair:
	// grammatical, but no text. duplicate is set by value when any object in it
	// has a key twice.
	lone, duplicate bool
	// scratch holds unescaped strings until reset. Appending may move it, but
	// strings handed out before keep the memory they are in.
	scratch []byte
	// keys is a stack of the keys of the objects that are open.
	keys [][]byte
	// base is how many objects of the text the value lies in whose parts are counted
	// from 1: 1 for an event inside an operation.
	base int
}

// scratchKeepMax is how much scratch memory is kept for the next text. It is far
// above what events with escapes need and keeps one odd request from pinning
// megabytes.
const scratchKeepMax = 64 << 10

// reset makes s ready for another text.
func (s *scanner) reset(in []byte) {
	s.in, s.fault, s.faultAt = in, "", 0
	s.forget()
}

// forget drops what strings and keys left behind, between two events of a text.
func (s *scanner) forget() {
	s.lone, s.duplicate = false, false
	if cap(s.scratch) > scratchKeepMax {
		s.scratch = nil
	}
	s.scratch, s.keys, s.base = s.scratch[:0], s.keys[:0], 0
}

// fail notes the first fault and returns -1.
func (s *scanner) fail(p int, what string) int {
	if s.fault == "" {
		s.fault, s.faultAt = what, p
	}
	return -1
}

const spaceBits = 1<<' ' | 1<<'\n' | 1<<'\r' | 1<<'\t'

// validText reports whether b is UTF-8. Text that is ASCII, nearly all of it, is
// seen to be so 32 bytes at a time, at a third of the cost of utf8.Valid.
func validText(b []byte) bool {
	rest := b
	for ; len(rest) >= 32; rest = rest[32:] {
		w := binary.LittleEndian.Uint64(rest) | binary.LittleEndian.Uint64(rest[8:]) |
			binary.LittleEndian.Uint64(rest[16:]) | binary.LittleEndian.Uint64(rest[24:])
		if w&topBits != 0 {
			break
		}
	}
	return utf8.Valid(rest)
}

// skipSpace returns the offset of the next byte that is not white space.
func skipSpace(in []byte, p int) int {
	for p < len(in) && in[p] <= ' ' && spaceBits>>in[p]&1 != 0 {
		p++
	}
	return p
}

// open steps over the bracket at p. empty: the closing one follows at once and
// was stepped over too.
func (s *scanner) open(p int, closing byte) (next int, empty bool) {
	p = skipSpace(s.in, p+1)
	if p < len(s.in) && s.in[p] == closing {
		return p + 1, true
	}
	return p, false
}

// more steps over what follows an element: a comma (more elements follow) or the
// closing bracket.
func (s *scanner) more(p int, closing byte) (next int, last bool) {
	in := s.in
	p = skipSpace(in, p)
	if p < len(in) {
		switch in[p] {
		case ',':
			return skipSpace(in, p+1), false
		case closing:
			return p + 1, true
		}
	}
	if closing == '}' {
		return s.fail(p, "a comma or } is missing"), true
	}
	return s.fail(p, "a comma or ] is missing"), true
}

// key reads a key and its colon and returns the offset of the value.
func (s *scanner) key(p int) (key []byte, next int) {
	in := s.in
	if p >= len(in) || in[p] != '"' {
		return nil, s.fail(p, "a key is missing")
	}
	key, p = s.str(p)
	if p < 0 {
		return nil, p
	}
	p = skipSpace(in, p)
	if p >= len(in) || in[p] != ':' {
		return nil, s.fail(p, "a colon is missing")
	}
	return key, skipSpace(in, p+1)
}

const (
	eachByte = 0x0101010101010101
	topBits  = 0x8080808080808080
)

// special sets the top bit of the first byte of w that ends a run of plain
// string bytes: a quote, a backslash or a control character. Bits above the
// first one set may be wrong, borrows run upwards only.
func special(w uint64) uint64 {
	quote := w ^ eachByte*'"'
	slash := w ^ eachByte*'\\'
	return ((quote-eachByte)&^quote | (slash-eachByte)&^slash | (w-eachByte*0x20)&^w) & topBits
}

// str reads the string whose opening quote is at p, eight bytes at a time.
func (s *scanner) str(p int) (v []byte, next int) {
	text := s.in[p+1:]
	rest := text
	for len(rest) >= 8 {
		if m := special(binary.LittleEndian.Uint64(rest)); m != 0 {
			n := len(text) - len(rest) + bits.TrailingZeros64(m)>>3
			if text[n] == '"' {
				return text[:n:n], p + n + 2
			}
			return s.escaped(p+1, p+1+n)
		}
		rest = rest[8:]
	}
	for i := len(text) - len(rest); i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return text[:i:i], p + i + 2
		case c == '\\' || c < 0x20:
			return s.escaped(p+1, p+1+i)
		}
	}
	return nil, s.fail(p, "a string is not closed")
}

// escaped goes on reading a string that began at start and whose first special
// byte is at i, into scratch.
func (s *scanner) escaped(start, i int) (v []byte, next int) {
	in, base := s.in, len(s.scratch)
	s.scratch = append(s.scratch, in[start:i]...)
	for i < len(in) {
		c := in[i]
		switch {
		case c == '"':
			end := len(s.scratch)
			return s.scratch[base:end:end], i + 1
		case c == '\\':
			if i = s.escape(i); i < 0 {
				return nil, i
			}
		case c < 0x20:
			return nil, s.fail(i, "a control character in a string")
		default:
			s.scratch = append(s.scratch, c)
			i++
		}
	}
	return nil, s.fail(start-1, "a string is not closed")
}

// escape reads the escape at i into scratch.
func (s *scanner) escape(i int) int {
	if i+1 >= len(s.in) {
		return s.fail(i, "a string is not closed")
	}
	c := s.in[i+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return s.unicode(i)
	default:
		return s.fail(i, "an unknown escape")
	}
	s.scratch = append(s.scratch, c)
	return i + 2
}

// unicode reads \uXXXX at i, or a surrogate pair of two of them.
func (s *scanner) unicode(i int) int {
	r, ok := hex4(s.in, i+2)
	if !ok {
		return s.fail(i, "an incomplete \\u escape")
	}
	i += 6
	if utf16.IsSurrogate(r) {
		pair := rune(utf8.RuneError)
		if i+1 < len(s.in) && s.in[i] == '\\' && s.in[i+1] == 'u' {
			if low, ok := hex4(s.in, i+2); ok {
				pair = utf16.DecodeRune(r, low)
			}
		}
		if pair == utf8.RuneError {
			s.lone = true
		} else {
			i += 6
		}
		r = pair
	}
	s.scratch = utf8.AppendRune(s.scratch, r)
	return i
}

func hex4(in []byte, i int) (r rune, ok bool) {
	if i+4 > len(in) {
		return 0, false
	}
	for _, c := range in[i : i+4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20-'a' <= 5:
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// number steps over the number at p.
func (s *scanner) number(p int) int {
	if end := numberEnd(s.in, p); end >= 0 {
		return end
	}
	return s.fail(p, "not a number")
}

// numberEnd returns the offset after the number at p, or -1 if none is there.
func numberEnd(in []byte, p int) int {
	if p < len(in) && in[p] == '-' {
		p++
	}
	i := p
	for i < len(in) && in[i]-'0' <= 9 { // nearly all of it, so without a call
		i++
	}
	if i == p || (in[p] == '0' && i > p+1) {
		return -1
	}
	if i < len(in) && in[i] == '.' {
		from := i + 1
		if i = digitsEnd(in, from); i == from {
			return -1
		}
	}
	if i < len(in) && in[i]|0x20 == 'e' {
		from := i + 1
		if from < len(in) && (in[from] == '+' || in[from] == '-') {
			from++
		}
		if i = digitsEnd(in, from); i == from {
			return -1
		}
	}
	return i
}

func digitsEnd(in []byte, p int) int {
	for p < len(in) && in[p]-'0' <= 9 {
		p++
	}
	return p
}

// literal steps over the word (true, false, null) that must stand at p.
func (s *scanner) literal(p int, word string) int {
	if p+len(word) > len(s.in) || string(s.in[p:p+len(word)]) != word {
		return s.fail(p, "an unknown word")
	}
	return p + len(word)
}

// value steps over any value at p; depth is that of the object or array it is in.
func (s *scanner) value(p, depth int) int {
	if p >= len(s.in) {
		return s.fail(p, "a value is missing")
	}
	switch c := s.in[p]; c {
	case '"':
		_, p = s.str(p)
		return p
	case '{':
		return s.object(p, depth+1)
	case '[':
		return s.array(p, depth+1)
	case 't':
		return s.literal(p, "true")
	case 'f':
		return s.literal(p, "false")
	case 'n':
		return s.literal(p, "null")
	default:
		if c == '-' || c-'0' <= 9 {
			return s.number(p)
		}
		return s.fail(p, "a value is missing")
	}
}

func (s *scanner) object(p, depth int) int {
	if s.base+depth > depthMax {
		return s.fail(p, "nested too deeply")
	}
	base := len(s.keys)
	p, last := s.open(p, '}')
	for !last {
		var key []byte
		if key, p = s.key(p); p < 0 {
			return p
		}
		s.keys = append(s.keys, key)
		if p = s.value(p, depth); p < 0 {
			return p
		}
		p, last = s.more(p, '}')
	}
	if s.closeKeys(base) {
		s.duplicate = true
	}
	return p
}

func (s *scanner) array(p, depth int) int {
	if s.base+depth > depthMax {
		return s.fail(p, "nested too deeply")
	}
	p, last := s.open(p, ']')
	for !last {
		if p = s.value(p, depth); p < 0 {
			return p
		}
		p, last = s.more(p, ']')
	}
	return p
}

// pairwiseMax is up to how many keys are compared each with each; more are
// sorted, so that an object of a million keys costs n log n.
const pairwiseMax = 12

// closeKeys drops the keys from base on and reports whether one was there twice.
func (s *scanner) closeKeys(base int) bool {
	keys := s.keys[base:]
	s.keys = s.keys[:base]
	if len(keys) > pairwiseMax {
		slices.SortFunc(keys, bytes.Compare)
		for i := 1; i < len(keys); i++ {
			if string(keys[i-1]) == string(keys[i]) {
				return true
			}
		}
		return false
	}
	for i := 1; i < len(keys); i++ {
		for j := range i {
			if string(keys[i]) == string(keys[j]) {
				return true
			}
		}
	}
	return false
}
