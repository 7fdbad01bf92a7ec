package e2e

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"time"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// The size of the gateway's world.
const (
	gatewayStreams   = 200 // at once
	gatewayTeams     = 5   // of each organisation
	gatewayUsers     = 50  // of each organisation
	gatewayModels    = 6
	gatewayProviders = 3 // that earn every other model; the operator earns the rest
	gatewayMeter     = "llm.tokens"
	gatewaySource    = "gateway/1"
)

// organisation is a root that pays for its teams' streams.
type organisation struct {
	id       string
	keys     []string
	spend    decimal.Decimal // if every request were served
	opening  client.Money
	grants   []client.NewGrant
	settings client.NewSettings
	// short hears of a stream that was refused for want of credit.
	short chan struct{}
}

// gatewayPlan is everything that is drawn beforehand. It follows from input and seed; only its
// moment differs from run to run, and what the server makes of it.
type gatewayPlan struct {
	now     time.Time
	orgs    []*organisation
	models  []model // the cheapest first, which promotions are for
	streams []*stream
	limits  map[string][]client.Limit // by account
}

// fate is how a stream ends.
type fate uint8

const (
	served    fate = iota // captured with what it used
	abandoned             // never heard of again
	cancelled             // voided
)

// stream is one request of the trace: what is drawn for it, and what was answered.
type stream struct {
	n         int
	org       *organisation
	key       string
	model     model
	used      client.Event // if it is served to its end
	estimated uint64       // output tokens that its hold is for
	byAmount  bool
	ttl       time.Duration
	longer    []prolonging
	stubborn  bool // goes on when it may not be prolonged
	fate      fate

	// What was answered; one goroutine writes it while the stream runs.
	refused  *client.Shortfall
	held     client.Held
	extended []prolonged
	captured *client.Captured
	sent     client.Event // what was captured
	voided   *client.VoidedHold
	late     bool // its hold had expired
}

// prolonging is an extension that is to be asked for.
type prolonging struct {
	output  uint64 // more output tokens to hold credit for; 0: none
	ttl     time.Duration
	reports bool
}

// prolonged is an extension that was done.
type prolonged struct {
	id     string
	amount decimal.Decimal
	report *client.Event
	unsure bool // it was refused, but it had been sent before
}

func newGatewayPlan(rng *rand.Rand, trace []traced, listed []model, now time.Time) *gatewayPlan {
	p := &gatewayPlan{now: now, limits: map[string][]client.Limit{}}
	for _, pick := range rng.Perm(len(listed))[:gatewayModels] {
		p.models = append(p.models, listed[pick])
	}
	sort.Slice(p.models, func(i, j int) bool { return p.models[i].output.LessThan(p.models[j].output) })
	for i := 0; i < gatewayModels; i += 2 {
		p.models[i].provider = providerName(i / 2)
	}
	for _, id := range []string{"acme", "globex"} {
		o := &organisation{id: id, short: make(chan struct{}, 1)}
		for u := range gatewayUsers {
			o.keys = append(o.keys, fmt.Sprintf("%s/team-%d/user-%02d/key", id, u%gatewayTeams, u))
		}
		p.orgs = append(p.orgs, o)
	}
	for n, row := range shift(trace, now) {
		p.streams = append(p.streams, p.newStream(rng, n, row))
	}
	p.drawLimits()
	for i, o := range p.orgs {
		p.drawCredit(o, i == 1)
	}
	return p
}

// parentOf is the account above one; "": it is a root.
func parentOf(id string) string {
	for i := len(id) - 1; i > 0; i-- {
		if id[i] == '/' {
			return id[:i]
		}
	}
	return ""
}

// chainOf is an account and all above it; the root is last.
func chainOf(id string) (chain []string) {
	for ; id != ""; id = parentOf(id) {
		chain = append(chain, id)
	}
	return chain
}

func (p *gatewayPlan) newStream(rng *rand.Rand, n int, row traced) *stream {
	o := p.orgs[rng.IntN(len(p.orgs))]
	s := &stream{
		n: n, org: o, key: o.keys[rng.IntN(len(o.keys))], model: p.models[rng.IntN(len(p.models))],
		byAmount: rng.IntN(10) == 0, stubborn: rng.IntN(2) == 0,
		ttl: 4*time.Second + time.Duration(rng.IntN(2000))*time.Millisecond,
	}
	s.used = client.Event{ID: fmt.Sprintf("req-%05d", n), Source: gatewaySource, Type: gatewayMeter, Subject: s.key,
		Time: row.at, Model: s.model.name, Usage: map[string]uint64{"input": row.input, "output": row.output}}
	switch draw := rng.IntN(100); {
	case draw < 5:
		s.fate = abandoned
	case draw < 7:
		s.fate = cancelled
	}
	switch draw := rng.IntN(10); {
	case draw < 7:
		s.estimated = powerOfTwo(row.output)
	case draw < 9:
		s.estimated = 1024 // more than any answer of the trace
	default:
		s.estimated = 1 + row.output/4 // it will have to be prolonged
	}
	s.drawProlongings(rng)
	return s
}

func powerOfTwo(n uint64) uint64 {
	power := uint64(1)
	for power < n {
		power *= 2
	}
	return power
}

func (s *stream) drawProlongings(rng *rand.Rand) {
	n, short := 0, s.estimated < s.used.Usage["output"]
	switch draw := rng.IntN(100); {
	case draw < 5:
		n = 2
	case draw < 20 || short:
		n = 1
	}
	for range n {
		x := prolonging{reports: rng.IntN(2) == 0}
		if short {
			x.output = 1 + s.used.Usage["output"]/3 // one is not enough
		}
		if !x.reports && !short || rng.IntN(2) == 0 {
			x.ttl = s.ttl
		}
		s.longer = append(s.longer, x)
	}
}

// so is the stream's event after so many output tokens.
func (s *stream) so(output uint64) client.Event {
	e := s.used
	e.Usage = map[string]uint64{"input": s.used.Usage["input"], "output": min(output, s.used.Usage["output"])}
	return e
}

func (s *stream) id() string { return "hold-" + s.used.ID }

// estimate is what the hold is for.
func (s *stream) estimate() map[string]uint64 {
	return map[string]uint64{"input": s.used.Usage["input"], "output": s.estimated}
}

func (s *stream) estimateCost() decimal.Decimal {
	return s.model.cost(client.Event{Usage: s.estimate()})
}

// part is a per cent share, cut at a place no price of the list comes near.
func part(of decimal.Decimal, percent int64) client.Money {
	return client.Money{Decimal: of.Mul(decimal.NewFromInt(percent)).Shift(-2).Truncate(16).Add(decimal.New(1, -17))}
}

// drawLimits gives teams a budget for the month, users a count a minute and a budget a day, keys
// a bound for one call. Some of each are too small for what is coming.
func (p *gatewayPlan) drawLimits() {
	spend, costs := map[string]decimal.Decimal{}, []decimal.Decimal{}
	for _, s := range p.streams {
		cost := s.model.cost(s.used)
		for _, id := range chainOf(s.key) {
			spend[id] = spend[id].Add(cost)
		}
		costs = append(costs, s.estimateCost())
	}
	sort.Slice(costs, func(i, j int) bool { return costs[i].LessThan(costs[j]) })
	call := part(costs[len(costs)*95/100], 100)
	for _, s := range p.streams {
		if s.n%2 == 0 && s.model.cost(s.used).GreaterThan(call.Decimal) {
			s.estimated, s.longer, s.stubborn = 1, nil, true // an answer that nobody expected: no limit lets it be charged in full
		}
	}
	for _, o := range p.orgs {
		o.spend = spend[o.id]
		for i, key := range o.keys {
			user, team := parentOf(key), parentOf(parentOf(key))
			day, minute := part(spend[user], 300), uint64(5000)
			if i%10 == 3 { // none of a team whose budget is small
				day = part(spend[user], 35)
			}
			if i%10 == 5 {
				minute = uint64(len(p.streams) / 500) // a fifth of what is coming, however many minutes that takes
			}
			p.limits[key] = []client.Limit{{Name: "call", Per: "call", Amount: &call}}
			p.limits[user] = []client.Limit{{Name: "minute", Per: "minute", Count: &minute}, {Name: "day", Per: "day", Amount: &day}}
			budget := part(spend[team], []int64{300, 30, 70, 300, 150}[i%gatewayTeams])
			p.limits[team] = []client.Limit{{Name: "budget", Per: "month", Amount: &budget}}
		}
	}
}

// drawCredit gives an organisation less than it will spend: the rest are top-ups.
func (p *gatewayPlan) drawCredit(o *organisation, captures bool) {
	o.opening = part(o.spend, 6)
	priority := func(n uint32) *uint32 { return &n }
	o.grants = []client.NewGrant{
		{ID: o.id + "-paid", Kind: "paid", Amount: part(o.spend, 4), Priority: priority(200)},
		{ID: o.id + "-launch", Kind: "promo", Amount: part(o.spend, 5), Priority: priority(10), Scope: &client.Scope{Types: []string{gatewayMeter}, Match: map[string]string{"model": p.models[0].name}}},
		// More than its model can use: some of it is held when it expires; see open.
		{ID: o.id + "-trial", Kind: "promo", Amount: part(o.spend, 50), Priority: priority(10), Scope: &client.Scope{Match: map[string]string{"model": p.models[1].name}}, ExpiresAt: &time.Time{}},
		{ID: o.id + "-welcome", Kind: "promo", Amount: part(o.spend, 8)},
	}
	threshold, low := part(o.spend, 2), part(o.spend, 1)
	o.settings = client.NewSettings{Excess: &client.Excess{Policy: "cap"}, CreditLow: &low,
		AutoTopUp: &client.AutoTopUp{Threshold: threshold, Amount: part(o.spend, 1), MaxPerDay: 1000}}
	if captures {
		o.settings.Abandoned = "capture"
	}
}

// book is the plan's models as a price book, with components as they were imported.
func (p *gatewayPlan) book(imported client.Book) client.Book {
	s := scenario{now: p.now, models: p.models}
	book, err := s.book(imported)
	if err != nil {
		panic("BUG: e2e: " + err.Error()) // the models are of the imported ones
	}
	return book
}

// affordable drops models whose price would make the rest of a bill vanish beside theirs.
func affordable(models []model) (kept []model) {
	least, most := decimal.New(4, -7), decimal.New(1, -5)
	for _, m := range models {
		if m.output.GreaterThan(least) && m.output.LessThan(most) {
			kept = append(kept, m)
		}
	}
	return kept
}
