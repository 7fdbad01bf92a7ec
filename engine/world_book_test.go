package engine

import (
	"fmt"
	"math/rand/v2"
	"time"

	"farthing/meter"
)

const day = 24 * time.Hour

// newWorld is a price book in three currencies with 2, 0 and 3 minor digits, effective in
// the last 60 of the 90 days in which events lie: some prices depend on the event alone,
// some on what its period counted.
func newWorld(base time.Time) *world {
	w := &world{base: base, specs: map[string]AccountSpec{}, calls: map[string]call{}, topUps: map[string]TopUp{},
		versions: map[string]*modelVersion{}, voids: map[string]VoidSpec{}, rerates: map[string]RerateSpec{}, results: map[string]worldResult{}}
	v := &modelVersion{id: "v1", from: base.Add(-60 * day).UnixNano()}
	for code, scale := range map[string][4]string{
		"USD": {"0.0000025", "0.00001", "0.000000000000000007", "0.0004"},
		"JPY": {"0.37", "1.1", "0.000000000000000001", "3"},
		"KWD": {"0.00071", "0.0123", "0.1", "0.0005"},
	} {
		unit := func(i int) object { return object{"unit": scale[i]} }
		prov := "prov-" + code
		v.prices = append(v.prices,
			modelPrice{"llm.tokens", code, map[string]string{"model": "m1"}, map[string]object{"input": unit(0), "output": unit(1)}, prov, "0.1"},
			modelPrice{"llm.tokens", code, map[string]string{"model": "m2"}, map[string]object{"output": unit(1),
				"input": {"unit": scale[2], "above": []object{{"of": []string{"input", "output"}, "quantity": "5000", "unit": scale[0]}}}}, prov, "0"},
			modelPrice{"llm.tokens", code, map[string]string{}, map[string]object{"input": {"volume": []object{{"up_to": "20000", "unit": scale[1]}, {"unit": scale[0]}}}}, prov, "0.333333333333333333"},
			modelPrice{"api.calls", code, map[string]string{}, map[string]object{"call": {"graduated": []object{{"up_to": "5", "unit": "0"}, {"unit": scale[3], "flat": scale[1]}}}}, "", ""},
			modelPrice{"storage", code, map[string]string{}, map[string]object{"gb": {"unit": scale[1], "included": "20.5", "quantity_decimals": 3, "period": "window"},
				"seconds": {"unit": scale[0], "quantity_decimals": 3, "flat": scale[3]}}, prov, "0.25"})
	}
	w.versions[v.id] = v
	return w
}

// randomVersion makes a version with other prices of the same kind, more meters and
// components at times, effective from some moment of the 95 days before.
func (w *world) randomVersion(rng *rand.Rand, id string, n int) *modelVersion {
	v := &modelVersion{id: id, from: w.base.Add(-95*day+time.Duration(rng.Int64N(int64(95*day)))).UnixNano()/1000*1000 + int64(n)}
	for _, code := range worldCurrencies {
		payee := func() (string, string) {
			if rng.IntN(3) == 0 {
				return "", ""
			}
			return "prov-" + code, []string{"0", "0.1", "0.333333333333333333", "1"}[rng.IntN(4)]
		}
		add := func(kind string, match map[string]string, names ...string) {
			p := modelPrice{meter: kind, currency: code, match: match, components: map[string]object{}}
			p.payee, p.fee = payee()
			for _, name := range names {
				p.components[name] = randomPrice(rng, name, names...)
			}
			v.prices = append(v.prices, p)
		}
		add("llm.tokens", map[string]string{"model": "m1"}, "input", "output")
		add("llm.tokens", map[string]string{"model": "m2"}, "input", "output", "audio")
		if rng.IntN(2) == 0 {
			add("llm.tokens", map[string]string{"model": "m1", "tier": "batch"}, "input", "output")
		}
		names := []string{"input", "output"}
		if rng.IntN(3) == 0 {
			names = append(names, "audio")
		}
		add("llm.tokens", map[string]string{}, names...)
		add("api.calls", map[string]string{}, "call")
		add("storage", map[string]string{}, "gb", "seconds")
		if rng.IntN(3) == 0 {
			add("nothing.known", map[string]string{}, "call")
		}
	}
	return v
}

// randomPrice is the price of a component under a random model, which may look at another one
// of those that the price has.
func randomPrice(rng *rand.Rand, name string, names ...string) object {
	decimals := 0
	if (name == "gb" || name == "seconds") && rng.IntN(5) > 0 {
		decimals = 3
	}
	unit := func() object {
		o := object{"unit": []string{"0", "0.0000025", "0.37", "1.1", "0.0123", "0.000000000000007", "12"}[rng.IntN(7)]}
		if rng.IntN(4) == 0 {
			o["unit"], o["per"] = []string{"2.5", "0.1", "7"}[rng.IntN(3)], []string{"1000000", "8", "1000"}[rng.IntN(3)]
		}
		if rng.IntN(5) == 0 {
			o["flat"] = []string{"0.005", "0.000000000000000001", "3"}[rng.IntN(3)]
		}
		return o
	}
	threshold := func(i int) string { // ascending with i
		text := fmt.Sprint((i+1)*1000*(1+rng.IntN(3)) - rng.IntN(990))
		if name == "call" {
			text = fmt.Sprint((i+1)*9 - rng.IntN(8))
		}
		return text
	}
	o := unit()
	switch rng.IntN(8) {
	case 0:
		o["minimum"] = []string{"0.001", "0.25"}[rng.IntN(2)]
	case 1:
		of := []string{name}
		if len(names) > 0 {
			if other := names[rng.IntN(len(names))]; other != name {
				of = append(of, other)
			}
		}
		o["above"] = []object{{"of": of, "quantity": threshold(0), "unit": "0.002"}, {"of": of, "quantity": "90000", "unit": "0.0007", "per": "4"}}
	case 2:
		o["package"] = threshold(0)
	case 3:
		o["included"] = threshold(1)
	case 4, 5:
		field := []string{"graduated", "volume"}[rng.IntN(2)]
		low := unit()
		low["up_to"] = threshold(0)
		high := unit()
		high["up_to"] = fmt.Sprint(5000 + rng.IntN(20000))
		o = object{field: []object{low, high, unit()}}
	}
	if counts(o) != "" && rng.IntN(2) == 0 {
		o["period"] = "window"
	}
	if decimals > 0 {
		o["quantity_decimals"] = decimals
	}
	return o
}

// putVersion puts a version of the world.
func (a *activity) putVersion(e *Engine, model *modelVersion) {
	a.mu.Lock()
	a.w.versions[model.id] = model
	a.mu.Unlock()
	v, refused := meter.ParseVersion(model.id, model.document())
	var got PriceVersion
	if refused == nil {
		got, _, refused = e.PutPrices(v, nil)
	}
	if refused != nil {
		a.t.Errorf("version %s: %v\n%s", model.id, refused, model.document())
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.versions[model.id] = true
	a.answered(got.Sequence)
}

// void takes some event back that was submitted, perhaps once more.
func (a *activity) void(e *Engine, rng *rand.Rand) {
	spec := VoidSpec{ID: a.id("void"), Reason: []string{"", "entered twice"}[rng.IntN(2)]}
	a.mu.Lock()
	for identity, c := range a.w.calls {
		if a.events[identity] {
			spec.Source, spec.Event = c.source, c.id
			break
		}
	}
	a.mu.Unlock()
	if spec.Source != "" {
		a.voidEvent(e, spec)
	}
}

// voidEvent voids an event that is booked, and checks that all voids of it are answered alike.
func (a *activity) voidEvent(e *Engine, spec VoidSpec) {
	a.mu.Lock()
	a.w.voids[spec.ID] = spec
	a.mu.Unlock()
	got, created, refused := e.Void(spec)
	if refused != nil {
		a.t.Errorf("void %+v: %v", spec, refused)
		return
	}
	identity := spec.Source + "\x00" + spec.Event
	a.mu.Lock()
	defer a.mu.Unlock()
	if first, there := a.voids[identity]; there && first != fmt.Sprintf("%+v", got) {
		a.t.Errorf("void %+v is answered %+v, was %s", spec, got, first)
	}
	if created {
		a.voidsMade[identity]++
	}
	a.voids[identity] = fmt.Sprintf("%+v", got)
	a.answered(got.Sequence)
}

// stretch is all of time at times, else some weeks.
func (a *activity) stretch(rng *rand.Rand) (from, to time.Time) {
	if rng.IntN(3) > 0 {
		from = a.w.base.Add(-time.Duration(rng.Int64N(int64(90 * day))))
		to = from.Add(time.Duration(1 + rng.Int64N(int64(60*day))))
	}
	return from, to
}

// anyVersion is a version that was put.
func (a *activity) anyVersion() (id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id = range a.versions {
		break
	}
	return id
}

func (a *activity) rerate(e *Engine, rng *rand.Rand) {
	spec := RerateSpec{ID: a.id("rerate"), Version: a.anyVersion()}
	spec.From, spec.To = a.stretch(rng)
	a.mu.Lock()
	a.w.rerates[spec.ID] = spec
	a.mu.Unlock()
	got, _, refused := e.Rerate(spec)
	if refused != nil {
		if refused.Reason != "rerate_running" {
			a.t.Errorf("rerate %+v: %v", spec, refused)
		}
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rerates[spec.ID] = true
	a.answered(got.Sequence)
}

// look reads what rating shows, while it changes.
func (a *activity) look(e *Engine, rng *rand.Rand) {
	o := RepriceOptions{Version: a.anyVersion()}
	o.From, o.To = a.stretch(rng)
	run := e.Simulate
	if rng.IntN(2) == 0 {
		run = e.PreviewRerate
	}
	if _, refused := run(o); refused != nil && refused.Reason != "simulations_running" && refused.Reason != "book_changed" {
		a.t.Errorf("%+v: %v", o, refused)
	}
	if _, refused := e.Unpriced("", 20); refused != nil {
		a.t.Error(refused)
	}
	if _, refused := e.UnpricedSummary(10); refused != nil {
		a.t.Error(refused)
	}
	var c call
	a.mu.Lock()
	for identity, known := range a.w.calls {
		if a.events[identity] {
			c = known
			break
		}
	}
	a.mu.Unlock()
	if c.id != "" {
		if _, refused := e.Event(c.source, c.id); refused != nil {
			a.t.Error(refused)
		}
	}
}
