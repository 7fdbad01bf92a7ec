package engine

import (
	"strings"
	"testing"

	"farthing/batch"
	"farthing/journal"
	"farthing/ledger"
	"farthing/money"
)

// forgedResults is a ledger and what may be appended to it: good is what could be booked.
type forgedResults struct {
	*amended
	good             lineResult
	acme, beta, prov ledger.Ref
	lines            map[string]batch.Line
}

func newForgedResults(t *testing.T) *forgedResults {
	r := resultRig(t, nil)
	x := &forgedResults{}
	id, lines := r.window("w1")
	r.result("whole", id, lines["prov"].Line, ResultPaid, "")
	r.result("part", id, lines["acme"].Line, ResultPartiallyPaid, "4")
	r.post(units("e2", "acme", "m", "3"))
	r.window("w2")
	for id, ref := range map[string]*ledger.Ref{"acme": &x.acme, "beta": &x.beta, "prov": &x.prov} {
		refs, no := r.e.refsOf(id)
		if no != nil {
			t.Fatal(no)
		}
		*ref = refs[0]
	}
	x.amended = &amended{t: t, dir: r.o.Journal.Dir, o: r.o, head: r.e.store.Head().Seq}
	x.lines = lines
	x.good = lineResult{name: "x", batch: 0, line: lines["acme"].Line, status: ResultFailed, account: x.acme, whole: amount(t, "-10"), amount: amount(t, "6")}
	r.close()
	return x
}

// refuses wants verify to say words, and a start to fail too where the state can tell. Without
// words the result is believed.
func (x *forgedResults) refuses(name, words string, atStart bool, change func(*lineResult)) {
	x.t.Run(name, func(t *testing.T) {
		p := x.good
		change(&p)
		verify, open := x.judge(t, []forged{{kindResult, p.append(nil)}})
		if words == "" {
			if verify != nil || open != nil {
				t.Fatalf("the rig is wrong: %v, %v", verify, open)
			}
			return
		}
		if verify == nil || !strings.Contains(verify.Error(), words) || strings.Contains(verify.Error(), "PANIC") {
			t.Errorf("verify: %v, want %q", verify, words)
		}
		if (open != nil) != atStart || (open != nil && strings.Contains(open.Error(), "PANIC")) {
			t.Errorf("start: %v", open)
		}
	})
}

// TestReplayRefusesForgedResults appends results to a ledger that no sequencer would have booked:
// a start refuses them, and so does verify. What only the line's record can tell, verify tells.
func TestReplayRefusesForgedResults(t *testing.T) {
	x := newForgedResults(t)
	f, lines, beta, prov := x.refuses, x.lines, x.beta, x.prov
	f("as it would be", "", false, func(*lineResult) {})
	f("another batch", "is not there", true, func(p *lineResult) { p.batch = 9 })
	f("another account number", "is not there", true, func(p *lineResult) { p.account = 99 })
	f("line 0", "no line 0", true, func(p *lineResult) { p.line = 0 })
	f("line beyond", "no line 9", true, func(p *lineResult) { p.line = 9 })
	f("a provider's collection", "is not of -10 to account prov", true, func(p *lineResult) { p.account = prov })
	f("a customer's payout", "to account acme", true, func(p *lineResult) { p.whole = amount(t, "10") })
	f("nothing", "is not of 0", true, func(p *lineResult) { p.whole = money.Amount{} })
	f("another whole than the parts have", "is not of -11", true, func(p *lineResult) { p.whole, p.amount = amount(t, "-11"), amount(t, "7") })
	f("amount of zero", "a result of 0", true, func(p *lineResult) { p.amount = money.Amount{} })
	f("a negative amount", "a result of -1", true, func(p *lineResult) { p.amount = amount(t, "-1") })
	f("more than is open", "can be failed", true, func(p *lineResult) { p.amount = amount(t, "7") })
	f("a part that failed", "fails as a whole", true, func(p *lineResult) { p.amount = amount(t, "5") })
	f("not all, and nothing asked", "is of all of 6", true, func(p *lineResult) { p.status, p.amount = ResultPartiallyPaid, amount(t, "5") })
	f("from paid credit that is not there", "from paid credit", true, func(p *lineResult) { p.fromPaid = amount(t, "1") })
	f("less than minor units", "minor units", true, func(p *lineResult) {
		p.status, p.explicit, p.amount = ResultPartiallyPaid, true, amount(t, "0.001")
	})
	f("paid again", "can be paid", true, func(p *lineResult) {
		p.line, p.status, p.account, p.whole, p.amount = lines["prov"].Line, ResultPaid, prov, amount(t, "10"), amount(t, "10")
	})
	f("a status that is none", "decode", true, func(p *lineResult) { p.status = 7 })
	// The state knows nothing of a line before its first result, nor how much was all of it.
	f("more back than was paid", "line 4 of batch", false, func(p *lineResult) {
		p.line, p.status, p.account, p.whole, p.amount = lines["prov"].Line, ResultReturned, prov, amount(t, "11"), amount(t, "11")
	})
	f("the line of another", "is not in transit", true, func(p *lineResult) {
		p.line, p.account, p.whole, p.fromPaid = lines["beta"].Line, beta, amount(t, "-6"), amount(t, "5")
	})
	f("a line that moves nothing", "is 0 of account beta", false, func(p *lineResult) { p.line, p.whole = lines["beta"].Line, amount(t, "-6") })
	f("more than is in transit", "is not in transit", true, func(p *lineResult) {
		p.line, p.whole, p.amount = lines["beta"].Line, amount(t, "-6.01"), amount(t, "6.01")
	})
	t.Run("an id twice", func(t *testing.T) {
		p := x.good
		p.name = "part"
		if verify, _ := x.judge(t, []forged{{kindResult, p.append(nil)}}); verify == nil || !strings.Contains(verify.Error(), "again") {
			t.Error(verify)
		}
	})
}

// TestVerifyNamesChangedResults changes what a checkpoint says of results.
func TestVerifyNamesChangedResults(t *testing.T) {
	closed := func(t *testing.T) *rig {
		r := resultRig(t, nil)
		id, lines := r.window("w1")
		r.result("whole", id, lines["prov"].Line, ResultFailed, "")
		r.result("part", id, lines["acme"].Line, ResultPartiallyPaid, "4")
		r.close()
		return r
	}
	for kind, words := range map[byte]string{chunkTransit: "batch in transit 0 differs", chunkOutcomes: "page of results 0 differs",
		chunkLineParts: "line in parts 0 differs", chunkBack: `table 'b' differs`} {
		t.Run(string(kind), func(t *testing.T) {
			r := closed(t)
			withStore(t, r, func(s *journal.Store) {
				rebuild(t, s, journal.KindCheckpoint, newestCheckpoint(t, s).id, func(_ int, k, v []byte) ([]byte, []byte) {
					switch {
					case v[0] != kind:
					case kind == chunkOutcomes:
						v[len(v)-64] ^= 1 // line 1
					case kind == chunkLineParts:
						v[len(v)-1] = byte(ResultReturned)
					case kind == chunkTransit:
						v[2]++ // lines
					default:
						v[len(v)-1] ^= 2
					}
					return k, v
				})
			})
			if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%v, want %q", err, words)
			}
			r.open()
		})
	}
}

// FuzzResultCodec decodes anything; what decodes is encoded as it was.
func FuzzResultCodec(f *testing.F) {
	p := lineResult{name: "r", batch: 300, line: 7, status: ResultReturned, explicit: true, account: 9, whole: money.FromWords(0, 1e18).Neg(), amount: money.FromWords(0, 5),
		fromPaid: money.FromWords(0, 3), reference: "bank"}
	f.Add(p.append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := reader{p: data}
		p := r.lineResult()
		if r.end() != nil {
			return
		}
		again := reader{p: p.append(nil)}
		if q := again.lineResult(); again.end() != nil || *q != *p {
			t.Fatalf("%+v became %+v", p, q)
		}
	})
}
