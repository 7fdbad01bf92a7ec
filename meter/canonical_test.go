package meter

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"farthing/money"
)

// The same document by encoding/json, as the canonical form is defined.
type twinDocument struct {
	EffectiveFrom string              `json:"effective_from"`
	Prices        []twinDocumentPrice `json:"prices"`
}

type twinDocumentPrice struct {
	Meter      string            `json:"meter"`
	Currency   string            `json:"currency"`
	Match      map[string]string `json:"match"`
	Components map[string]any    `json:"components"`
	Payee      string            `json:"payee,omitempty"`
	Fee        string            `json:"fee,omitempty"`
}

type twinComponent struct {
	Unit      *string           `json:"unit,omitempty"`
	Package   string            `json:"package,omitempty"`
	Included  string            `json:"included,omitempty"`
	Graduated []twinTier        `json:"graduated,omitempty"`
	Volume    []twinTier        `json:"volume,omitempty"`
	Flat      string            `json:"flat,omitempty"`
	Minimum   string            `json:"minimum,omitempty"`
	Above     []twinAlternative `json:"above,omitempty"`
	Period    string            `json:"period,omitempty"`
	Decimals  int               `json:"quantity_decimals,omitempty"`
}

type twinTier struct {
	UpTo string  `json:"up_to,omitempty"`
	Unit *string `json:"unit,omitempty"`
	Flat string  `json:"flat,omitempty"`
}

type twinAlternative struct {
	Of       []string `json:"of"`
	Quantity string   `json:"quantity"`
	Unit     string   `json:"unit"`
}

func unlessZero(a money.Amount) string {
	if a.IsZero() {
		return ""
	}
	return a.String()
}

func unitUnlessFlat(unit, flat money.Amount) *string {
	if unit.IsZero() && !flat.IsZero() {
		return nil
	}
	s := unit.String()
	return &s
}

func twinCanonical(t *testing.T, v *Version) string {
	t.Helper()
	doc := twinDocument{EffectiveFrom: time.Unix(0, v.EffectiveFrom).UTC().Format(time.RFC3339Nano)}
	for _, p := range v.Prices {
		d := twinDocumentPrice{p.Meter, p.Currency.Code(), map[string]string{}, map[string]any{}, p.Payee, unlessZero(p.Fee)}
		if p.Payee == "" && !p.Fee.IsZero() {
			d.Payee = "operator"
		}
		for _, m := range p.Match {
			d.Match[m.Key] = m.Value
		}
		for _, c := range p.Components {
			d.Components[c.Name] = twinComponentOf(c)
		}
		doc.Prices = append(doc.Prices, d)
	}
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func twinComponentOf(c ComponentPrice) any {
	d := twinComponent{Flat: unlessZero(c.Flat), Minimum: unlessZero(c.Minimum), Decimals: c.QuantityDecimals}
	var tiers []twinTier
	for _, tier := range c.Tiers {
		d := twinTier{Unit: unitUnlessFlat(tier.Unit, tier.Flat), Flat: unlessZero(tier.Flat)}
		if tier.UpTo != 0 {
			d.UpTo = tier.UpTo.String()
		}
		tiers = append(tiers, d)
	}
	switch c.Model {
	case Graduated:
		d.Graduated = tiers
	case Volume:
		d.Volume = tiers
	default:
		d.Unit = unitUnlessFlat(c.Unit, c.Flat)
	}
	switch c.Model {
	case Package:
		d.Package = c.Size.String()
	case Included:
		d.Included = c.Size.String()
	}
	for _, a := range c.Above {
		d.Above = append(d.Above, twinAlternative{c.Of, a.Quantity.String(), a.Unit.String()})
	}
	if c.Period == Window {
		d.Period = "window"
	}
	if c.Model == Linear && d.Flat == "" && d.Minimum == "" && d.Above == nil && d.Decimals == 0 {
		return c.Unit.String()
	}
	return d
}

// TestCanonicalAgainstTwin compares documents of random prices, matching on texts that
// JSON has to escape.
func TestCanonicalAgainstTwin(t *testing.T) {
	texts := []string{"", "a", `"`, `\`, "<", ">", "&", "'", "\u2028", "é", "\n", "\x00", "\x7f", "~", " ", "plain text", "\U0001F600", strings.Repeat("x", 256)}
	for seed := range uint64(400) {
		random := &randomPrice{Rand: rand.New(rand.NewPCG(seed, 13))}
		var prices []string
		for i := range 4 {
			match := map[string]any{"no": i, "m" + texts[random.IntN(12)]: texts[random.IntN(len(texts))]}
			raw, err := json.Marshal(match)
			if err != nil {
				t.Fatal(err)
			}
			payee, fee := random.one("", "operator", "p:1"), random.one("0", "0.125", "1.0")
			if payee == "" {
				fee = "0"
			}
			prices = append(prices, fmt.Sprintf(`{"meter":"m%d","currency":"USD","match":%s,"components":%s,"payee":%q,"fee":%q}`,
				i, raw, random.components(), payee, fee))
		}
		v := mustParse(t, version(prices...))
		if want := twinCanonical(t, v); string(v.Canonical) != want {
			t.Fatalf("seed %d:\n%s\n%s", seed, v.Canonical, want)
		}
		checkCanonical(t, v)
	}
}
