package meter

import (
	"strings"

	"farthing/money"
)

// rows is what rating most events needs of all prices, laid out for the cache: with many
// prices and models in random order, rating is waiting for memory. A price takes one line
// for its row and 16 bytes per component for its units, instead of a dozen lines of the
// readable structs, which are read for the rarer models only.
type rows struct {
	list       []row            // by price
	units      []money.Amount   // of all prices' components
	components []ComponentPrice // the same, whole; Price.Components are parts of it
	names      [][]string       // the different lists of components
}

// row is one price: 64 bytes, a cache line.
type row struct {
	start   uint32 // of its components in units and components
	plain   uint32 // bit k: unit × quantity is all there is to component k
	counted uint32 // bit k: component k is counted
	names   uint16 // of its components, in rows.names
	long    bool   // its values do not fit here: Price.Match has them
	// values is the values of Match, each behind its length.
	values [49]byte
}

// build lays out the prices. It moves their components into one slice.
func (r *rows) build(prices []Price) {
	n := 0
	for i := range prices {
		n += len(prices[i].Components)
	}
	*r = rows{make([]row, len(prices)), make([]money.Amount, 0, n), make([]ComponentPrice, 0, n), nil}
	known := map[string]uint16{}
	for i := range prices {
		p, row := &prices[i], &r.list[i]
		row.start = uint32(len(r.components))
		var names []string
		for k := range p.Components {
			c := &p.Components[k]
			c.setBounded()
			names = append(names, c.Name)
			r.units = append(r.units, c.Unit)
			if c.plain() {
				row.plain |= 1 << k
			}
			if c.Counted() {
				row.counted |= 1 << k
			}
		}
		r.components = append(r.components, p.Components...)
		p.Components = r.components[row.start:len(r.components):len(r.components)]
		joined := strings.Join(names, " ")
		id, ok := known[joined]
		if !ok {
			id = uint16(len(r.names)) // there are no more lists than MaxPrices
			known[joined], r.names = id, append(r.names, names)
		}
		row.names = id
		row.setValues(p.Match)
	}
}

func (r *row) setValues(match []Dimension) {
	at := 0
	for _, d := range match {
		if r.long = at+1+len(d.Value) > len(r.values); r.long {
			return
		}
		r.values[at] = byte(len(d.Value))
		at += 1 + copy(r.values[at+1:], d.Value)
	}
}

// matches reports whether dims has the values of price i at the given places.
func (v *Version) matches(i int32, dims []Dimension, places []uint8) bool {
	r := &v.rows.list[i]
	if r.long {
		return sameValues(v.Prices[i].Match, dims, places)
	}
	at := 0
	for _, place := range places {
		value := dims[place].Value
		if int(r.values[at]) != len(value) || string(r.values[at+1:at+1+len(value)]) != value {
			return false
		}
		at += 1 + len(value)
	}
	return true
}

func sameValues(match, dims []Dimension, places []uint8) bool {
	for i, place := range places {
		if match[i].Value != dims[place].Value {
			return false
		}
	}
	return true
}
