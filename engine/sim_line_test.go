package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// simLine is one line of a story, as scenario files have them: the commands of TestScenarios, asked
// by clients that do not wait for each other, and what happens to the machine:
//
//	world seed=N [credit] [retain] [bug=NAME]
//	                                   a new world; the seed decides who goes on when
//	steps N, calm                      so many stages go on; or all, until nothing is under way
//	wait DURATION, jump DURATION       time passes bit by bit, or at once
//	crash PERCENT, stop                the process is killed, and so much of what was not synced
//	                                   is kept; or it is closed; another one starts
//	fail N, slow FROM TO               the Nth commit from now fails; syncs take so long
//	broker down|up|lose N|late N|arrive|restart
//	prices ID [DRAW TIME]              the book of the world, or a version drawn for a time
//	result ID WINDOW CURRENCY LINE STATUS [AMOUNT]
//	hold ID ACCOUNT AMOUNT|- TTL, extend HOLD ID AMOUNT|- TTL, capture HOLD [AMOUNT], release HOLD
//	                                   with an event below as estimate, report or what is captured
//	grant, limits, settings, subscribe, change, ask, refund
//	finish                             everything comes to rest and is compared
//
// A command that ends in "conflict" uses an id again with other content; it is left out if the id
// was not answered yet.
type simLine struct {
	cmd   string
	args  []string
	input []string
}

func line(cmd string, args ...any) simLine {
	l := simLine{cmd: cmd}
	for _, a := range args {
		l.args = append(l.args, fmt.Sprint(a))
	}
	return l
}

func (l *simLine) below(lines ...string) simLine {
	l.input = append(l.input, lines...)
	return *l
}

// text is the line as a scenario file has it.
func (l *simLine) text() string {
	out := strings.Join(append([]string{l.cmd}, l.args...), " ") + "\n"
	for _, in := range l.input {
		out += in + "\n"
	}
	return out + "----\n"
}

func (l *simLine) arg(i int) string {
	if i >= 0 && i < len(l.args) {
		return l.args[i]
	}
	return ""
}

func (l *simLine) number(i int) int {
	n, err := strconv.Atoi(l.arg(i))
	if err != nil {
		panic(simFailure{text: "not a line: " + l.text()})
	}
	return n
}

func (l *simLine) duration(i int) time.Duration {
	d, err := time.ParseDuration(l.arg(i))
	if err != nil && l.arg(i) != "" && l.arg(i) != "-" {
		panic(simFailure{text: "not a line: " + l.text()})
	}
	return d
}

func simTime(text string) int64 {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(simFailure{text: "not a time: " + text})
	}
	return at.UnixNano()
}

func simTimeText(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }

// do carries a line out.
func (s *sim) do(l *simLine) {
	s.trace.Write([]byte(l.text()))
	if world, ok := simEvents[l.cmd]; ok {
		world(s, l)
		return
	}
	command, ok := simCommands[l.cmd]
	if !ok {
		s.failf("no such line: %s", l.text())
	}
	for n := 0; s.e == nil; n++ { // a process is starting, again and again if it has to
		if n == stillMax {
			s.failf("no process comes up")
		}
		s.run(1)
	}
	s.count.commands++
	command(s, l)
}

// simEvents is what happens to the machine.
var simEvents map[string]func(*sim, *simLine)

func init() {
	simEvents = map[string]func(*sim, *simLine){
		"steps": func(s *sim, l *simLine) { s.run(l.number(0)) },
		"calm":  func(s *sim, _ *simLine) { s.calm() },
		"wait":  func(s *sim, l *simLine) { s.wait(l.duration(0)) },
		"jump":  func(s *sim, l *simLine) { s.count.jumps++; s.pass(s.now + int64(l.duration(0))) },
		"crash": func(s *sim, l *simLine) { s.count.faults++; s.kill(l.number(0)) },
		"stop":  func(s *sim, _ *simLine) { s.stop() },
		"fail":  func(s *sim, l *simLine) { s.count.faults++; s.disk.failing = l.number(0) },
		"slow": func(s *sim, l *simLine) {
			s.count.faults++
			s.disk.slow = [2]time.Duration{l.duration(0), l.duration(1)}
		},
		"broker": (*sim).brokerLine,
		"finish": func(s *sim, _ *simLine) { s.finish() },
	}
}

func (s *sim) brokerLine(l *simLine) {
	s.count.faults++
	switch b := s.broker; l.arg(0) {
	case "down", "up":
		b.down = l.arg(0) == "down"
	case "lose":
		b.lose = l.number(1)
	case "late":
		b.late = l.number(1)
	case "arrive":
		b.arrive()
	case "restart":
		b.restart()
	}
}

// simCommands is what clients ask for.
var simCommands map[string]func(*sim, *simLine)

func init() {
	simCommands = map[string]func(*sim, *simLine){
		"account": (*sim).accountLine, "prices": (*sim).pricesLine, "post": (*sim).postLine, "topup": (*sim).topUpLine, "void": (*sim).voidLine,
		"rerate": (*sim).rerateLine, "close": (*sim).closeLine, "result": (*sim).resultLine, "read": (*sim).readLine,
		"hold": (*sim).holdLine, "extend": (*sim).holdLine, "capture": (*sim).holdLine, "release": (*sim).holdLine,
		"grant": (*sim).grantLine, "limits": (*sim).limitsLine, "settings": (*sim).settingsLine, "subscribe": (*sim).subscribeLine,
		"change": (*sim).changeLine, "ask": (*sim).askLine, "refund": (*sim).refundLine,
	}
}

// client asks for something under an id that is used up by it.
func (s *sim) client(id string, call func(e *Engine) (seq uint64, no *refusal.Refusal)) {
	known := s.check.acked[id] != 0
	s.check.submit(id)
	s.start1(func(e *Engine) {
		seq, no := call(e)
		switch {
		case no == nil:
			s.say("%s at %d", id, seq)
			s.count.answers++
			s.answered(id, seq)
		case known && no.Code != refusal.NotReady && no.Code != refusal.Overloaded && !s.exportedSince(id, no):
			s.failf("%s was answered, and asked for again it is refused: %v", id, no)
		default:
			s.say("%s: %s", id, no.Reason)
			s.count.refused++
		}
	})
}

// conflict asks for something under an id that was used for something else.
func (s *sim) conflict(id string, call func(e *Engine) *refusal.Refusal) {
	if s.check.acked[id] == 0 {
		return
	}
	s.start1(func(e *Engine) {
		no := call(e)
		if no == nil || (no.Code != refusal.IDConflict && no.Code != refusal.NotReady && no.Code != refusal.Overloaded) {
			s.failf("%s was answered, and with other content the answer is %v", id, no)
		}
		s.say("%s: %s", id, no.Reason)
	})
}

func (s *sim) start1(call func(e *Engine)) {
	e := s.e
	s.clients++
	s.spawn("client", func() {
		call(e)
		s.clients--
	})
}

func (s *sim) accountLine(l *simLine) {
	spec := AccountSpec{ID: l.arg(0), Kind: l.arg(1), Currency: currencyOf(l.arg(len(l.args) - 1))}
	if spec.Kind == "provider" {
		spec.MinimumPayout = money.FromWords(0, 5e17)
	} else {
		spec.Billing = l.arg(2)
	}
	if len(l.args) == 5 {
		spec.Parent, spec.Billing = l.arg(3), ""
	}
	s.w.specs[spec.ID] = spec
	s.client("account "+spec.ID, func(e *Engine) (uint64, *refusal.Refusal) {
		a, _, no := e.CreateAccount(spec)
		return a.Sequence, no
	})
}

// sortBook orders the prices of a book that was made by walking a map.
func sortBook(v *modelVersion) {
	slices.SortStableFunc(v.prices, func(a, b modelPrice) int { return strings.Compare(a.currency, b.currency) })
}

func (s *sim) pricesLine(l *simLine) {
	id := l.arg(0)
	if len(l.args) == 3 {
		at := world{base: time.Unix(0, simTime(l.arg(2))).UTC()}
		s.w.versions[id] = at.randomVersion(rand.New(rand.NewPCG(uint64(l.number(1)), 3)), id, l.number(1))
	}
	model := s.w.versions[id]
	s.client("prices "+id, func(e *Engine) (uint64, *refusal.Refusal) {
		v, no := meter.ParseVersion(model.id, model.document())
		if no != nil {
			return 0, no
		}
		p, _, no := e.PutPrices(v, nil)
		return p.Sequence, no
	})
}

// event reads SOURCE/ID SUBJECT TYPE [COMPONENT:QUANTITY]… [KEY=VALUE]… [@TIME].
func simEvent(text string) call {
	f := strings.Fields(text)
	c := call{subject: f[1], kind: f[2]}
	c.source, c.id, _ = strings.Cut(f[0], "/")
	for _, word := range f[3:] {
		if at, ok := strings.CutPrefix(word, "@"); ok {
			c.time = simTime(at)
		} else if k, v, ok := strings.Cut(word, "="); ok {
			c.dims = append(c.dims, [2]string{k, v})
		} else if k, v, ok := strings.Cut(word, ":"); ok {
			c.usage = append(c.usage, [2]string{k, v})
		}
	}
	return c
}

func simEventText(c *call) string {
	out := fmt.Sprintf("%s/%s %s %s", c.source, c.id, c.subject, c.kind)
	for _, u := range c.usage {
		out += " " + u[0] + ":" + u[1]
	}
	for _, d := range c.dims {
		out += " " + d[0] + "=" + d[1]
	}
	if c.time != 0 {
		out += " @" + simTimeText(c.time)
	}
	return out
}

func eventID(c *call) string { return "event " + c.source + "/" + c.id }

func (s *sim) postLine(l *simLine) {
	var calls []call
	var known []bool
	conflict := l.arg(0) == "conflict"
	for _, text := range l.input {
		c := simEvent(text)
		k := s.check.acked[eventID(&c)] != 0
		if conflict && !k {
			continue
		}
		calls, known = append(calls, c), append(known, k)
		if conflict && s.retain && c.time == 0 {
			s.check.other[eventID(&c)] = true // once it is forgotten, that may be booked
		}
		if !conflict {
			s.check.submit(eventID(&c))
			if _, there := s.w.calls[identityOf(&c)]; !there {
				s.w.calls[identityOf(&c)] = c
			}
		}
	}
	if len(calls) > 0 {
		s.start1(func(e *Engine) { s.posting(e, calls, known, conflict) })
	}
}

func (s *sim) posting(e *Engine, calls []call, known []bool, conflict bool) {
	q := e.Acquire(200 * len(calls))
	if q == nil {
		s.say("no room")
		s.count.refused++
		return
	}
	defer e.Release(q)
	fill(simTB{s.t, s}, q.Batch(), calls)
	out, no := e.Ingest(q)
	if no != nil {
		s.failf("ingest: %v", no)
	}
	s.count.answers++
	s.say("post %d %d %d %d at %d", out.Accepted, out.Duplicates, out.Unpriced, len(out.Rejected), out.Sequence)
	if out.Accepted+out.Duplicates+len(out.Rejected) != len(calls) {
		s.failf("%d events: %+v", len(calls), out)
	}
	rejected := map[int]string{}
	for _, r := range out.Rejected {
		rejected[int(r.Index)] = r.Refusal.Reason
	}
	for i := range calls {
		why, no := rejected[i]
		switch {
		case s.tooOld(&calls[i], why), (conflict || known[i]) && s.forgot(eventID(&calls[i])), s.check.other[eventID(&calls[i])]:
			if !no {
				s.answered(eventID(&calls[i]), out.Sequence)
			}
		case conflict && why != "id_conflict", !conflict && known[i] && no:
			s.failf("%s was answered, and asked for again (with other content: %v) it is %q", eventID(&calls[i]), conflict, why)
		case !no:
			s.answered(eventID(&calls[i]), out.Sequence)
		}
	}
}

func (s *sim) amount(text string) money.Amount { return amount(simTB{s.t, s}, text) }

func (s *sim) topUpLine(l *simLine) {
	u := TopUp{ID: l.arg(0), Account: l.arg(1), Amount: s.amount(l.arg(2))}
	if l.arg(3) == "conflict" {
		s.conflict("topup "+u.ID, func(e *Engine) *refusal.Refusal {
			_, _, no := e.TopUp(u)
			return no
		})
		return
	}
	s.w.topUps[u.ID] = u
	s.client("topup "+u.ID, func(e *Engine) (uint64, *refusal.Refusal) {
		a, _, no := e.TopUp(u)
		return a.Sequence, no
	})
}

func (s *sim) voidLine(l *simLine) {
	spec := VoidSpec{ID: l.arg(1), Reason: strings.Join(l.args[2:], " ")}
	spec.Source, spec.Event, _ = strings.Cut(l.arg(0), "/")
	s.w.voids[spec.ID] = spec
	s.check.submit("void " + spec.ID)
	// A second void of an event gives the first one's answer: what is kept is that the event is void.
	s.client("void of "+l.arg(0), func(e *Engine) (uint64, *refusal.Refusal) {
		known := s.check.acked["void "+spec.ID]
		v, _, no := e.Void(spec)
		if no == nil && v.ID == spec.ID {
			s.check.acked["void "+spec.ID] = v.Sequence
		} else if known > s.store.Base().Seq && no != nil && no.Code == refusal.NotFound {
			s.failf("void %s was answered at %d, and asked for again it is refused: %v", spec.ID, known, no)
		}
		return v.Sequence, no
	})
}

func (s *sim) rerateLine(l *simLine) {
	spec := RerateSpec{ID: l.arg(0), Version: l.arg(1)}
	if len(l.args) == 4 {
		spec.From, spec.To = time.Unix(0, simTime(l.arg(2))).UTC(), time.Unix(0, simTime(l.arg(3))).UTC()
	}
	s.w.rerates[spec.ID] = spec
	s.client("rerate "+spec.ID, func(e *Engine) (uint64, *refusal.Refusal) {
		r, _, no := e.Rerate(spec)
		return r.Sequence, no
	})
}

func (s *sim) closeLine(l *simLine) {
	var want *uint64
	if len(l.args) > 1 {
		n := uint64(l.number(1))
		want = &n
	}
	s.client("close "+l.arg(0), func(e *Engine) (uint64, *refusal.Refusal) {
		a, _, no := e.CloseWindow(l.arg(0), want)
		return a.Sequence, no
	})
}

func (s *sim) resultLine(l *simLine) {
	x := worldResult{window: uint64(l.number(1)), code: l.arg(2)}
	x.ID, x.Line = l.arg(0), uint32(l.number(3))
	x.Status = ResultStatus(slices.Index(resultStatusNames[:], l.arg(4)))
	if len(l.args) > 5 {
		a := s.amount(l.arg(5))
		x.Amount = &a
	}
	windows := s.e.published.Load().windows
	if x.window == 0 || x.window > uint64(len(windows)) {
		return
	}
	for i := range windows[x.window-1].batches {
		if b := &windows[x.window-1].batches[i]; b.currency.Code() == x.code {
			x.Batch = hexID(b.id)
		}
	}
	if x.Batch == "" {
		return
	}
	s.w.results[x.ID] = x
	s.client("result "+x.ID, func(e *Engine) (uint64, *refusal.Refusal) {
		a, _, no := e.Result(x.LineResult)
		return a.Sequence, no
	})
}

// readLine looks at an account in every way: what is shown must be durable.
func (s *sim) readLine(l *simLine) {
	s.start1(func(e *Engine) {
		a, no := e.Account(l.arg(0))
		if no != nil {
			s.say("read: %s", no.Reason)
			return
		}
		s.say("read %s %s at %d", l.arg(0), a.Posted, a.Sequence)
		s.answered("", a.Sequence)
		page, no := e.Transfers(l.arg(0), "", 5)
		if no == nil {
			s.say("%d transfers", len(page.Items))
		}
	})
}
