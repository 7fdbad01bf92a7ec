package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"farthing/bench/client"
)

const (
	// demoLimit ends a demo that hangs: it promises to end by itself.
	demoLimit = 30 * time.Second
	// demoSenders post concurrently, as several gateways would.
	demoSenders = 4
	// demoWindows are closed while traffic flows; one more at the end.
	demoWindows = 3
)

// demoCmd is `farthing demo`.
type demoCmd struct {
	Duration time.Duration `help:"How long traffic flows, at most 20s." default:"8s"`
	Seed     uint64        `help:"Seed of the traffic." default:"1"`
	Log      bool          `help:"Show the server's log on standard error."`
}

// Help is the long help of the command.
func (demoCmd) Help() string {
	return `Starts a server on a fresh temporary directory and posts LLM and API usage of
twenty customers over HTTP, duplicates and bad events among it. The models cost
what the shipped catalogue lists, some usage is sent as the provider reports it,
and calls in yen have a price that falls with the month's number of calls. In the
middle the server is killed and started again while the senders keep retrying.
Windows are closed on the way. Meanwhile agents of a prepaid organisation hold
credit for their calls and are charged what they use: a promo grant is used up,
the credit runs out and is topped up when that is requested, a team reaches its
budget, and holds that were open when the server was killed are captured after
it. Then a model that came without a price gets one, and two events are taken
back. The bank says that one payout was paid and that one collection failed:
that amount comes back in the customer's next statement. At the end every balance, batch line and usage row
is compared with what was sent, one event is explained and proven offline, and
the journal is verified. Exit 0 only if all of it agrees.`
}

// demoTarget is the server as the demo drives it; a child process, or in tests
// something simpler.
type demoTarget interface {
	URL() string
	// Restart kills the server and starts it again.
	Restart(ctx context.Context) error
	// Finish ends the server and returns what verify says.
	Finish(ctx context.Context) (string, error)
}

// Run runs the demo.
func (c *demoCmd) Run(ctx *Context) (err error) {
	if c.Duration <= 0 || c.Duration > 20*time.Second {
		return usageError{fmt.Errorf("--duration %v is not within 0 and 20s", c.Duration)}
	}
	dir, err := os.MkdirTemp("", "farthing-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	target, err := startDemoChild(ctx, dir, c.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.server.Kill()) }() // does nothing after Finish
	limited, cancel := context.WithTimeout(ctx.Ctx, demoLimit)
	defer cancel()
	return (&demo{cmd: c, out: newDemoPrinter(ctx), target: target, world: newDemoWorld(time.Now())}).run(limited)
}

// demo is one demo under way; its own goroutine owns it.
type demo struct {
	cmd     *demoCmd
	out     *demoPrinter
	target  demoTarget
	world   *demoWorld
	client  *client.Client
	sent    atomic.Int64 // by the senders
	senders []*demoSender
	closed  int
	outage  time.Duration
	credit  *demoCredit
	results demoResults
	want    *demoExpected // from the end of the traffic on
	checks  []demoCheck
}

func (d *demo) run(ctx context.Context) error {
	d.client = client.New(d.target.URL, client.Options{})
	defer d.client.Close()
	d.out.title(d.target.URL(), d.world)
	if err := d.world.create(ctx, d.client); err != nil {
		return err
	}
	d.credit = newDemoCredit(d.world, d.client)
	if err := d.credit.work(ctx, d.world.plan.first); err != nil {
		return err
	}
	began := time.Now()
	if err := d.traffic(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	d.want = expectedOf(d.world, d.senders)
	if err := d.credit.finish(ctx); err != nil {
		return err
	}
	d.want.captured(d.world, d.credit.events, d.credit.purse.given)
	if err := d.correct(ctx); err != nil {
		return err
	}
	if err := d.bank(ctx); err != nil {
		return err
	}
	if err := d.closeWindow(ctx); err != nil {
		return err
	}
	return d.report(ctx, took)
}

// report reads everything back, prints it and says whether it adds up.
func (d *demo) report(ctx context.Context, took time.Duration) (err error) {
	settled, err := readSettled(ctx, d.client, d.world)
	if err != nil {
		return err
	}
	explained, err := d.explain(ctx, settled.batches)
	if err != nil {
		return err
	}
	statement, err := d.statement(ctx)
	if err != nil {
		return err
	}
	proven, err := d.fetchProof(ctx, explained)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proven.remove()) }()
	d.client.Close() // so that no connection waits for what will not come
	verify, verifyErr := d.target.Finish(ctx)
	d.out.credit(d.credit)
	d.out.traffic(d.want, took, d.outage)
	d.out.tiers(d.world, d.want)
	d.out.batches(settled.batches)
	d.out.results(&d.results)
	d.out.statement(&statement)
	d.out.trial(settled.trial)
	d.out.explained(explained)
	proof := proven.check(explained)
	d.out.proof(&proven)
	settled.check(d)
	d.credit.check(d)
	d.check("a paid line stays paid, a failed one is returned in the next line of its account", d.results.check(settled.batches))
	d.check("the statement's items make its closing balance, and that of the line", checkStatement(&statement, settled.batches))
	d.check("the explained event is what was sent, at the listed prices", explained.check(d.world))
	d.check("the explained event is in the signed tree of its batch, and the batches are a chain", proof)
	d.check("farthing verify: "+verify, verifyErr)
	d.out.checks(d.checks)
	var faults []error
	for _, check := range d.checks {
		faults = append(faults, check.fault)
	}
	return errors.Join(faults...)
}

// check notes one thing that must hold.
func (d *demo) check(what string, fault error) {
	d.checks = append(d.checks, demoCheck{what, fault})
}

// traffic runs the senders for the demo's duration, with windows closed and
// one crash meanwhile, and waits for them.
func (d *demo) traffic(ctx context.Context) error {
	stop := make(chan struct{})
	ended := make(chan error, demoSenders)
	for n := range demoSenders {
		s := newDemoSender(d.world, d.client, d.cmd.Seed, n, &d.sent)
		d.senders = append(d.senders, s)
		go func() { ended <- s.run(ctx, stop) }()
	}
	err := d.conduct(ctx, ended)
	close(stop)
	for range demoSenders {
		err = errors.Join(err, <-ended)
	}
	d.out.endProgress()
	return err
}

// conduct closes windows and restarts the server while the senders work. A
// sender that ends early has failed; its error is put back for traffic.
func (d *demo) conduct(ctx context.Context, ended chan error) error {
	end := time.NewTimer(d.cmd.Duration)
	defer end.Stop()
	crash := time.NewTimer(d.cmd.Duration / 2)
	defer crash.Stop()
	window := time.NewTicker(d.cmd.Duration / (demoWindows + 1))
	defer window.Stop()
	second := time.NewTicker(250 * time.Millisecond)
	defer second.Stop()
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			ended <- err
			return nil
		case <-end.C:
			if d.outage > 0 {
				return nil
			}
			return d.crash(ctx) // so short a demo that the other timer was not seen
		case <-crash.C:
			if err := d.crash(ctx); err != nil {
				return err
			}
		case <-window.C:
			if err := d.closeWindow(ctx); err != nil {
				return err
			}
		case <-second.C:
			d.out.progress(time.Since(began), d.cmd.Duration, d.sent.Load(), d.closed)
		}
	}
}

// crash kills the server while holds are open.
func (d *demo) crash(ctx context.Context) error {
	held, err := d.credit.open(ctx)
	if err != nil {
		return err
	}
	d.out.note(fmt.Sprintf("kill -9 in the middle of the traffic, while calls of %s hold %s USD; the senders keep retrying", demoBot, held))
	began := time.Now()
	if err := d.target.Restart(ctx); err != nil {
		return err
	}
	d.outage += time.Since(began)
	d.out.note(fmt.Sprintf("back after %v, nothing lost so far as anyone was told; the holds are captured now", d.outage.Round(time.Millisecond)))
	return d.credit.survived(ctx)
}

func (d *demo) closeWindow(ctx context.Context) error {
	id := fmt.Sprintf("demo-window-%d", d.closed+1)
	err := client.Retry(ctx, 20*time.Millisecond, func(ctx context.Context) error {
		_, err := d.client.CloseWindow(ctx, id)
		return err
	})
	if err != nil {
		return err
	}
	d.closed++
	return nil
}
