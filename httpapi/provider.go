package httpapi

import (
	"farthing/refusal"
	"farthing/usage"
)

// usageFormatKey says, at the top of an event or in its data, that data.usage is the
// object that a provider sent. It is no dimension.
const usageFormatKey = "usage_format"

// serviceTierKey is the dimension that usage may state, too.
const serviceTierKey = "service_tier"

const (
	// noProvider: data.usage maps components to quantities.
	noProvider usage.Format = 0
	// badProvider: usage_format was refused. Then data.usage is not looked at, so that
	// the refusal does not depend on the order of keys.
	badProvider usage.Format = 255
)

// provider is what an event says about a provider's own usage object.
//
// The format may come after the usage. Nearly all events have no format, so usage is
// read as components at once, and an event with a late format is read again with it.
// That costs the event's reading once more, and the refusals of the first.
type provider struct {
	format usage.Format
	raw    []byte // data.usage as it came; nil: not given or null
	plain  bool   // data.usage was read as components
	late   bool   // and should not have been
	again  bool   // this is the second reading: format is known
	parts  [16]usage.Component

	// The event's own service_tier. It waits for the format: with one, it is read as the
	// provider's would be.
	tierKey, tier []byte // nil: not given
}

// begin makes p ready for another event, or for the second reading of this one.
func (p *provider) begin() {
	if !p.again {
		p.format = noProvider
	}
	p.raw, p.plain, p.late, p.again, p.tierKey, p.tier = nil, false, false, false, nil, nil
}

// usageFormat reads a usage_format at p; depth is that of the object it is in.
func (d *decoder) usageFormat(p, depth int) int {
	if p >= len(d.in) || d.in[p] != '"' {
		start := p
		if p = d.value(p, depth); p >= 0 && d.in[start] != 'n' {
			d.setFormat(badProvider)
			d.wrongType(usageFormatKey, "a string")
		}
		return p
	}
	name, p := d.str(p)
	if p < 0 {
		return p
	}
	f, ok := usage.ParseFormat(name)
	switch {
	case !ok:
		d.setFormat(badProvider)
		d.batch.Refuse(refusal.Invalid, "unknown_usage_format", "usage_format must be one of %s, not %s", usage.Names, clipped(name))
	case d.provider.format != noProvider && d.provider.format != badProvider && d.provider.format != f:
		d.batch.Refuse(refusal.Invalid, "usage_format_contradiction", "usage_format is given twice, as %s and as %s", d.provider.format, f)
	default:
		d.setFormat(f)
	}
	return p
}

// setFormat notes the format, and whether it came too late.
func (d *decoder) setFormat(f usage.Format) {
	d.provider.format = f
	d.provider.late = d.provider.plain
}

// rawUsage steps over data.usage at p, a provider's object.
func (d *decoder) rawUsage(p int) int {
	start := p
	if p = d.value(p, 2); p >= 0 && d.in[start] != 'n' {
		d.provider.raw = d.in[start:p]
	}
	return p
}

// normalise adds what the provider's object comes to.
func (d *decoder) normalise() {
	p := &d.provider
	switch {
	case p.format == badProvider:
		return
	case p.raw == nil:
		d.batch.Refuse(refusal.Invalid, "missing_field", "data.usage is missing, which usage_format says the format of")
		return
	case !d.batch.SetRawUsage(byte(p.format), p.raw):
		return
	}
	parts, tier, no := p.format.Normalise(p.raw, p.parts[:0])
	if no != nil {
		d.batch.Refuse(no.Code, no.Reason, "data.usage: %s", no.Detail)
		return
	}
	for _, c := range parts {
		d.batch.Component(d.keep(c.Name), c.Quantity)
	}
	d.serviceTier(tier)
}

// serviceTier adds the service tier that the event or its usage states, in the word that
// prices have for it. Standard is what is meant where nothing is said, and no dimension.
func (d *decoder) serviceTier(stated string) {
	p := &d.provider
	tier := usage.Tier(p.tier)
	switch {
	case tier == "":
		tier = stated
	case stated != "" && stated != tier:
		d.batch.Refuse(refusal.Invalid, "usage_contradiction", "data.service_tier is %s, but data.usage has %s", clipped(p.tier), clipped([]byte(stated)))
	}
	if tier == "" || tier == usage.Standard {
		return
	}
	if p.tierKey == nil {
		p.tierKey = d.keep(serviceTierKey)
	}
	d.batch.Dimension(p.tierKey, d.keep(tier))
}

// keep returns s as bytes that live until the event is read.
func (d *decoder) keep(s string) []byte {
	base := len(d.scratch)
	d.scratch = append(d.scratch, s...)
	return d.scratch[base:len(d.scratch):len(d.scratch)]
}
