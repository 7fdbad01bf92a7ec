package engine

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// simGenerator draws lines. It looks at the world only to draw something that can happen.
type simGenerator struct {
	rng      *rand.Rand
	s        *sim
	numbers  map[string]int
	accounts []string // customers that hold money
	children []string
	versions []string
	calls    []call
	past     []simLine // to be asked for again
	queue    []simLine
	holds    []string
	subs     []string
	faults   bool
}

func newSimGenerator(s *sim, seed uint64, faults bool) *simGenerator {
	g := &simGenerator{rng: rand.New(rand.NewPCG(seed, 4)), s: s, numbers: map[string]int{}, faults: faults}
	for _, code := range worldCurrencies {
		g.queue = append(g.queue, line("account", "prov-"+code, "provider", code))
		for i := range 3 {
			id := fmt.Sprintf("c%d-%s", i, code)
			g.accounts = append(g.accounts, id)
			g.queue = append(g.queue, line("account", id, "customer", []string{"prepaid", "postpaid"}[i%2], code))
		}
	}
	g.queue = append(g.queue, line("calm"))
	if s.credit {
		for i, root := range g.accounts {
			if id := fmt.Sprint("k", i); i%2 == 0 {
				g.children = append(g.children, id)
				g.queue = append(g.queue, line("account", id, "customer", "-", root, root[3:]))
			}
			g.queue = append(g.queue, line("topup", g.id("t"), root, "40"))
		}
	}
	g.versions = append(g.versions, "v1")
	g.queue = append(g.queue, line("prices", "v1"), line("calm"))
	return g
}

func (g *simGenerator) id(prefix string) string {
	g.numbers[prefix]++
	return fmt.Sprint(prefix, g.numbers[prefix])
}

func (g *simGenerator) pick(list ...string) string { return list[g.rng.IntN(len(list))] }

// next is the next line.
func (g *simGenerator) next() simLine {
	if len(g.queue) > 0 {
		l := g.queue[0]
		g.queue = g.queue[1:]
		return l
	}
	switch n := g.rng.IntN(100); {
	case n < 34:
		return line("steps", g.rng.IntN(1<<g.rng.IntN(9)))
	case n < 44:
		return line("wait", g.span())
	case n < 46:
		return line("calm")
	case n < 54 && g.faults:
		return g.fault()
	}
	l := g.command()
	if l.cmd != "read" && l.arg(len(l.args)-1) != "conflict" {
		g.past = append(g.past, l)
	}
	return l
}

// span is some time, of the order of the things that wait for it: mostly seconds, at times hours.
func (g *simGenerator) span() time.Duration {
	if g.s.retain {
		return g.longSpan()
	}
	spans := []time.Duration{time.Millisecond, time.Second, time.Second, time.Minute, 10 * time.Minute, time.Hour, 3 * time.Hour, 20 * time.Hour}
	return 1 + time.Duration(g.rng.Int64N(int64(spans[g.rng.IntN(len(spans))])))
}

func (g *simGenerator) fault() simLine {
	switch n := g.rng.IntN(30); {
	case n < 9:
		return line("crash", []int{0, 50, 100, 90}[g.rng.IntN(4)])
	case n < 12:
		return line("fail", 1+g.rng.IntN(6))
	case n < 14:
		return line("slow", "500µs", "2ms")
	case n < 16:
		return line("slow", "50ms", g.pick("200ms", "5s"))
	case n < 18:
		return line("stop")
	case n < 20:
		return line("jump", g.span())
	}
	switch g.rng.IntN(8) {
	case 0:
		return line("broker", "down")
	case 1, 2:
		return line("broker", "up")
	case 3, 4:
		return line("broker", "lose", 1+g.rng.IntN(3))
	case 5:
		return line("broker", "late", 1+g.rng.IntN(2))
	case 6:
		return line("broker", "arrive")
	}
	return line("broker", "restart")
}

// call draws a new event.
func (g *simGenerator) call() call {
	c := call{source: fmt.Sprint("s", g.rng.IntN(3)), id: g.id("e"), subject: g.node(), kind: "llm.tokens"}
	if g.rng.IntN(2) == 0 || g.s.retain && !g.s.credit { // the model of books does not know an event that is booked again
		c.time = g.s.now - g.rng.Int64N(g.agoMax())
	}
	if g.rng.IntN(40) == 0 {
		c.time = g.s.now + g.rng.Int64N(int64(10*time.Minute)) // some are too far ahead
	}
	if g.rng.IntN(60) == 0 {
		c.time = g.s.now - int64(g.s.o.DedupWindow) + g.rng.Int64N(int64(time.Hour)) - int64(30*time.Minute) // some are too old
	}
	c.randomUsage(g.rng)
	return c
}

func (g *simGenerator) post() simLine {
	l := line("post")
	for range 1 + g.rng.IntN(12) {
		c := g.call()
		g.calls = append(g.calls, c)
		l.input = append(l.input, simEventText(&c))
	}
	for range g.rng.IntN(4) { // some that were posted before
		l.input = append(l.input, simEventText(&g.calls[g.rng.IntN(len(g.calls))]))
	}
	return l
}

// conflict uses an id again for something else.
func (g *simGenerator) conflict() simLine {
	if t := g.numbers["t"]; t > 0 && g.rng.IntN(3) == 0 {
		return line("topup", fmt.Sprint("t", 1+g.rng.IntN(t)), g.root(), "77.125", "conflict")
	}
	if len(g.calls) == 0 {
		return line("calm")
	}
	c := g.calls[g.rng.IntN(len(g.calls))]
	c.usage, c.kind = [][2]string{{"input", "7"}}, "other.meter"
	l := line("post", "conflict")
	return l.below(simEventText(&c))
}

// command draws something that a client asks for.
func (g *simGenerator) command() simLine {
	if g.s.retain && g.rng.IntN(4) == 0 {
		return g.unneeded()
	}
	if g.s.credit && g.rng.IntN(2) == 0 {
		return g.credit()
	}
	switch n := g.rng.IntN(46); {
	case n < 16:
		return g.post()
	case n < 20:
		return line("topup", g.id("t"), g.root(), fmt.Sprintf("%d.%03d", g.rng.IntN(50), 1+g.rng.IntN(999)))
	case n < 22 && len(g.past) > 0:
		return g.past[g.rng.IntN(len(g.past))]
	case n < 24:
		return g.conflict()
	case n < 29 && len(g.calls) > 0:
		c := &g.calls[g.rng.IntN(len(g.calls))]
		return line("void", c.source+"/"+c.id, g.id("void"))
	case n < 31:
		l := line("rerate", g.id("rerate"), g.versions[g.rng.IntN(len(g.versions))])
		if g.rng.IntN(3) > 0 {
			from := g.s.now - g.rng.Int64N(g.agoMax())
			l.args = append(l.args, simTimeText(from), simTimeText(from+1+g.rng.Int64N(int64(60*day))))
		}
		return l
	case n < 33 && len(g.versions) < 12:
		id := g.id("price")
		g.versions = append(g.versions, id)
		return line("prices", id, 1+g.rng.IntN(1_000_000), simTimeText(g.s.now))
	case n < 36:
		return line("close", g.id("w"))
	case n < 42:
		return g.result()
	case n < 45:
		return line("read", g.node())
	}
	return line("account", g.id("new"), "customer", "prepaid", g.pick(worldCurrencies...))
}

// result draws what became of a line of one of the last windows.
func (g *simGenerator) result() simLine {
	if g.s.e == nil {
		return line("calm")
	}
	windows := g.s.e.published.Load().windows
	if len(windows) == 0 {
		return line("close", g.id("w"))
	}
	w := windows[len(windows)-1-g.rng.IntN(min(4, len(windows)))]
	if len(w.batches) == 0 {
		return line("read", g.root())
	}
	b := &w.batches[g.rng.IntN(len(w.batches))]
	l := line("result", g.id("r"), w.number, b.currency.Code(), 1+g.rng.IntN(int(b.lines)), g.pick("paid", "paid", "partially_paid", "failed", "returned"))
	if g.rng.IntN(3) == 0 {
		l.args = append(l.args, fmt.Sprintf("%d", 1+g.rng.IntN(20)))
	}
	return l
}
