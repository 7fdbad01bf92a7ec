package suite

import (
	"context"
	"fmt"
	"slices"
	"time"

	"farthing/bench"
)

// step is a part of a suite. What it takes is guessed from what it measures; the guesses of all steps are off in about the same way, which what
// was done so far corrects.
type step struct {
	what  string
	guess time.Duration
	run   func(context.Context) error
}

// around a measurement: starting, opening accounts, comparing them, ending, verifying.
const (
	aroundRun    = 2500 * time.Millisecond
	aroundVerify = 0.6                   // of the time measured
	perAccount   = 40 * time.Microsecond // opened and read
	guessedRate  = 1_000_000             // events a second, for runs that go on to a number of events
)

// plan is everything that is to be done, in order.
func (s *suite) plan() (all []step) {
	add := func(what string, guess time.Duration, run func(context.Context) error) {
		all = append(all, step{what, guess, run})
	}
	if s.Limits {
		add("limits of the machine", 4*time.Second, s.limits)
	}
	for _, w := range s.Workloads {
		repeats := s.repeats(w)
		for n := range repeats {
			guess := s.guess(w)
			if s.besideEmpty(w) {
				guess += s.Run.Warmup + s.durationOf(w)
			}
			if n == 0 && s.Verify != VerifyNone && (!w.Identities || s.Identities == 0) || s.Verify == VerifyAll {
				guess += time.Duration(aroundVerify * float64(s.durationOf(w)))
			}
			add(fmt.Sprintf("%s, %d of %d", w.Name, n+1, repeats), guess, func(ctx context.Context) error { return s.closed(ctx, w) })
		}
	}
	for _, w := range s.sustainedWorkloads() {
		d := s.sustainedTime(w)
		add(fmt.Sprintf("%s, sustained for %v", w.Name, d), d+d/8+6*time.Second, func(ctx context.Context) error { return s.sustain(ctx, w) })
	}
	s.planRates(add)
	if s.Restart {
		add("restart", 2*usualDuration+15*time.Second, s.restart)
	}
	s.planPeers(add)
	s.planProfiles(add)
	return all
}

func (s *suite) repeats(w bench.Workload) int {
	switch {
	case w.Identities && s.Identities > 0:
		return 1
	case s.Repeats > 0:
		return s.Repeats
	case slices.Contains(pacedWorkloads, w.Name):
		return 3
	}
	return 2
}

// guess is about what a run of a workload takes.
func (s *suite) guess(w bench.Workload) time.Duration {
	accounts := w.Accounts
	if s.Run.Accounts > 0 {
		accounts = s.Run.Accounts
	}
	d := s.durationOf(w)
	if w.Identities && s.Identities > 0 {
		d = max(d, time.Duration(float64(s.Identities)/guessedRate*float64(time.Second)))
	}
	return aroundRun + s.Run.Warmup + d + time.Duration(accounts)*perAccount
}

// run does what is planned, and says before each step what is left.
func (s *suite) run(ctx context.Context) error {
	all := s.plan()
	began, total, done := time.Now(), time.Duration(0), time.Duration(0)
	for _, st := range all {
		total += st.guess
	}
	for i, st := range all {
		s.Say(fmt.Sprintf("%d of %d, %s left: %s", i+1, len(all), left(total-done, time.Since(began), done), st.what))
		if err := st.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", st.what, err)
		}
		done += st.guess
	}
	return nil
}

// left corrects a guess of what is left by how long took what had been guessed to take as long as done.
func left(guess, took, done time.Duration) string {
	if done > 20*time.Second { // before that it says little
		guess = time.Duration(float64(guess) * min(max(float64(took)/float64(done), 0.5), 4))
	}
	if guess < time.Minute {
		return "less than a minute"
	}
	return fmt.Sprintf("about %d min", int(guess.Round(time.Minute)/time.Minute))
}
