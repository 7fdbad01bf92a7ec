package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

func amountOf(s string) decimal.Decimal { return decimal.RequireFromString(s) }

// twinRig is a twin with an organisation o, a team with 10 a month, a user with two calls a
// minute and a key with 6 a call; 20 are paid, 3 given for model m until 10:05.
type twinRig struct {
	*creditTwin
	t *testing.T
}

func newTwinRig(t *testing.T) *twinRig {
	r := &twinRig{newCreditTwin(), t}
	six, ten, two := client.M("6"), client.M("10"), uint64(2)
	until := r.at("10:05:00")
	r.limit("o/t/u/k", client.Limit{Name: "call", Per: "call", Amount: &six})
	r.limit("o/t/u", client.Limit{Name: "minute", Per: "minute", Count: &two})
	r.limit("o/t", client.Limit{Name: "budget", Per: "month", Amount: &ten})
	r.topUp("o", amountOf("20"))
	r.give("o", client.NewGrant{ID: "g", Kind: "promo", Amount: client.M("3"), ExpiresAt: &until, Scope: &client.Scope{Match: map[string]string{"model": "m"}}}, 7)
	return r
}

func (r *twinRig) at(clock string) time.Time {
	r.t.Helper()
	at, err := time.Parse(time.DateTime, "2026-11-29 "+clock)
	if err != nil {
		r.t.Fatal(err)
	}
	return at
}

// is checks pool, what is held on it, and the grant: remaining, held, used, expired.
func (r *twinRig) is(want string) {
	r.t.Helper()
	p := r.root("o")
	g := p.grants[0]
	if got := fmt.Sprint(p.pool, p.held, " ", g.remaining, g.held, g.used, g.expired, " lost ", p.lost); got != want {
		r.t.Errorf("got %s, want %s", got, want)
	}
}

func (r *twinRig) faulty(n int) {
	r.t.Helper()
	if len(r.faults) != n {
		r.t.Errorf("%d faults, want %d: %v", len(r.faults), n, r.faults)
	}
}

func TestCreditTwin(t *testing.T) {
	r := newTwinRig(t)
	short := func(account, limit, asked, left string) *client.Shortfall {
		return &client.Shortfall{Account: account, Limit: limit, Asked: client.M(asked), Left: client.M(left)}
	}
	place := func(id, model, amount, clock string, refused *client.Shortfall) {
		r.place(id, "o/t/u/k", model, amountOf(amount), r.at(clock), refused)
	}
	place("a", "m", "6.000000001", "10:00:00", short("o/t/u/k", "call", "6.000000001", "6"))
	place("a", "m", "5", "10:00:01", nil)
	r.is("20 2 3 3 0 0 lost 0")
	place("b", "n", "4", "10:00:02", nil)
	r.is("20 6 3 3 0 0 lost 0")
	place("c", "n", "1", "10:00:59", short("o/t/u", "minute", "1", "0"))
	place("c", "n", "1.5", "10:01:00", short("o/t", "budget", "1.5", "1"))
	r.extend("b", amountOf("1"), r.at("10:01:01")) // of another minute than b was
	place("c", "n", "1", "10:00:59", short("o/t", "budget", "1", "0"))
	r.faulty(0)

	// b costs 1 more than it has: the budget of 10 is full, so the operator loses it.
	r.capture("b", "n", amountOf("6"), amountOf("5"), r.at("10:01:02"))
	r.is("15 2 3 3 0 0 lost 1")
	// The grant is over, but what was held on it pays; the rest of it goes.
	r.capture("a", "m", amountOf("2"), amountOf("2"), r.at("10:05:00"))
	r.is("15 0 0 0 2 1 lost 1")
	place("d", "m", "3", "10:05:01", nil)
	r.is("15 3 0 0 2 1 lost 1")
	r.release("d", r.at("10:05:02"))
	r.is("15 0 0 0 2 1 lost 1")
	r.faulty(0)
	if c := r.limits["o/t"][0].at(r.at("10:05:02")); !c.spent.Equal(amountOf("7")) || !c.held.IsZero() || c.calls != 2 || c.reserved != 0 {
		t.Errorf("the budget counts %+v", c)
	}
}

// A server that decides otherwise is found out.
func TestCreditTwinFinds(t *testing.T) {
	f := func(what string, wrong func(r *twinRig)) {
		t.Helper()
		r := newTwinRig(t)
		r.place("a", "o/t/u/k", "m", amountOf("5"), r.at("10:00:00"), nil)
		r.faulty(0)
		wrong(r)
		r.faulty(1)
	}
	place := func(amount string, refused *client.Shortfall) func(r *twinRig) {
		return func(r *twinRig) {
			r.place("b", "o/t/u/k", "n", amountOf(amount), r.at("10:00:01"), refused)
		}
	}
	f("a budget passed by a unit", place("5.000000000000000001", nil))
	f("refused where it fits", place("5", &client.Shortfall{Account: "o/t", Limit: "budget", Asked: client.M("5"), Left: client.M("4")}))
	f("another limit", place("5.5", &client.Shortfall{Account: "o", Limit: "credit", Asked: client.M("5.5"), Left: client.M("5")}))
	f("another rest", place("5.5", &client.Shortfall{Account: "o/t", Limit: "budget", Asked: client.M("5.5"), Left: client.M("4.9")}))
	f("extended beyond a call", func(r *twinRig) { r.extend("a", amountOf("1.1"), r.at("10:00:01")) })
	f("charged too much", func(r *twinRig) { r.capture("a", "m", amountOf("4"), amountOf("4.1"), r.at("10:00:01")) })
	f("lost where there is credit", func(r *twinRig) { r.capture("a", "m", amountOf("6"), amountOf("5"), r.at("10:00:01")) })
	f("released twice", func(r *twinRig) { r.release("a", r.at("10:00:01")); r.release("a", r.at("10:00:02")) })
	f("charged beyond a call", func(r *twinRig) { r.capture("a", "m", amountOf("7"), amountOf("7"), r.at("10:00:01")) })
}

func TestBurnOrder(t *testing.T) {
	r := newTwinRig(t)
	early, later, low := r.at("10:04:00"), r.at("10:06:00"), uint32(5)
	r.give("o", client.NewGrant{ID: "never"}, 1)
	r.give("o", client.NewGrant{ID: "low", Priority: &low}, 11)
	r.give("o", client.NewGrant{ID: "later", ExpiresAt: &later}, 8)
	r.give("o", client.NewGrant{ID: "early", ExpiresAt: &early}, 9)
	r.give("o", client.NewGrant{ID: "younger", ExpiresAt: &early}, 10)
	order := ""
	for _, g := range r.root("o").grants {
		order += g.ID + " "
	}
	if order != "low early younger g later never " {
		t.Errorf("the burn order is %s", order)
	}
}

// servedStream is a stream and a history of its hold that agree.
func servedStream() (*stream, *client.HoldHistory) {
	o := &organisation{id: "o"}
	s := &stream{org: o, key: "o/t/u/k", model: model{name: "m", input: amountOf("0.1"), output: amountOf("0.2")}, estimated: 16}
	s.used = client.Event{ID: "req-1", Source: gatewaySource, Type: gatewayMeter, Subject: s.key, Time: time.Unix(1e9, 0), Model: "m", Usage: map[string]uint64{"input": 10, "output": 9}}
	s.sent, s.extended = s.used, []prolonged{{id: "x", amount: amountOf("1")}, {id: "y", unsure: true}}
	s.captured = &client.Captured{Charged: client.M("2.8"), Released: client.M("2.4"), Sequence: 9}
	end, at := uint64(9), time.Unix(1e9+2, 0)
	return s, &client.HoldHistory{ID: s.id(), Account: s.key, State: "captured", Amount: client.M("5.2"), Charged: client.M("2.8"), Released: client.M("2.4"),
		Created: time.Unix(1e9, 0), Expires: time.Unix(1e9+9, 0), Ended: &at, Sequence: 5, End: &end,
		Extensions: []client.HoldExtension{{ID: "x", Amount: client.M("1"), Time: time.Unix(1e9+1, 0), Sequence: 7}},
		Captured:   &client.CapturedEvent{Source: gatewaySource, Event: "req-1"}}
}

func TestReplay(t *testing.T) {
	f := func(what string, faulty bool, change func(s *stream, h *client.HoldHistory)) {
		t.Helper()
		s, h := servedStream()
		change(s, h)
		b := replay(&gatewayPlan{streams: []*stream{s}}, []client.HoldHistory{*h}, nil, map[string][]credited{"o": {{Sequence: 1, Amount: client.M("100")}}})
		if (len(b.faults) > 0) != faulty {
			t.Errorf("%s: faults %v", what, b.faults)
		}
		if pool := b.twin.root("o").pool; !faulty && !pool.Equal(amountOf("97.2")) || !faulty && !b.earned[""].Equal(amountOf("2.8")) {
			t.Errorf("%s: %s left, %s earned", what, pool, b.earned[""])
		}
	}
	f("agreed", false, func(*stream, *client.HoldHistory) {})
	f("reported and abandoned", false, func(s *stream, h *client.HoldHistory) {
		s.org.settings.Abandoned, s.captured = "capture", nil
		s.extended[0].report, h.Extensions[0].Reported, s.sent = &s.used, true, client.Event{}
	})
	f("the wrong account", true, func(_ *stream, h *client.HoldHistory) { h.Account = "o/t/u" })
	f("still held", true, func(_ *stream, h *client.HoldHistory) { h.State, h.Ended, h.End = "held", nil, nil })
	f("refused in history alone", true, func(_ *stream, h *client.HoldHistory) { h.State, h.Refused = "refused", &client.Shortfall{} })
	f("another amount", true, func(_ *stream, h *client.HoldHistory) { h.Amount = client.M("5.3") })
	f("an extension too few", true, func(_ *stream, h *client.HoldHistory) { h.Extensions, h.Amount = nil, client.M("4.2") })
	f("an extension too many", true, func(s *stream, _ *client.HoldHistory) { s.extended = nil })
	f("another event", true, func(_ *stream, h *client.HoldHistory) { h.Captured.Event = "req-2" })
	f("charged otherwise than answered", true, func(s *stream, _ *client.HoldHistory) { s.captured.Charged = client.M("2.7") })
	f("rated otherwise", true, func(s *stream, _ *client.HoldHistory) { s.sent = s.so(8) })
	f("released too little", true, func(s *stream, h *client.HoldHistory) {
		h.Released, s.captured.Released = client.M("2.3"), client.M("2.3")
	})
	f("voided, but captured", true, func(s *stream, _ *client.HoldHistory) { s.captured, s.voided = nil, &client.VoidedHold{} })
	f("abandoned, but captured", true, func(s *stream, _ *client.HoldHistory) { s.captured = nil })
	f("expired before its time", true, func(s *stream, h *client.HoldHistory) { s.captured, h.State, h.Released = nil, "expired", h.Amount })
}

func TestLookerFinds(t *testing.T) {
	f := func(per, amount, spent, held string, count, calls uint64, faults int) {
		t.Helper()
		l := looker{}
		most := client.M(amount)
		l.used("a", client.LimitUsed{Limit: client.Limit{Per: per, Amount: &most, Count: &count}, Spent: client.M(spent), Held: client.M(held), Calls: calls})
		if len(l.faults) != faults {
			t.Errorf("%s: faults %v", per, l.faults)
		}
	}
	f("month", "10", "7", "3", 5, 5, 0)
	f("month", "10", "7", "3.000000000000000001", 5, 5, 1)
	f("day", "10", "0", "0", 5, 6, 1)
}

// A bank that misses a notification, or gets one twice, says so.
func TestBankFinds(t *testing.T) {
	for _, sequences := range [][2]int{{2, 3}, {1, 1}, {1, 3}} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"items":[{"sequence":%d,"type":"hold.expired","account":"o","data":{}},{"sequence":%d,"type":"hold.expired","account":"o","data":{}}]}`, sequences[0], sequences[1])
		}))
		b := newBank(client.New(client.At(server.URL), client.Options{}), rand.New(rand.NewPCG(1, 1)), nil)
		if err := b.run(t.Context(), func() bool { return true }); err == nil {
			t.Errorf("%v: no error", sequences)
		}
		server.Close()
	}
}
