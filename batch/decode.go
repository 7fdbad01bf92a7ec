package batch

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"time"

	"farthing/money"
)

// cursor reads canonical records. They have one spelling only, so it is no
// JSON parser: it expects the very bytes that the encoder writes between the
// values, and each value in its one canonical form. The first thing that
// differs clears ok, and all that is read after it is zero.
type cursor struct {
	rest []byte
	ok   bool
}

// literal takes exactly text.
func (c *cursor) literal(text string) {
	if !c.ok || len(c.rest) < len(text) || string(c.rest[:len(text)]) != text {
		c.ok = false
		return
	}
	c.rest = c.rest[len(text):]
}

// end takes text and expects nothing behind it.
func (c *cursor) end(text string) {
	c.literal(text)
	c.ok = c.ok && len(c.rest) == 0
}

// quoted takes key and a string without escapes, and returns its bytes.
func (c *cursor) quoted(key string) []byte {
	c.literal(key)
	c.literal(`"`)
	end := bytes.IndexByte(c.rest, '"')
	if !c.ok || end < 0 {
		c.ok = false
		return nil
	}
	text := c.rest[:end]
	c.rest = c.rest[end+1:]
	return text
}

func (c *cursor) id(key string) string {
	text := c.quoted(key)
	if !validID(text) {
		c.ok = false
		return ""
	}
	return string(text)
}

func (c *cursor) amount(key string) money.Amount {
	text := c.quoted(key)
	a, err := money.ParseBytes(text)
	var buf [64]byte
	if err != nil || !bytes.Equal(a.AppendText(buf[:0]), text) {
		c.ok = false
		return money.Amount{}
	}
	return a
}

func (c *cursor) hash(key string) (h [32]byte) {
	text := c.quoted(key)
	var back [64]byte
	if len(text) != len(back) {
		c.ok = false
		return h
	}
	_, err := hex.Decode(h[:], text)
	hex.Encode(back[:], h[:]) // capital digits do not come back
	if err != nil || !bytes.Equal(back[:], text) {
		c.ok = false
		return [32]byte{}
	}
	return h
}

func (c *cursor) currency(key string) money.Currency {
	cur, ok := money.LookupBytes(c.quoted(key))
	c.ok = c.ok && ok
	return cur
}

func (c *cursor) direction(key string) Direction {
	d, ok := parseDirection(c.quoted(key))
	c.ok = c.ok && ok
	return d
}

// time takes RFC 3339 in UTC with as many digits of a second as needed, and
// returns ns since 1970.
func (c *cursor) time(key string) int64 {
	text := c.quoted(key)
	t, err := time.Parse(time.RFC3339Nano, string(text))
	ns := t.UnixNano()
	var buf [64]byte
	if err != nil || ns < 0 || !bytes.Equal(appendTime(buf[:0], ns), text) {
		c.ok = false
		return 0
	}
	return ns
}

// uint takes key and an integer without leading zeros, at most limit.
func (c *cursor) uint(key string, limit uint64) uint64 {
	c.literal(key)
	n := 0
	for n < len(c.rest) && c.rest[n]-'0' <= 9 {
		n++
	}
	if !c.ok || n == 0 || n > 20 || (c.rest[0] == '0' && n > 1) {
		c.ok = false
		return 0
	}
	v, err := strconv.ParseUint(string(c.rest[:n]), 10, 64)
	if err != nil || v > limit {
		c.ok = false
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

// appendTime writes ns since 1970 as RFC 3339 in UTC.
func appendTime(dst []byte, ns int64) []byte {
	return time.Unix(0, ns).UTC().AppendFormat(dst, time.RFC3339Nano)
}
