package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"farthing/internal/soak"
	"farthing/ledger"
	"farthing/money"
)

// leanBook has prices with and without a payee and a fee, and one of as many components as events may have.
func leanBook(from string) string {
	var wide []string
	for i := range 12 {
		wide = append(wide, fmt.Sprintf(`"c%02d":"0.01"`, i))
	}
	return `{"effective_from":"` + from + `","prices":[
 {"meter":"llm.tokens","currency":"USD","match":{"model":"m1"},"components":{"input":"0.0000025","output":"0.00001"},"payee":"prov","fee":"0.1"},
 {"meter":"llm.tokens","currency":"USD","match":{"model":"m2"},"components":{"input":"0.000001","output":"0.000002"},"payee":"prov"},
 {"meter":"wide","currency":"USD","match":{},"components":{` + strings.Join(wide, ",") + `}},
 {"meter":"api.calls","currency":"USD","match":{},"components":{"call":"0.0004"}}]}`
}

// leanWorld is tables of a ledger that has sources, shapes and versions of all kinds.
func leanWorld(t *testing.T) *tables {
	r := newRig(t, nil)
	r.account("prov", "provider", "")
	for _, id := range []string{"c", "customer", strings.Repeat("long-", 20), strings.Repeat("longer-", 18)} {
		r.account(id, "customer", "postpaid")
	}
	r.prices("v1", leanBook("2026-01-01T00:00:00Z"))
	r.prices(strings.Repeat("version-", 7), leanBook("2026-02-01T00:00:00Z"))
	wide := call{id: "w", subject: "c", kind: "wide"}
	for i := range 12 {
		wide.usage = append(wide.usage, [2]string{fmt.Sprintf("c%02d", i), "1"})
	}
	calls := []call{wide, {id: "a", subject: "c", kind: "api.calls", usage: [][2]string{{"call", "1"}}}, llm("1", "c", "m1", 1, 2), llm("2", "c", "m2", 1, 2)}
	for i := range calls {
		calls[i].source = strings.Repeat("gateway", 1+i*i)
	}
	if out := r.post(calls...); out.Accepted != len(calls) {
		t.Fatalf("%+v", out)
	}
	return r.e.published.Load()
}

// leanRandom is a number of any length.
func leanRandom(rng *rand.Rand) uint64 { return rng.Uint64() >> (24 + rng.IntN(40)) }

// leanCommand appends a command: mostly usual events, and of everything that makes one unusual.
func leanCommand(rng *rand.Rand, dst []byte, t *tables, groupTime int64) []byte {
	if rng.IntN(50) == 0 {
		return appendBytes(append(dst, kindSource), "another")
	}
	customers := []ledger.Ref{}
	for i, p := range t.people {
		if p.Kind == ledger.Customer {
			customers = append(customers, ledger.Ref(i))
		}
	}
	e := eventRecord{account: customers[rng.IntN(len(customers))], shape: uint32(rng.IntN(len(t.shapes))), version: uint32(rng.IntN(len(t.versions)))}
	e.id = []byte(strings.Repeat("i", 1+rng.IntN(26)))
	if rng.IntN(20) == 0 {
		e.id = []byte(strings.Repeat("i", 1+rng.IntN(256)))
	}
	if e.hadTime = rng.IntN(4) > 0; e.hadTime {
		e.time = groupTime + int64(leanRandom(rng))*(1-2*int64(rng.IntN(2)))
	}
	e.components = len(t.shapes[e.shape].shape.Components)
	for i := range e.components {
		if e.quantities[i], _ = money.WholeQuantity(leanRandom(rng) % 9e12); rng.IntN(5) == 0 {
			e.quantities[i] = money.Quantity(leanRandom(rng))
		}
	}
	sum := func() money.Amount { return money.FromWords(int64(rng.IntN(4)*rng.IntN(1<<20)), leanRandom(rng)) }
	e.split = ledger.Split{Paid: sum(), Receivable: sum()}
	switch rng.IntN(8) {
	case 0:
		e.extras = appendExtras(nil, nil)
		e.extras = appendBytes(appendBytes(e.extras, "zone"), "eu")
	case 1:
		e.usage = append([]byte{1}, `{"tokens":7}`...)
	case 2:
		e.split.Lost = sum()
	case 3:
		e.split.Paid = money.Amount{}
	case 4:
		e.split.Receivable = money.Amount{}
	}
	e.amount = e.split.Paid.MustAdd(e.split.Receivable).MustAdd(e.split.Lost)
	source := uint32(1 + rng.IntN(len(t.sources)-1))
	if rng.IntN(20) == 0 {
		source, e.source = 0, []byte("spelled out")
	}
	return appendEvent(dst, &e, source, groupTime)
}

// TestLeanDamaged: whatever the bytes are, no event comes out that names what no table has, and none that is longer than what is read of it.
func TestLeanDamaged(t *testing.T) {
	rng := rand.New(rand.NewPCG(soak.Seed(t), 9))
	tables := leanWorld(t)
	groupTime := int64(1_790_000_000_000_000_000)
	var x indexer
	parsed, refused := 0, 0
	for range 3000 {
		var body []byte
		for range 40 {
			body = leanCommand(rng, body, tables, groupTime)
		}
		for range 1 + rng.IntN(12) {
			at := rng.IntN(len(body))
			for k := range 1 + rng.IntN(12)*rng.IntN(2) {
				body[min(at+k, len(body)-1)] = []byte{0, 0x7f, 0x80, 0xff, byte(rng.Uint32())}[rng.IntN(5)]
			}
		}
		body = append(body, make([]byte, leanBytes)...)
		for len(body) >= leanBytes {
			n, size := x.leanParse(body, groupTime, tables)
			for i := range x.usual.events[:n] {
				e := &x.usual.events[i]
				if int(e.account) >= len(tables.people) || int(e.shape) >= len(tables.shapes) || int(e.version) >= len(tables.versions) || int(e.source) >= len(tables.sources) {
					t.Fatalf("an event names what is in no table: %+v", e)
				}
				if components := len(tables.shapes[e.shape].shape.Components); components > leanComponents || e.id > e.quantities || e.quantities > e.quantitiesEnd || e.amount > e.amountEnd {
					t.Fatalf("an event of %d components has odd parts: %+v", components, e)
				}
			}
			parsed += n
			if n < leanEvents {
				refused++
				size++ // a byte that begins none
			}
			body = body[size:]
		}
	}
	if parsed < 10_000 || refused < 10_000 {
		t.Errorf("%d events were taken, %d times none: too few to say much", parsed, refused)
	}
}

// TestLean: what is taken from the bytes of events is what their records say.
func TestLean(t *testing.T) {
	rng := rand.New(rand.NewPCG(soak.Seed(t), 8))
	tables := leanWorld(t)
	groupTime := int64(1_790_000_000_000_000_000)
	lean := &indexer{earners: newScanEarners(), trees: newEvidence(), young: &postings{}}
	plain := &indexer{earners: newScanEarners(), trees: newEvidence(), young: &postings{}}
	seq, taken, commands := uint64(1), uint64(0), uint64(0)
	for range 60 {
		var body []byte
		n := uint64(1 + rng.IntN(600))
		for range n {
			body = leanCommand(rng, body, tables, groupTime)
		}
		commands += n
		var c cursor
		for _, x := range []*indexer{lean, plain} {
			x.trees.block(body)
			c.reset(body, seq, groupTime, tables)
			for {
				if before := c.seq; x == lean {
					x.lean(&c)
					taken += c.seq - before
				}
				if !c.next() {
					break
				}
				x.command(&c, true, true)
			}
			if err := c.err(); err != nil || c.seq != seq+n-1 {
				t.Fatalf("%d of %d commands: %v", c.seq+1-seq, n, err)
			}
		}
		seq += n
		if rng.IntN(10) == 0 {
			a, b := lean.trees.cut(), plain.trees.cut()
			if fmt.Sprint(a) != fmt.Sprint(b) {
				t.Fatalf("trees %v, want %v", a, b)
			}
		}
		if fmt.Sprint(lean.trees.rows) != fmt.Sprint(plain.trees.rows) {
			t.Fatal("other tiles")
		}
		lean.trees.rows, plain.trees.rows = nil, nil
		if !bytes.Equal(lean.trees.append(nil), plain.trees.append(nil)) {
			t.Fatal("other trees")
		}
	}
	for a := range tables.people {
		have, want := lean.young.after(ledger.Ref(a), 0, 1e9, nil), plain.young.after(ledger.Ref(a), 0, 1e9, nil)
		if !slices.Equal(have, want) {
			t.Fatalf("account %d: %d entries, want %d", a, len(have), len(want))
		}
	}
	if taken < commands/3 || taken > commands*9/10 {
		t.Errorf("%d of %d commands were usual", taken, commands)
	}
}

// TestPostings: whatever is appended comes out as a twin has it, from the young part and from the table that is made of it.
func TestPostings(t *testing.T) {
	rng := rand.New(rand.NewPCG(soak.Seed(t), 9))
	for _, accounts := range []int{1, 3, 300, 5000, 5_000_000} {
		p, twin := &postings{}, map[ledger.Ref][]uint64{}
		seq := uint64(rng.IntN(1000))
		for range 3 * postingPartSize {
			if seq += uint64(1 + rng.IntN(3)); rng.IntN(50_000) == 0 {
				seq += 5 << 32 // more than a part can say
			}
			for range 1 + rng.IntN(3) {
				a := ledger.Ref(rng.IntN(accounts))
				p.addLocked(a, seq)
				if list := twin[a]; len(list) == 0 || list[len(list)-1] != seq {
					twin[a] = append(list, seq)
				}
			}
		}
		comparePostings(t, rng, p, twin)
		compareWritten(t, p, twin)
		if total := p.count(); total < 3*postingPartSize {
			t.Errorf("%d entries", total)
		}
		p.reset()
		if p.count() != 0 || p.after(0, 0, 1, nil) != nil {
			t.Error("entries after a reset")
		}
	}
}

func comparePostings(t *testing.T, rng *rand.Rand, p *postings, twin map[ledger.Ref][]uint64) {
	t.Helper()
	asked := 0
	for a, want := range twin {
		if asked++; asked > 2000 {
			break
		}
		from, limit := uint64(0), 1+rng.IntN(len(want)+5)
		if rng.IntN(2) == 0 {
			from = want[rng.IntN(len(want))]
		}
		i, _ := slices.BinarySearch(want, from+1)
		want = want[i:]
		if have := p.after(a, from, limit, nil); !slices.Equal(have, want[:min(limit, len(want))]) {
			t.Fatalf("account %d after %d, at most %d: %d entries, %d are there", a, from, limit, len(have), len(want))
		}
	}
	if out := p.after(1<<31, 0, 10, nil); out != nil {
		t.Errorf("an account that never moved has %v", out)
	}
}

func compareWritten(t *testing.T, p *postings, twin map[ledger.Ref][]uint64) {
	t.Helper()
	have, last := map[ledger.Ref][]uint64{}, posting{}
	err := p.write(func(key, row []byte) error {
		list, err := postingsOf(row, nil)
		for _, e := range list {
			if e.account < last.account || e.account == last.account && e.seq <= last.seq && last.seq > 0 {
				return fmt.Errorf("%v after %v", e, last)
			}
			have[ledger.Ref(e.account)], last = append(have[ledger.Ref(e.account)], e.seq), e
		}
		if !bytes.Equal(key, last.key()) {
			return fmt.Errorf("a row ends with %v, its key is %x", last, key)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for a, want := range twin {
		if !slices.Equal(have[a], want) {
			t.Fatalf("account %d: %d entries were written, want %d", a, len(have[a]), len(want))
		}
	}
	if len(have) != len(twin) {
		t.Errorf("%d accounts, want %d", len(have), len(twin))
	}
}
