package httpapi

import "encoding/binary"

// knownShape is a shape of an event of this body. Another event has it, too, if all that it depends on is the same: the
// text from its first dimension to its last one is compared as it is. That costs half of making the shape.
type knownShape struct {
	form       *form // nil: none
	zeros      uint64
	kind, text []byte
	number     int
}

// slot is where it is remembered, in the place of another one that comes to the same.
func (s *knownShape) slot() uint8 {
	h := s.zeros ^ uint64(len(s.text)) ^ ends(s.kind)
	return uint8((h*mixer ^ ends(s.text)) * mixer >> 56)
}

const mixer = 0x9e3779b97f4a7c15 // odd, with its bits spread

// ends returns the first and the last bytes of b.
func ends(b []byte) uint64 {
	if len(b) < 8 {
		h := uint64(0)
		for _, c := range b {
			h = h<<8 | uint64(c)
		}
		return h
	}
	return binary.LittleEndian.Uint64(b)*mixer ^ binary.LittleEndian.Uint64(b[len(b)-8:])
}

func (l *layouts) forgetShapes() {
	for _, i := range l.slots {
		l.shapes[i] = knownShape{}
	}
	l.slots = l.slots[:0]
}
