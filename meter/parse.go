package meter

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"farthing/money"
	"farthing/refusal"
)

// Bounds of a price version; passing one refuses the version.
const (
	MaxPrices          = 50_000
	MaxPriceComponents = MaxComponents
	// MaxTiers bounds the tiers of a price, and the alternatives of a linear one: rating
	// walks through them.
	MaxTiers = 100
	// MaxKeySets bounds the different lists of dimensions that the prices of one meter
	// in one currency match on: a look-up tries them one by one, and looking for
	// ambiguous prices compares every two.
	MaxKeySets = 128
)

// fields is a JSON object, its values unread.
type fields map[string]json.RawMessage

// ParseVersion reads the JSON of a price version. Every problem is listed at once in the
// refusal, in the order of the prices; of more than a hundred the first, and how many
// more there are. The JSON must have no duplicate keys (the caller checks).
//
// If the document could be read as JSON, the version is returned beside a refusal, too,
// with what could be read of it (see Version), so that the caller can look for further
// problems.
func ParseVersion(id string, body []byte) (*Version, *refusal.Refusal) {
	var doc fields
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, refuseVersion([]string{"price version: " + err.Error()})
	}
	p := &versionParser{v: &Version{ID: id}, names: map[string]string{}}
	p.unknown(wholeVersion, "", doc, "effective_from", "prices")
	p.effectiveFrom(doc["effective_from"])
	for i, raw := range p.prices(doc["prices"]) {
		p.price(i, raw)
	}
	p.buildIndex()
	if refused := p.refusal(); refused != nil {
		return p.v, refused
	}
	p.v.Canonical = p.v.appendCanonical(nil)
	return p.v, nil
}

// versionParser builds one version.
type versionParser struct {
	v         *Version
	unmatched []bool            // by price: it could not be read what it matches
	names     map[string]string // each name once: prices share them, and so cache lines
	problems
}

// effectiveFrom reads the moment in UTC: that is how it is written again, so a bound that
// looked at another offset would accept what cannot be read back.
func (p *versionParser) effectiveFrom(raw json.RawMessage) {
	text, _ := stringText(raw)
	at, err := time.Parse(time.RFC3339Nano, text)
	at = at.UTC()
	switch {
	case err != nil:
		p.problem(wholeVersion, "effective_from must be an RFC 3339 time")
	case at.Year() < 1970 || at.Year() > 2200:
		p.problem(wholeVersion, "effective_from must lie between 1970 and 2200")
	default:
		p.v.EffectiveFrom = at.UnixNano()
	}
}

// prices makes room for the prices and returns their JSON.
func (p *versionParser) prices(raw json.RawMessage) (list []json.RawMessage) {
	switch {
	case raw != nil && json.Unmarshal(raw, &list) != nil:
		p.problem(wholeVersion, "prices must be an array")
		return nil
	case len(list) == 0:
		p.problem(wholeVersion, "prices is empty")
	case len(list) > MaxPrices:
		p.problem(wholeVersion, "a version has at most %d prices", MaxPrices)
		return nil
	}
	p.v.Prices, p.unmatched = make([]Price, len(list)), make([]bool, len(list))
	return list
}

func (p *versionParser) price(i int, raw json.RawMessage) {
	var f fields
	if json.Unmarshal(raw, &f) != nil || f == nil {
		p.problem(i, "prices[%d] must be an object", i)
		p.unmatched[i] = true
		return
	}
	p.unknown(i, "", f, "meter", "currency", "match", "components", "payee", "fee")
	out := &p.v.Prices[i]
	if text, ok := stringText(f["meter"]); ok && ValidID([]byte(text)) {
		out.Meter = p.intern(text)
	} else {
		p.problem(i, "prices[%d]: meter must be an id", i)
		p.unmatched[i] = true
	}
	code, ok := stringText(f["currency"])
	if out.Currency, ok = money.Lookup(code); !ok {
		p.problem(i, "prices[%d]: unknown currency %q", i, clip(code))
		p.unmatched[i] = true
	}
	if raw, given := f["payee"]; given {
		text, ok := stringText(raw)
		switch {
		case !ok || (text != "" && !ValidID([]byte(text))):
			p.problem(i, "prices[%d]: payee must be an account id", i)
		case text != "operator":
			out.Payee = p.intern(text)
		}
	}
	if raw, given := f["fee"]; given {
		fee, err := amountOf(raw)
		if err != nil || fee.Sign() < 0 || fee.Cmp(wholeUnit) > 0 {
			p.problem(i, "prices[%d]: fee must be a decimal fraction from \"0\" to \"1\"", i)
		} else {
			out.Fee = fee
		}
	}
	p.match(i, f["match"])
	p.components(i, f["components"])
}

// match reads what price i matches; without it everything matches.
func (p *versionParser) match(i int, raw json.RawMessage) {
	var m fields
	if raw != nil && json.Unmarshal(raw, &m) != nil {
		p.problem(i, "prices[%d]: match must be an object", i)
		p.unmatched[i] = true
	}
	if len(m) > MaxDimensions {
		p.problem(i, "prices[%d]: more than %d dimensions", i, MaxDimensions)
		p.unmatched[i] = true
	}
	out := make([]Dimension, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		value, ok := scalarText(m[k])
		switch {
		case !ok:
			p.problem(i, "prices[%d]: match.%s must be a string, number or boolean", i, clip(k))
		case k == "" || k == "usage" || len(k) > MaxDimensionKeyBytes || !utf8.ValidString(k):
			p.problem(i, "prices[%d]: %q is no dimension", i, clip(k))
		case len(value) > MaxDimensionBytes || !utf8.ValidString(value):
			p.problem(i, "prices[%d]: match.%s is longer than %d bytes", i, clip(k), MaxDimensionBytes)
		default:
			out = append(out, Dimension{p.intern(k), value})
		}
	}
	p.unmatched[i] = p.unmatched[i] || len(out) < len(m)
	p.v.Prices[i].Match = out
}

func (p *versionParser) components(i int, raw json.RawMessage) {
	var m fields
	if raw != nil && json.Unmarshal(raw, &m) != nil {
		p.problem(i, "prices[%d]: components must be an object", i)
		return
	}
	if len(m) == 0 || len(m) > MaxPriceComponents {
		p.problem(i, "prices[%d]: components must be 1 to %d", i, MaxPriceComponents)
	}
	out := make([]ComponentPrice, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		c := componentParser{p: p, price: i}
		c.c.Name = p.intern(name)
		if !validName([]byte(name)) {
			c.problem("not a component name")
		}
		if c.read(m[name]); !c.bad {
			out = append(out, c.c)
		}
	}
	p.v.Prices[i].Components = out
}

// unknown lists the fields of an object that are not among the known ones; at is where
// in the price the object stands.
func (p *versionParser) unknown(price int, at string, f fields, known ...string) {
	for name := range f {
		switch {
		case slices.Contains(known, name):
		case price == wholeVersion:
			p.problem(price, "unknown field %q", clip(name))
		default:
			p.problem(price, "prices[%d]%s: unknown field %q", price, at, clip(name))
		}
	}
}

func (p *versionParser) intern(s string) string {
	if known, ok := p.names[s]; ok {
		return known
	}
	p.names[s] = s
	return s
}
