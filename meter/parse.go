package meter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
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
	maxProblems        = 100 // of a version that are listed at once
)

// document mirrors the JSON of a price version.
type document struct {
	EffectiveFrom string          `json:"effective_from"`
	Prices        []documentPrice `json:"prices"`
}

type documentPrice struct {
	Meter      string                     `json:"meter"`
	Currency   string                     `json:"currency"`
	Match      map[string]json.RawMessage `json:"match"`
	Components map[string]json.RawMessage `json:"components"`
	Payee      string                     `json:"payee,omitempty"`
	Fee        json.RawMessage            `json:"fee,omitempty"`
}

// ParseVersion reads the JSON of a price version. Every problem is listed at
// once in the refusal. The JSON must have no duplicate keys (the caller checks).
func ParseVersion(id string, body []byte) (*Version, *refusal.Refusal) {
	var doc document
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		return nil, refusal.New(refusal.Invalid, "invalid_version", "price version: %v", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, refusal.New(refusal.Invalid, "invalid_version", "price version: something follows the document")
	}
	p := &versionParser{v: &Version{ID: id}}
	p.effectiveFrom(doc.EffectiveFrom)
	if len(doc.Prices) == 0 {
		p.problem("prices is empty")
	}
	if len(doc.Prices) > MaxPrices {
		p.problem("a version has at most %d prices", MaxPrices)
		doc.Prices = nil
	}
	for i := range doc.Prices {
		p.price(i, &doc.Prices[i])
	}
	if len(p.problems) == 0 {
		p.buildIndex()
	}
	if len(p.problems) > 0 {
		return nil, refusal.New(refusal.Invalid, "invalid_version", "%s", strings.Join(p.problems, "; "))
	}
	p.v.Canonical = p.v.appendCanonical(nil)
	return p.v, nil
}

// effectiveFrom reads the moment in UTC: that is how it is written again, so a bound that
// looked at another offset would accept what cannot be read back.
func (p *versionParser) effectiveFrom(text string) {
	at, err := time.Parse(time.RFC3339Nano, text)
	at = at.UTC()
	switch {
	case err != nil:
		p.problem("effective_from must be an RFC 3339 time")
	case at.Year() < 1970 || at.Year() > 2200:
		p.problem("effective_from must lie between 1970 and 2200")
	default:
		p.v.EffectiveFrom = at.UnixNano()
	}
}

type versionParser struct {
	v        *Version
	problems []string
}

func (p *versionParser) problem(format string, args ...any) {
	if len(p.problems) == maxProblems {
		p.problems = append(p.problems, "and more")
	}
	if len(p.problems) < maxProblems {
		p.problems = append(p.problems, fmt.Sprintf(format, args...))
	}
}

func (p *versionParser) price(i int, d *documentPrice) {
	where := fmt.Sprintf("prices[%d]", i)
	out := Price{Meter: d.Meter, Payee: d.Payee}
	if !ValidID([]byte(d.Meter)) {
		p.problem("%s: meter must be an id", where)
	}
	if d.Payee != "" && !ValidID([]byte(d.Payee)) {
		p.problem("%s: payee must be an account id", where)
	}
	if d.Payee == "operator" {
		out.Payee = ""
	}
	var known bool
	if out.Currency, known = money.Lookup(d.Currency); !known {
		p.problem("%s: unknown currency %q", where, clip(d.Currency))
	}
	out.Match = p.match(where, d.Match)
	out.Components = p.components(where, d.Components)
	if d.Fee != nil {
		fee, err := amountOf(d.Fee)
		if err != nil || fee.Sign() < 0 || fee.Cmp(wholeUnit) > 0 {
			p.problem("%s: fee must be a decimal fraction from \"0\" to \"1\"", where)
		}
		out.Fee = fee
	}
	p.v.Prices = append(p.v.Prices, out)
}

func (p *versionParser) match(where string, m map[string]json.RawMessage) []Dimension {
	var out []Dimension
	for _, k := range slices.Sorted(maps.Keys(m)) {
		value, ok := scalarText(m[k])
		switch {
		case !ok:
			p.problem("%s: match.%s must be a string, number or boolean", where, clip(k))
		case k == "" || k == "usage" || len(k) > MaxDimensionKeyBytes || !utf8.ValidString(k):
			p.problem("%s: %q is no dimension", where, clip(k))
		case len(value) > MaxDimensionBytes || !utf8.ValidString(value):
			p.problem("%s: match.%s is longer than %d bytes", where, clip(k), MaxDimensionBytes)
		}
		out = append(out, Dimension{k, value})
	}
	if len(out) > MaxDimensions {
		p.problem("%s: more than %d dimensions", where, MaxDimensions)
	}
	return out
}

func (p *versionParser) components(where string, m map[string]json.RawMessage) []ComponentPrice {
	if len(m) == 0 || len(m) > MaxPriceComponents {
		p.problem("%s: components must be 1 to %d", where, MaxPriceComponents)
	}
	out := make([]ComponentPrice, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		raw := m[name]
		at := where + ".components." + clip(name)
		if !validName([]byte(name)) {
			p.problem("%s: not a component name", at)
		}
		c, err := parseComponent(name, raw)
		if err != nil {
			p.problem("%s: %v", at, err)
		}
		out = append(out, c)
	}
	return out
}

// wholeUnit is 1, the largest fee.
var wholeUnit = mustAmount("1")

// maxUnit bounds a unit price at 10^12 currency units, so that price × largest
// quantity stays within what an amount can hold after checking once per event.
var maxUnit = mustAmount("1000000000000")

func mustAmount(s string) money.Amount {
	a, err := money.Parse(s)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return a
}

// parseComponent reads "0.0000025" (or a JSON number), or
// {"unit": …, "per": "1000000", "quantity_decimals": 3}.
func parseComponent(name string, raw json.RawMessage) (ComponentPrice, error) {
	c := ComponentPrice{Name: name}
	var obj struct {
		Unit     json.RawMessage `json:"unit"`
		Per      json.RawMessage `json:"per"`
		Decimals *int            `json:"quantity_decimals"`
	}
	unit := raw
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&obj); err != nil {
			return c, fmt.Errorf("this price model is not supported: %w", err)
		}
		unit = obj.Unit
	}
	amount, err := amountOf(unit)
	if err != nil {
		return c, err
	}
	if obj.Per != nil {
		if amount, err = dividePer(amount, obj.Per); err != nil {
			return c, err
		}
	}
	if obj.Decimals != nil {
		c.QuantityDecimals = *obj.Decimals
	}
	switch {
	case amount.Sign() < 0:
		return c, fmt.Errorf("a price must not be negative")
	case amount.Cmp(maxUnit) > 0:
		return c, fmt.Errorf("a unit price must be at most %s", maxUnit)
	case c.QuantityDecimals < 0 || c.QuantityDecimals > 6:
		return c, fmt.Errorf("quantity_decimals must be 0 to 6")
	case amount.Decimals()+c.QuantityDecimals > money.Scale:
		return c, fmt.Errorf("price decimals (%d) and quantity_decimals (%d) must add up to at most %d",
			amount.Decimals(), c.QuantityDecimals, money.Scale)
	}
	c.Unit = amount
	return c, nil
}

// dividePer divides exactly by a power of ten; anything else has no exact
// quotient in general and is refused when it has none.
func dividePer(amount money.Amount, raw json.RawMessage) (money.Amount, error) {
	text, ok := scalarText(raw)
	per, err := money.ParseQuantity([]byte(text))
	whole, isWhole := per.Whole()
	if !ok || err != nil || !isWhole || whole == 0 {
		return amount, fmt.Errorf("per must be a whole number above 0")
	}
	out, exact := amount.DivExact(whole)
	if !exact {
		return amount, fmt.Errorf("unit / per is not exact at %d decimals", money.Scale)
	}
	return out, nil
}

// amountOf reads a decimal string or a JSON number as the decimal it spells.
func amountOf(raw json.RawMessage) (money.Amount, error) {
	text, ok := scalarText(raw)
	if !ok {
		return money.Amount{}, fmt.Errorf("a price must be a decimal string")
	}
	var a money.Amount
	var err error
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte(`"`)) {
		a, err = money.Parse(text)
	} else {
		a, err = money.ParseNumber(text)
	}
	if err != nil {
		return a, fmt.Errorf("price %q: %w", clip(text), err)
	}
	return a, nil
}

// scalarText returns the text of a JSON string, number or boolean.
func scalarText(raw json.RawMessage) (string, bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return "", false
	}
	switch raw[0] {
	case '"':
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return "", false
		}
		return s, true
	case '{', '[', 'n':
		return "", false
	}
	return string(raw), true
}

// clip shortens a client's text for a message.
func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}

// appendCanonical appends the version as canonical JSON: keys sorted, decimals
// minimal, defaults left out, prices in the order given.
func (v *Version) appendCanonical(dst []byte) []byte {
	doc := document{EffectiveFrom: time.Unix(0, v.EffectiveFrom).UTC().Format(time.RFC3339Nano)}
	for i := range v.Prices {
		p := &v.Prices[i]
		d := documentPrice{Meter: p.Meter, Currency: p.Currency.Code(), Payee: p.Payee,
			Match: map[string]json.RawMessage{}, Components: map[string]json.RawMessage{}}
		if !p.Fee.IsZero() {
			d.Fee = quote(p.Fee.String())
		}
		for _, m := range p.Match {
			d.Match[m.Key] = quote(m.Value)
		}
		for _, c := range p.Components {
			d.Components[c.Name] = c.canonical()
		}
		doc.Prices = append(doc.Prices, d)
	}
	out, err := json.Marshal(doc)
	if err != nil {
		panic("BUG: a price version does not encode: " + err.Error())
	}
	return append(dst, out...)
}

func (c *ComponentPrice) canonical() json.RawMessage {
	if c.QuantityDecimals == 0 {
		return quote(c.Unit.String())
	}
	return fmt.Appendf(nil, `{"unit":%s,"quantity_decimals":%d}`, quote(c.Unit.String()), c.QuantityDecimals)
}

func quote(s string) json.RawMessage {
	out, err := json.Marshal(s)
	if err != nil {
		panic("BUG: a string does not encode: " + err.Error())
	}
	return out
}
