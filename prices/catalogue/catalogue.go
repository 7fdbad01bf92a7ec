package catalogue

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

//go:embed vendors/*.yaml
var vendors embed.FS

// Origin says what a model's prices were read from on the day [Model.Read].
type Origin string

const (
	// VendorPage is a stored copy of the vendor's page. Such a copy does not say
	// on which day it was made.
	VendorPage Origin = "vendor-page"
	// GenAIPrices is the data of the package genai-prices 0.2.3 (MIT), which
	// names the vendor's page; see [Model.Checked].
	GenAIPrices Origin = "genai-prices"
	// Witness is another public page that quotes the vendor's; see
	// [Model.Witness].
	Witness Origin = "witness"
)

// Catalogue is every model, as read from the files. It is immutable.
type Catalogue struct {
	models []Model
}

// Model is what the catalogue knows of one model. It is not to be changed.
type Model struct {
	// Vendor sells the model.
	Vendor string
	// Names are how a request names the model: its id first, then its aliases.
	Names []string
	// Currency is that of the prices, ISO 4217.
	Currency string
	// Page is the address of the vendor's page.
	Page string
	// Read is the day on which the prices were read, as 2026-11-24.
	Read string
	// From says what was read then.
	From Origin
	// Checked is the day on which, in the words of the list that was read, some
	// of these prices were last compared with the page. It may be empty.
	Checked string
	// Witness is the address of the page that quotes the vendor's page.
	Witness string
	// Copies are pages of the vendor, of which stored copies were read on Read,
	// too, and state some of the prices, and no others.
	Copies []string
	// Note is a remark for readers. It may be empty.
	Note string

	sameAs  map[string]string
	periods []period // ascending; the first has no start
}

// Set is the complete prices of a model at one service tier.
type Set struct {
	// Tier is the dimension service_tier; empty is the standard tier.
	Tier string
	// Components are sorted by name.
	Components []Component
}

// Component is the price of one component.
type Component struct {
	Name string
	// Unit is the price of Per units, as a decimal.
	Unit string
	// Per is 1000000, or 1000 for what is counted in calls.
	Per string
	// AboveTokens is the number of input tokens of whatever kind, above which
	// AboveUnit replaces Unit for the whole event. Both are empty without one.
	AboveTokens, AboveUnit string
	// Stated is false for a price that the vendor does not state, because it is
	// that of another component or of the standard tier.
	Stated bool
}

// Change is a day on which list prices change.
type Change struct {
	At     time.Time // midnight UTC
	Models []string  // the first name of each, sorted
}

// Open reads the catalogue. It panics when the files that are part of the
// program are wrong, which a test excludes.
func Open() *Catalogue {
	c, err := read(vendors)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return c
}

// Document is Open().Document.
func Document(effectiveFrom time.Time) []byte { return Open().Document(effectiveFrom) }

func read(files fs.FS) (*Catalogue, error) {
	names, err := fs.Glob(files, "vendors/*.yaml")
	if err != nil {
		return nil, err
	}
	c, seen := &Catalogue{}, map[string]bool{}
	for _, name := range names { // sorted: Glob reads directories
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		models, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for i := range models {
			for _, n := range models[i].Names {
				if seen[n] {
					return nil, fmt.Errorf("%s: %w: model %s is there twice", name, ErrData, n)
				}
				seen[n] = true
			}
		}
		c.models = append(c.models, models...)
	}
	return c, nil
}

// Models returns the models in the order of the files. The caller must not
// change what they hold.
func (c *Catalogue) Models() []Model { return slices.Clone(c.models) }

// Changes returns the days on which prices in the catalogue change, ascending.
func (c *Catalogue) Changes() []Change {
	var changes []Change
	for i := range c.models {
		m := &c.models[i]
		for _, p := range m.periods[1:] {
			at, found := slices.BinarySearchFunc(changes, p.from, func(c Change, t time.Time) int { return c.At.Compare(t) })
			if !found {
				changes = slices.Insert(changes, at, Change{At: p.from})
			}
			changes[at].Models = append(changes[at].Models, m.Names[0])
		}
	}
	for i := range changes {
		slices.Sort(changes[i].Models)
	}
	return changes
}
