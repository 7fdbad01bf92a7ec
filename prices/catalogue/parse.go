package catalogue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"farthing/money"
)

// vendorFile is a file as it is written.
type vendorFile struct {
	Vendor   string            `yaml:"vendor"`
	Page     string            `yaml:"page"`
	Currency string            `yaml:"currency"`
	Read     string            `yaml:"read"`
	From     Origin            `yaml:"from"`
	SameAs   map[string]string `yaml:"same_as"`
	Models   []modelEntry      `yaml:"models"`
}

// modelEntry is a model as it is written. Page and From replace the vendor's.
type modelEntry struct {
	Names       []string      `yaml:"names"`
	Page        string        `yaml:"page"`
	From        Origin        `yaml:"from"`
	Checked     string        `yaml:"checked"`
	Witness     string        `yaml:"witness"`
	Copies      []string      `yaml:"copies"`
	Note        string        `yaml:"note"`
	Changes     []changeEntry `yaml:"changes"`
	tierEntries `yaml:",inline"`
}

type changeEntry struct {
	From        string `yaml:"from"`
	tierEntries `yaml:",inline"`
}

type tierEntries struct {
	Standard *setEntry `yaml:"standard"`
	Batch    *setEntry `yaml:"batch"`
	Flex     *setEntry `yaml:"flex"`
	Priority *setEntry `yaml:"priority"`
	OffPeak  *setEntry `yaml:"off_peak"`
}

// setEntry is what a vendor states for one tier: decimals by component.
type setEntry struct {
	Above *aboveEntry       `yaml:"above"`
	Units map[string]string `yaml:",inline"`
}

type aboveEntry struct {
	Tokens string            `yaml:"tokens"`
	Units  map[string]string `yaml:",inline"`
}

// period is the prices from a moment on.
type period struct {
	from     time.Time
	standard setEntry
	tiers    []tier // sorted by name
}

type tier struct {
	name string
	set  setEntry
}

// known are the components that a file may price, with what their price is for.
var known = map[string]string{
	"input": perTokens, "cached_input": perTokens, "cache_write": perTokens, "cache_write_1h": perTokens,
	"output": perTokens, "reasoning": perTokens, "tool_input": perTokens,
	"audio_input": perTokens, "cached_audio_input": perTokens, "audio_output": perTokens,
	"image_input": perTokens, "cached_image_input": perTokens, "image_output": perTokens,
	"video_input": perTokens,
	"web_search":  perCalls,
}

const (
	perTokens = "1000000"
	perCalls  = "1000"
	// decimalsMax keeps the price of one token exact at 18 places.
	decimalsMax = 12
	day         = "2006-01-02"
)

func parse(text []byte) ([]Model, error) {
	var file vendorFile
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrData, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: more than one document", ErrData)
	}
	if err := file.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrData, err)
	}
	models := make([]Model, 0, len(file.Models))
	for i := range file.Models {
		m, err := file.model(&file.Models[i])
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrData, strings.Join(file.Models[i].Names, ", "), err)
		}
		models = append(models, m)
	}
	return models, nil
}

func (f *vendorFile) check() error {
	_, listed := money.Lookup(f.Currency)
	switch {
	case f.Vendor == "":
		return errors.New("no vendor")
	case !listed:
		return fmt.Errorf("currency %q is not known", f.Currency)
	case !isDay(f.Read):
		return fmt.Errorf("read %q is no day", f.Read)
	case len(f.Models) == 0:
		return errors.New("no models")
	}
	for to, from := range f.SameAs {
		if err := tokenComponents(to, from); err != nil {
			return err
		}
	}
	return nil
}

func tokenComponents(names ...string) error {
	for _, name := range names {
		if known[name] != perTokens {
			return fmt.Errorf("%q is no component that is priced by the token", name)
		}
	}
	return nil
}

func isDay(s string) bool {
	_, err := time.Parse(day, s)
	return err == nil
}

func (f *vendorFile) model(e *modelEntry) (Model, error) {
	m := Model{
		Vendor: f.Vendor, Names: e.Names, Currency: f.Currency, Page: f.Page, Read: f.Read, From: f.From,
		Checked: e.Checked, Witness: e.Witness, Copies: e.Copies, Note: e.Note, sameAs: f.SameAs,
	}
	if e.Page != "" {
		m.Page = e.Page
	}
	if e.From != "" {
		m.From = e.From
	}
	if err := m.check(); err != nil {
		return m, err
	}
	first, err := e.period(time.Time{})
	if err != nil {
		return m, err
	}
	m.periods = append(m.periods, first)
	for i := range e.Changes {
		at, err := time.Parse(day, e.Changes[i].From)
		if err != nil || !at.After(m.periods[len(m.periods)-1].from) {
			return m, fmt.Errorf("change from %q: want ascending days", e.Changes[i].From)
		}
		next, err := e.Changes[i].period(at)
		if err != nil {
			return m, err
		}
		m.periods = append(m.periods, next)
	}
	return m, nil
}

func (m *Model) check() error {
	if len(m.Names) == 0 || slices.Contains(m.Names, "") {
		return errors.New("no name")
	}
	pages := append([]string{m.Page}, m.Copies...)
	if (m.From == Witness) != (m.Witness != "") {
		return errors.New("from witness and a witness belong together")
	}
	if m.Witness != "" {
		pages = append(pages, m.Witness)
	}
	for _, page := range pages {
		if !strings.HasPrefix(page, "https://") {
			return fmt.Errorf("page %q is no address", page)
		}
	}
	if m.Checked != "" && (!isDay(m.Checked) || m.Checked > m.Read) {
		return fmt.Errorf("checked %q is no day up to %s", m.Checked, m.Read)
	}
	if !slices.Contains([]Origin{VendorPage, GenAIPrices, Witness}, m.From) {
		return fmt.Errorf("from %q is not known", m.From)
	}
	return nil
}

func (e *tierEntries) period(from time.Time) (period, error) {
	if e.Standard == nil || len(e.Standard.Units) == 0 {
		return period{}, errors.New("no standard prices")
	}
	p := period{from: from, standard: *e.Standard}
	if err := e.Standard.check(); err != nil {
		return p, err
	}
	for _, t := range []struct {
		name string
		set  *setEntry
	}{{"batch", e.Batch}, {"flex", e.Flex}, {"off_peak", e.OffPeak}, {"priority", e.Priority}} {
		if t.set == nil {
			continue
		}
		if err := t.set.check(); err != nil {
			return p, fmt.Errorf("%s: %w", t.name, err)
		}
		for name := range t.set.Units {
			if _, ok := e.Standard.Units[name]; !ok {
				return p, fmt.Errorf("%s prices %s, which the standard tier does not", t.name, name)
			}
		}
		p.tiers = append(p.tiers, tier{t.name, *t.set})
	}
	return p, nil
}

func (s *setEntry) check() error {
	if err := checkUnits(s.Units); err != nil || s.Above == nil {
		return err
	}
	if q, err := money.ParseQuantity([]byte(s.Above.Tokens)); err != nil || q == 0 {
		return fmt.Errorf("above %q tokens: want a positive number", s.Above.Tokens)
	}
	for name := range s.Above.Units {
		if _, ok := s.Units[name]; !ok || known[name] != perTokens {
			return fmt.Errorf("above prices %s, which has no price below or none by the token", name)
		}
	}
	return checkUnits(s.Above.Units)
}

func checkUnits(units map[string]string) error {
	for name, unit := range units {
		amount, err := money.Parse(unit)
		_, fraction, _ := strings.Cut(unit, ".")
		switch {
		case known[name] == "":
			return fmt.Errorf("component %q is not known", name)
		case err != nil:
			return fmt.Errorf("%s %q: %w", name, unit, err)
		case amount.Sign() < 0 || len(fraction) > decimalsMax:
			return fmt.Errorf("%s %q: want at least 0 and at most %d decimals", name, unit, decimalsMax)
		}
	}
	return nil
}
