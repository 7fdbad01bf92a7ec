package meter

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
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

// ParseVersion reads the JSON of a price version. Every problem is listed at once in the
// refusal: first what is wrong with the document, in the order of the prices, then prices
// that contradict each other. Of more than MaxProblems the first are listed, and how many
// more there are.
//
// If the document could be read as JSON, the version is returned beside a refusal, too,
// with what could be read of it (see Version), so that the caller can look for further
// problems.
func ParseVersion(id string, body []byte) (*Version, *refusal.Refusal) {
	return parseVersion(id, body, false)
}

// ReadVersion reads a version that a ledger took before. It refuses less than ParseVersion:
// not what can be rated and is refused only because nobody can mean it, which earlier
// releases took.
func ReadVersion(id string, body []byte) (*Version, *refusal.Refusal) {
	return parseVersion(id, body, true)
}

func parseVersion(id string, body []byte, taken bool) (*Version, *refusal.Refusal) {
	var raw json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, refuseDocument("price version: " + err.Error())
	}
	p := &versionParser{v: &Version{ID: id}, taken: taken, names: map[string]string{}}
	doc, ok := p.object(bytes.TrimSpace(raw))
	if !ok {
		return nil, refuseDocument("price version: the document must be an object")
	}
	for _, strange := range doc.strange("effective_from", "prices") {
		p.problem(wholeVersion, "%s", strange)
	}
	p.effectiveFrom(doc.get("effective_from"))
	for i, raw := range p.prices(doc.get("prices")) {
		p.price(i, raw)
	}
	p.v.rows.build(p.v.Prices)
	p.buildIndex()
	if refused := p.refusal(); refused != nil {
		p.v.Unlisted = p.unlisted()
		return p.v, refused
	}
	for i := range p.v.Prices {
		for k := range p.v.Prices[i].Components {
			p.v.Prices[i].name(k)
		}
	}
	p.v.Canonical = p.v.appendCanonical(nil)
	return p.v, nil
}

// versionParser builds one version.
type versionParser struct {
	v         *Version
	taken     bool              // a ledger took the version before
	unmatched []bool            // by price: it could not be read what it matches
	names     map[string]string // each name once: prices share them, and so cache lines
	further   map[furtherOf]further
	problems
}

// effectiveFrom reads the moment in UTC: that is how it is written again, so a bound that
// looked at another offset would accept what cannot be read back.
func (p *versionParser) effectiveFrom(raw []byte) {
	text, _ := stringText(raw)
	at, err := time.Parse(time.RFC3339Nano, string(text))
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
func (p *versionParser) prices(raw []byte) [][]byte {
	list, ok := array(raw)
	switch {
	case raw != nil && !isNull(raw) && !ok:
		p.problem(wholeVersion, "prices must be an array")
		return nil
	case len(list) == 0:
		p.problem(wholeVersion, "prices is empty")
		return nil
	case len(list) > MaxPrices:
		p.problem(wholeVersion, "a version has at most %d prices", MaxPrices)
		return nil
	}
	p.v.Prices, p.unmatched = make([]Price, len(list)), make([]bool, len(list))
	return list
}

func (p *versionParser) price(i int, raw []byte) {
	f, ok := p.object(raw)
	if !ok {
		p.problem(i, "prices[%d] must be an object", i)
		p.unmatched[i] = true
		return
	}
	for _, strange := range f.strange("meter", "currency", "match", "components", "payee", "fee") {
		p.problem(i, "prices[%d]: %s", i, strange)
	}
	out := &p.v.Prices[i]
	if text, _ := stringText(f.get("meter")); ValidID(text) {
		out.Meter = p.intern(text)
	} else {
		p.problem(i, "prices[%d]: meter must be an id", i)
		p.unmatched[i] = true
	}
	code, _ := stringText(f.get("currency"))
	if out.Currency, ok = money.LookupBytes(code); !ok {
		p.problem(i, "prices[%d]: unknown currency %q", i, clip(string(code)))
		p.unmatched[i] = true
	}
	p.earnings(i, f)
	p.match(i, f.get("match"))
	p.components(i, f.get("components"))
}

// earnings reads who earns from price i.
func (p *versionParser) earnings(i int, f fields) {
	out := &p.v.Prices[i]
	missing := true
	if raw := f.get("payee"); raw != nil {
		text, ok := stringText(raw)
		missing = ok && len(text) == 0
		switch {
		case !ok || (len(text) > 0 && !ValidID(text)):
			p.problem(i, "prices[%d]: payee must be an account id", i)
		case string(text) != operator:
			out.Payee = p.intern(text)
		}
	}
	if raw := f.get("fee"); raw != nil {
		fee, err := amountOf(raw)
		if err != nil || fee.Sign() < 0 || fee.Cmp(wholeUnit) > 0 {
			p.problem(i, "prices[%d]: fee must be a decimal fraction from \"0\" to \"1\"", i)
			return
		}
		if missing && !fee.IsZero() && !p.taken {
			p.problem(i, "prices[%d]: fee is a share of what a payee earns, and payee is missing", i)
		}
		out.Fee = fee
	}
}

// operator is the account that earns where no payee is stated; stated, it is the same.
const operator = "operator"

// match reads what price i matches; without it everything matches.
func (p *versionParser) match(i int, raw []byte) {
	m, ok := p.sorted(i, "match", raw)
	if len(m) > MaxDimensions {
		p.problem(i, "prices[%d]: more than %d dimensions", i, MaxDimensions)
		ok = false
	}
	out := make([]Dimension, 0, len(m))
	for _, d := range m {
		value, scalar := scalarText(d.raw)
		switch {
		case !scalar:
			p.problem(i, "prices[%d]: match.%s must be a string, number or boolean", i, clip(d.name))
		case d.name == "" || d.name == "usage" || len(d.name) > MaxDimensionKeyBytes || !utf8.ValidString(d.name):
			p.problem(i, "prices[%d]: %q is no dimension", i, clip(d.name))
		case len(value) > MaxDimensionBytes || !utf8.Valid(value):
			p.problem(i, "prices[%d]: match.%s is longer than %d bytes", i, clip(d.name), MaxDimensionBytes)
		default:
			out = append(out, Dimension{d.name, string(value)})
		}
	}
	p.unmatched[i] = p.unmatched[i] || !ok || len(out) < len(m)
	p.v.Prices[i].Match = out
}

func (p *versionParser) components(i int, raw []byte) {
	m, ok := p.sorted(i, "components", raw)
	if ok && (len(m) == 0 || len(m) > MaxPriceComponents) {
		p.problem(i, "prices[%d]: components must be 1 to %d", i, MaxPriceComponents)
	}
	out := make([]ComponentPrice, 0, len(m))
	for _, f := range m {
		c := componentParser{p: p, price: i, priced: m}
		c.c.Name = f.name
		if !validName([]byte(f.name)) {
			c.problem("not a component name")
		}
		if c.read(f.raw); !c.bad {
			out = append(out, c.c)
		}
	}
	p.v.Prices[i].Components = out
}

// sorted reads an object whose names are the client's, sorted by them. Without it, and
// with null, it is empty. False: it is no object, or a name is there twice.
func (p *versionParser) sorted(i int, name string, raw []byte) (fields, bool) {
	f, ok := p.object(raw)
	if !ok && raw != nil && !isNull(raw) {
		p.problem(i, "prices[%d]: %s must be an object", i, name)
		return nil, false
	}
	slices.SortFunc(f, func(a, b field) int { return strings.Compare(a.name, b.name) })
	unique := slices.CompactFunc(slices.Clone(f), func(a, b field) bool {
		if a.name == b.name {
			p.problem(i, "prices[%d]: %s.%s is given twice", i, name, clip(a.name))
		}
		return a.name == b.name
	})
	return unique, len(unique) == len(f)
}

// intern returns one string for all equal texts.
func (p *versionParser) intern(text []byte) string {
	if known, ok := p.names[string(text)]; ok {
		return known
	}
	s := string(text)
	p.names[s] = s
	return s
}
