package meter

import "farthing/refusal"

// SetRawUsage keeps a provider's own usage object with the event: a format, which this
// package gives no meaning, and valid JSON, of which white space is left out. It reports
// whether the object is small enough; else the event is refused. The components that it
// means are to be added too.
func (b *Batch) SetRawUsage(format byte, raw []byte) bool {
	if len(raw) > MaxRawUsageBytes {
		if _, fits := appendCompact(nil, raw, MaxRawUsageBytes); !fits {
			b.Refuse(refusal.Invalid, "usage_too_large", "data.usage must be at most %d bytes", MaxRawUsageBytes)
			return false
		}
	}
	b.cur.usage, b.cur.rawFormat, b.cur.raw = true, format, raw
	return true
}

// appendRaw appends what Event.Raw spans.
func appendRaw(a []byte, format byte, raw []byte) ([]byte, Span) {
	start := len(a)
	a, fits := appendCompact(append(a, format), raw, MaxRawUsageBytes)
	if !fits {
		panic("BUG: raw usage that does not fit was not refused")
	}
	return a, Span{uint32(start), uint32(len(a) - start)}
}

// appendCompact appends JSON without its white space. fits: that has at most so many
// bytes; else only a part of it was appended.
func appendCompact(a, raw []byte, most int) (out []byte, fits bool) {
	most += len(a)
	inString := false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '"':
			inString = !inString
		case !inString && (c == ' ' || c == '\n' || c == '\r' || c == '\t'):
			continue
		case c == '\\' && i+1 < len(raw):
			a = append(a, c)
			i++
			c = raw[i]
		}
		a = append(a, c)
		if len(a) > most {
			return a, false
		}
	}
	return a, true
}
