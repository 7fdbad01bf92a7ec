package prices

import (
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-faster/jx"

	"farthing/meter"
)

// Options of an import. The zero value is usable.
type Options struct {
	// EffectiveFrom is when the version comes into force, in UTC. The zero
	// time stands for the Unix epoch: in force for every event there is.
	EffectiveFrom time.Time
	// PayeeByProvider makes each price's payee the account named like the
	// entry's litellm_provider. The accounts must exist when the version is
	// put. Entries whose provider is no account id are listed. LiteLLM only.
	PayeeByProvider bool
	// IncludeFree imports entries whose every price is zero. Without it they
	// are listed: the list has zeros for models whose price it does not know,
	// and usage that is free by mistake is noticed last. LiteLLM only.
	IncludeFree bool
}

func (o Options) effectiveFrom() time.Time {
	if o.EffectiveFrom.IsZero() {
		return time.Unix(0, 0)
	}
	return o.EffectiveFrom
}

// entry is one model of the list as it was read.
type entry struct {
	model    string
	provider string
	mode     string          // what the model is for: chat, embedding, …; may be empty
	takes    map[string]bool // kinds of input: "image", "audio", "video"
	makes    map[string]bool // kinds of output
	object   bool
	twice    bool // some field stands in it more than once
	prices   map[string]number
}

// number is the value of a price field: the text of a JSON number, or not one.
type number struct {
	text string
	ok   bool
}

// ImportLiteLLM converts a LiteLLM price list. It fails with ErrList if text is
// not such a list at all; everything else that it cannot use, it reports.
func ImportLiteLLM(text []byte, opts Options) (*Document, *Report, error) {
	entries, err := readList(text)
	if err != nil {
		return nil, nil, err
	}
	count := map[string]int{}
	for i := range entries {
		count[entries[i].model]++
	}
	doc := &Document{EffectiveFrom: opts.effectiveFrom()}
	report := &Report{Entries: len(entries)}
	for i := range entries {
		e := &entries[i]
		reason := e.unusable()
		if count[e.model] > 1 {
			reason = ModelTwice
		}
		b := newBuilder(e)
		if reason == "" {
			reason = b.build(opts)
		}
		if reason != "" {
			report.Listed = append(report.Listed, Note{Model: e.model, Reason: reason})
			b.prices, b.derived = nil, nil
		}
		b.account(report, reason)
		doc.Prices = append(doc.Prices, b.prices...)
	}
	doc.sort()
	report.Prices = len(doc.Prices)
	report.sort()
	return doc, report, nil
}

// unusable returns why no price can be made of e, whatever its fields are worth.
func (e *entry) unusable() Reason {
	switch {
	case e.model == "" || len(e.model) > meter.MaxDimensionBytes:
		return BadModel
	case !e.object:
		return NotAnObject
	case e.twice:
		return FieldTwice
	case len(e.prices) == 0:
		return NoPrice
	}
	return ""
}

func readList(text []byte) ([]entry, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrList)
	}
	if err := jx.DecodeBytes(text).Validate(); err != nil { // also refuses what follows the object
		return nil, fmt.Errorf("%w: %w", ErrList, err)
	}
	var entries []entry
	err := jx.DecodeBytes(text).Obj(func(d *jx.Decoder, model string) error {
		e := entry{model: model, prices: map[string]number{}, takes: map[string]bool{}, makes: map[string]bool{}}
		if d.Next() != jx.Object {
			entries = append(entries, e)
			return d.Skip()
		}
		e.object = true
		seen := map[string]bool{}
		err := d.Obj(func(d *jx.Decoder, key string) error {
			e.twice = e.twice || seen[key]
			seen[key] = true
			if kind := d.Next(); isPriceField(key) || kind == jx.Object {
				return e.readPrice(d, key, seen)
			}
			return e.readTrait(d, key)
		})
		entries = append(entries, e)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrList, err)
	}
	return entries, nil
}

// fieldBytesMax bounds a field's name with the names of the objects around it,
// and so their depth. The list's longest is under 80 bytes, one object deep.
const fieldBytesMax = 1024

// readPrice collects the price fields in a value, under the names that the path
// to them makes unique: outer.inner, and the index in an array. What is inside a
// price field is one as well.
func (e *entry) readPrice(d *jx.Decoder, name string, seen map[string]bool) error {
	if len(name) > fieldBytesMax {
		return errors.New("objects nested too deeply")
	}
	switch d.Next() {
	case jx.Object:
		return d.Obj(func(d *jx.Decoder, key string) error {
			inner := name + "." + key
			e.twice = e.twice || seen[inner]
			seen[inner] = true
			return e.readPrice(d, inner, seen)
		})
	case jx.Array:
		i := -1
		return d.Arr(func(d *jx.Decoder) error {
			i++
			return e.readPrice(d, name+"."+strconv.Itoa(i), seen)
		})
	}
	if !isPriceField(name) {
		return d.Skip()
	}
	raw, err := d.Raw()
	e.prices[name] = number{}
	if raw.Type() == jx.Number {
		e.prices[name] = number{string(raw), true}
	}
	return err
}

// traits are the switches that say what a model takes and makes.
var traits = map[string]struct {
	kind  string
	makes bool
}{
	"supports_vision": {"image", false}, "supports_image_input": {"image", false},
	"supports_embedding_image_input": {"image", false}, "supports_audio_input": {"audio", false},
	"supports_video_input": {"video", false}, "supports_audio_output": {"audio", true},
}

// readTrait reads what is known of the model besides its prices.
func (e *entry) readTrait(d *jx.Decoder, key string) (err error) {
	kind := d.Next()
	switch {
	case key == "litellm_provider" && kind == jx.String:
		e.provider, err = d.Str()
		return err
	case key == "mode" && kind == jx.String:
		e.mode, err = d.Str()
		return err
	case key == "supported_modalities" && kind == jx.Array:
		return readKinds(d, e.takes)
	case key == "supported_output_modalities" && kind == jx.Array:
		return readKinds(d, e.makes)
	case traits[key].kind != "" && kind == jx.Bool:
		yes, err := d.Bool()
		if trait := traits[key]; yes && trait.makes {
			e.makes[trait.kind] = true
		} else if yes {
			e.takes[trait.kind] = true
		}
		return err
	}
	return d.Skip()
}

func readKinds(d *jx.Decoder, into map[string]bool) error {
	return d.Arr(func(d *jx.Decoder) error {
		if d.Next() != jx.String {
			return d.Skip()
		}
		kind, err := d.Str()
		into[kind] = true
		return err
	})
}
