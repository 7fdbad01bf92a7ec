package engine

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"farthing/batch"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// TestScenarios runs the stories in testdata. Every story is told three times: straight,
// with a restart before every command, and with runs and checkpoints of a few entries; the
// answers must be the same. Commands:
//
//	ledger [dedup=HOURS]                       a new ledger, created on 2026-11-01 at noon
//	account ID KIND [BILLING] CURRENCY [minimum=A] [overdraft=A] [unlimited]
//	prices ID [from=TIME]                      the prices of a version, one JSON object a line
//	post                                       one request; an event a line: SOURCE/ID SUBJECT TYPE
//	                                           [COMPONENT:QUANTITY]… [KEY=VALUE]… [@TIME]
//	topup ID ACCOUNT AMOUNT [REFERENCE]
//	close ID [WINDOW]                          shows the lines of the batches
//	closes                                     several, queued before any is looked at
//	balance ACCOUNT…, statement ACCOUNT [limit=N], usage ACCOUNT, event SOURCE/ID
//	trial-balance, unpriced, tables
//	void SOURCE/ID VOID [REASON]
//	simulate VERSION [from=TIME] [to=TIME]     what the version would make; preview: what a rerate would post
//	rerate ID VERSION [from=TIME] [to=TIME]    posts it
//	clock DURATION                             a restart after that much time
//	restart, verify
//
// TIME is RFC 3339 or a duration from now. Watermarks are shown with every change.
func TestScenarios(t *testing.T) {
	modes := map[string]func(*scenario){
		"straight":   func(*scenario) {},
		"restarting": func(s *scenario) { s.restarts = true },
		"small": func(s *scenario) {
			s.change = func(o *Options) { o.RunIdentities, o.CheckpointBytes = 2, 100 }
		},
	}
	for mode, change := range modes {
		t.Run(mode, func(t *testing.T) {
			datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
				if filepath.Dir(path) != "testdata" {
					return // of other tests
				}
				s := &scenario{t: t, change: func(*Options) {}}
				change(s)
				datadriven.RunTest(t, path, s.run)
			})
		})
	}
}

// scenario is a story under way.
type scenario struct {
	t        *testing.T
	r        *rig
	change   func(*Options)
	restarts bool
}

func (s *scenario) run(t *testing.T, d *datadriven.TestData) string {
	command, ok := map[string]func(*datadriven.TestData, []string) string{
		"ledger": s.ledger, "account": s.account, "prices": s.prices, "post": s.post, "topup": s.topUp, "close": s.close,
		"closes": s.closes, "balance": s.balance, "statement": s.statement, "usage": s.usage, "event": s.event,
		"trial-balance": s.trialBalance, "unpriced": s.unpriced, "tables": s.tables, "clock": s.clock,
		"void": s.void, "simulate": s.simulate, "preview": s.simulate, "rerate": s.rerate, "restart": s.restart, "verify": s.verify,
	}[d.Cmd]
	if !ok {
		t.Fatalf("unknown command %s", d.Cmd)
	}
	if s.restarts && d.Cmd != "ledger" {
		s.r.reopen()
	}
	var args []string
	for _, a := range d.CmdArgs {
		if len(a.Vals) == 0 {
			args = append(args, a.Key)
		}
	}
	return strings.TrimRight(command(d, args), "\n") + "\n"
}

func option(d *datadriven.TestData, key string) (string, bool) {
	for _, a := range d.CmdArgs {
		if a.Key == key && len(a.Vals) == 1 {
			return a.Vals[0], true
		}
	}
	return "", false
}

// marks shows the watermarks that do not depend on how far the background got.
func (s *scenario) marks() string {
	st, sealed := s.r.e.Stats(), uint64(0)
	if windows := s.r.e.published.Load().windows; len(windows) > 0 {
		sealed = windows[len(windows)-1].sealed // the mark itself moves right after the answer
	}
	return fmt.Sprintf("durable %d, sealed %d, stream %d", st.Durable, sealed, st.SealedStream)
}

func refusedText(r *refusal.Refusal) string {
	return fmt.Sprintf("refused: %s, %s: %s", r.Code, r.Reason, r.Detail)
}

func (s *scenario) outcome(created bool, refused *refusal.Refusal) string {
	switch {
	case refused != nil:
		return refusedText(refused)
	case created:
		return "new; " + s.marks()
	}
	return "there already; " + s.marks()
}

func (s *scenario) ledger(d *datadriven.TestData, _ []string) string {
	if s.r != nil && s.r.e != nil {
		s.r.close()
	}
	s.r = newRig(s.t, func(o *Options) {
		o.neverForget = true // a command more, after some restarts
		s.change(o)
		if hours, ok := option(d, "dedup"); ok {
			n, err := strconv.Atoi(hours)
			if err != nil {
				s.t.Fatal(err)
			}
			o.DedupWindow = time.Duration(n) * time.Hour
		}
	})
	return s.marks()
}

func (s *scenario) account(d *datadriven.TestData, args []string) string {
	spec := AccountSpec{ID: args[0], Kind: args[1], Currency: currencyOf(args[len(args)-1])}
	if args[len(args)-1] == "unlimited" {
		spec.Unlimited, spec.Currency, args = true, currencyOf(args[len(args)-2]), args[:len(args)-1]
	}
	if len(args) == 4 {
		spec.Billing = args[2]
	}
	if a, ok := option(d, "minimum"); ok {
		spec.MinimumPayout = amount(s.t, a)
	}
	if a, ok := option(d, "overdraft"); ok {
		limit := amount(s.t, a)
		spec.OverdraftLimit = &limit
	}
	_, created, refused := s.r.e.CreateAccount(spec)
	return s.outcome(created, refused)
}

func (s *scenario) prices(d *datadriven.TestData, args []string) string {
	from, ok := option(d, "from")
	if !ok {
		from = "2026-01-01T00:00:00Z"
	}
	body := fmt.Sprintf(`{"effective_from":%q,"prices":[%s]}`, from, strings.ReplaceAll(strings.TrimSpace(d.Input), "\n", ","))
	v, refused := meter.ParseVersion(args[0], []byte(body))
	_, created, refused := s.r.e.PutPrices(v, refused)
	s.r.e.repriced() // what it makes ratable is rated before the story goes on
	return s.outcome(created, refused)
}

func (s *scenario) time(text string) int64 {
	if d, err := time.ParseDuration(text); err == nil {
		return s.r.base.Add(d).UnixNano()
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		s.t.Fatal(err)
	}
	return at.UnixNano()
}

func (s *scenario) call(line string) call {
	f := strings.Fields(line)
	source, id, _ := strings.Cut(f[0], "/")
	c := call{source: source, id: id, subject: f[1], kind: f[2]}
	for _, word := range f[3:] {
		if at, ok := strings.CutPrefix(word, "@"); ok {
			c.time = s.time(at)
		} else if k, v, ok := strings.Cut(word, "="); ok {
			c.dims = append(c.dims, [2]string{k, v})
		} else if k, v, ok := strings.Cut(word, ":"); ok {
			c.usage = append(c.usage, [2]string{k, v})
		}
	}
	return c
}

func (s *scenario) post(d *datadriven.TestData, _ []string) string {
	var calls []call
	for line := range strings.Lines(d.Input) {
		calls = append(calls, s.call(line))
	}
	got := s.r.post(calls...)
	out := fmt.Sprintf("accepted %d, duplicates %d, unpriced %d; %s\n", got.Accepted, got.Duplicates, got.Unpriced, s.marks())
	if durable := s.r.e.Stats().Durable; got.Sequence > durable {
		s.t.Errorf("the answer depends on %d, durable is %d", got.Sequence, durable)
	}
	for _, r := range got.Rejected {
		out += fmt.Sprintf("  %d %s %s\n", r.Index, r.ID, refusedText(&r.Refusal))
	}
	return out
}

func (s *scenario) topUp(_ *datadriven.TestData, args []string) string {
	u := TopUp{ID: args[0], Account: args[1], Amount: amount(s.t, args[2])}
	if len(args) > 3 {
		u.Reference = args[3]
	}
	got, created, refused := s.r.e.TopUp(u)
	if refused != nil {
		return refusedText(refused)
	}
	return fmt.Sprintf("%s\n  posted %s at sequence %d", s.outcome(created, nil), got.Posted, got.Sequence)
}

// wanted reads ID and, if given, WINDOW.
func (s *scenario) wanted(args []string) (id string, want *uint64) {
	if len(args) > 1 {
		n, err := strconv.ParseUint(args[1], 10, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		want = &n
	}
	return args[0], want
}

func (s *scenario) close(_ *datadriven.TestData, args []string) string {
	id, want := s.wanted(args)
	got, created, refused := s.r.e.CloseWindow(id, want)
	if refused != nil {
		return refusedText(refused)
	}
	return s.outcome(created, nil) + "\n" + s.settlement(&got, true)
}

func (s *scenario) settlement(got *Settlement, lines bool) string {
	out := fmt.Sprintf("  window %d, cut %d, by %s\n", got.Window, got.Cut, got.ID)
	for _, b := range got.Batches {
		out += fmt.Sprintf("  batch %.8s %s: %d lines, paid %s, collected %s\n", b.BatchID, b.Currency, b.Lines, b.Paid, b.Collected)
		page, refused := s.r.e.Lines(b.BatchID, "", 1000)
		if refused != nil {
			s.t.Fatal(refused)
		}
		for _, record := range page.Items {
			_, l, err := batch.ParseLine(record)
			if err != nil {
				s.t.Fatal(err)
			}
			if lines {
				out += fmt.Sprintf("    %-8s %s + %s - %s = %s + %s  (%d events, %s)\n", l.Account, l.CarriedIn, l.GrossCredits, l.GrossDebits,
					l.Signed(), l.CarriedOut, l.Events, l.Direction)
			}
		}
	}
	return out
}

// closes holds the sequencer until all closes are on the ring, in their order.
func (s *scenario) closes(d *datadriven.TestData, _ []string) string {
	e := s.r.e
	e.repriced() // its visits would be counted as closes
	holding, release := make(chan struct{}), make(chan struct{})
	go e.internal(func(*sequencer) {
		close(holding)
		<-release
	})
	<-holding
	var answers []chan string
	for line := range strings.Lines(d.Input) {
		id, want := s.wanted(strings.Fields(line))
		answer, queued := make(chan string, 1), e.ring.tail.Load()
		answers = append(answers, answer)
		go func() {
			got, created, refused := e.CloseWindow(id, want)
			if refused != nil {
				answer <- id + ": " + refusedText(refused) + "\n"
				return
			}
			answer <- fmt.Sprintf("%s: new %v\n%s", id, created, s.settlement(&got, false))
		}()
		for e.ring.tail.Load() == queued { // until it is on the ring
			runtime.Gosched()
		}
	}
	close(release)
	out := ""
	for _, a := range answers {
		out += <-a
	}
	return out + s.marks()
}

func (s *scenario) balance(_ *datadriven.TestData, args []string) string {
	out := ""
	for _, id := range args {
		a, refused := s.r.e.Account(id)
		if refused != nil {
			out += refusedText(refused) + "\n"
			continue
		}
		if id == "operator" {
			for _, item := range a.Items {
				out += fmt.Sprintf("operator: posted %s %s\n", item.Posted, item.Currency)
			}
			continue
		}
		available := "unlimited"
		if a.Available != nil {
			available = a.Available.String()
		}
		out += fmt.Sprintf("%s: posted %s %s, available %s\n", id, a.Posted, a.Spec.Currency, available)
	}
	return out
}

// statement reads all pages and checks that they add up to what is posted, unless the
// account is the operator, which has several currencies.
func (s *scenario) statement(d *datadriven.TestData, args []string) string {
	limit := 1000
	if text, ok := option(d, "limit"); ok {
		var err error
		if limit, err = strconv.Atoi(text); err != nil {
			s.t.Fatal(err)
		}
	}
	out, cursor, sum, pages := "", "", money.Amount{}, 0
	for {
		page, refused := s.r.e.Transfers(args[0], cursor, limit)
		if refused != nil {
			return refusedText(refused)
		}
		pages++
		for _, t := range page.Items {
			sum = sum.MustAdd(t.Amount)
			what := t.Source + "/" + t.Event + t.ID
			if t.Batch != "" {
				what = t.Batch[:8]
			}
			out += fmt.Sprintf("%d %s %s %s %s %s\n", t.Sequence, t.Reason, t.Amount, t.Account, t.Class, what)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	out += fmt.Sprintf("%d pages, sum %s", pages, sum)
	if args[0] != "operator" {
		if posted := s.r.posted(args[0]); posted != sum.String() {
			s.t.Errorf("the statement of %s sums to %s, posted is %s", args[0], sum, posted)
		}
	}
	return out
}
