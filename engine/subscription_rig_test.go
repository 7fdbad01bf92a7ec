package engine

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"farthing/refusal"
)

// planRig is an engine whose calendar the test turns, with a customer "acme".
type planRig struct {
	*rig
	now atomic.Int64
}

// newPlanRig begins at a time and ends with a verified ledger.
func newPlanRig(t *testing.T, at string) *planRig {
	r := &planRig{}
	r.now.Store(planTime(t, at).UnixNano())
	r.rig = newRig(t, func(o *Options) {
		o.Clock = func() time.Time { return time.Unix(0, r.now.Load()) }
		o.Now = r.now.Load
	})
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		if r.e != nil {
			r.close()
		}
		if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err != nil {
			t.Error(err)
		}
	})
	r.account("acme", "customer", "prepaid")
	return r
}

func planTime(t testing.TB, text string) time.Time {
	t.Helper()
	for _, layout := range []string{"2006-01-02", "2006-01-02T15:04"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at
		}
	}
	t.Fatalf("%q is no time", text)
	return time.Time{}
}

// at turns the calendar and waits until all that is due is done.
func (r *planRig) at(text string) {
	r.t.Helper()
	r.turn(text)
	r.catch()
}

// turn only turns the calendar.
func (r *planRig) turn(text string) { r.now.Store(planTime(r.t, text).UnixNano()) }

func (r *planRig) catch() {
	for more := true; more; {
		r.e.internal(func(s *sequencer) { more = s.due() })
	}
}

func (r *planRig) pay(id, sum string) {
	r.t.Helper()
	if _, _, no := r.e.TopUp(TopUp{ID: id, Account: "acme", Amount: amount(r.t, sum)}); no != nil {
		r.t.Fatal(no)
	}
}

// planOf makes a plan of words like "allowance 10 price 5 max 15 periods 2".
func planOf(t testing.TB, text string) (p PlanSpec) {
	t.Helper()
	p.Priority = 50
	words := strings.Fields(text)
	for i := 0; i+1 < len(words); i += 2 {
		switch value := words[i+1]; words[i] {
		case "allowance":
			p.Allowance = amount(t, value)
		case "price":
			p.Price = amount(t, value)
		case "max":
			p.Rollover = &RolloverSpec{Max: amount(t, value), Periods: 1}
		case "periods":
			if _, err := fmt.Sscan(value, &p.Rollover.Periods); err != nil {
				t.Fatal(err)
			}
		default:
			t.Fatalf("%q", words[i])
		}
	}
	return p
}

func (r *planRig) subscribe(spec SubscriptionSpec) Subscription {
	r.t.Helper()
	spec.Account = "acme"
	out, created, no := r.e.Subscribe(spec)
	if no != nil || !created {
		r.t.Fatalf("%v, created %v", no, created)
	}
	return out
}

func (r *planRig) change(c SubscriptionChange) Subscription {
	r.t.Helper()
	out, created, no := r.e.ChangeSubscription(c)
	if no != nil || !created {
		r.t.Fatalf("%v, created %v", no, created)
	}
	return out
}

// is compares a subscription's state, period and credit.
func (r *planRig) is(id, want string) {
	r.t.Helper()
	s, no := r.e.Subscription(id)
	if no != nil {
		r.t.Fatal(no)
	}
	if got := planText(&s); got != want {
		r.t.Fatalf("%s: %s, want %s", id, got, want)
	}
}

func planText(s *Subscription) string {
	out := fmt.Sprintf("%s %d", s.State, s.PeriodNumber)
	if s.PeriodNumber > 0 {
		out += fmt.Sprintf(" %s %s", planTimeText(s.PeriodStart), planTimeText(s.PeriodEnd))
	}
	if !s.Credited.IsZero() {
		out += " credited " + s.Credited.String()
	}
	return out
}

func planTimeText(at time.Time) string {
	return strings.TrimSuffix(at.Format("2006-01-02T15:04"), "T00:00")
}

// grants compares acme's grants: "amount left state expiry" each.
func (r *planRig) grants(want ...string) {
	r.t.Helper()
	page, no := r.e.Grants("acme", "", 1000)
	if no != nil {
		r.t.Fatal(no)
	}
	var got []string
	for _, g := range page.Items {
		got = append(got, fmt.Sprintf("%s %s %s %s", g.Amount, g.Remaining, g.State, planTimeText(g.Expires)))
	}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		r.t.Fatalf("grants are %q, want %q", got, want)
	}
}

// moved compares what the statement says since the last call: "reason amount" each. All of it
// has to come to the balance.
func (r *planRig) moved(since *int, want ...string) {
	r.t.Helper()
	sum, seen := amount(r.t, "0"), 0
	var got []string
	for cursor := ""; ; {
		page, no := r.e.Transfers("acme", cursor, 1000)
		if no != nil {
			r.t.Fatal(no)
		}
		for i := range page.Items {
			x := &page.Items[i]
			if sum = sum.MustAdd(x.Amount); seen >= *since {
				got = append(got, x.Reason+" "+x.Amount.String())
			}
			seen++
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	*since = seen
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		r.t.Fatalf("moved %q, want %q", got, want)
	}
	if sum.String() != r.posted("acme") {
		r.t.Fatalf("the statement comes to %s, posted is %s", sum, r.posted("acme"))
	}
}

// refused compares a refusal.
func refused(t testing.TB, no *refusal.Refusal, code refusal.Code, reason string) {
	t.Helper()
	if no == nil || no.Code != code || no.Reason != reason {
		t.Fatalf("%v, want %s %s", no, code, reason)
	}
}
