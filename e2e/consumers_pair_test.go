package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// checkPair has both programs apply the topic to one database at once: each is amid its transaction, or waits for the other's, when they are
// let go. Nothing is applied twice, and neither ends.
func (s *consumersRun) checkPair(ctx context.Context, programs []*program, tables string, last int) {
	s.t.Helper()
	postgres := programs[0].postgres
	s.must(postgres.CreateDatabase(ctx, "pair"))
	schema, err := os.ReadFile(filepath.Join(examples, "consumer-go", "schema.sql"))
	s.must(err)
	_, err = postgres.Query(ctx, "pair", string(schema))
	s.must(err)
	released := make(chan struct{})
	go func() {
		defer close(released)
		// Ends when it is cancelled, with an error.
		_, _ = postgres.Query(ctx, "pair", "BEGIN; LOCK TABLE line IN SHARE ROW EXCLUSIVE MODE; SELECT pg_sleep(600)")
	}()
	held := func(granted bool, n int) func() bool {
		const waiting = "SELECT count(*) FROM pg_locks WHERE granted = %t AND (relation = 'line'::regclass AND mode LIKE '%%Exclusive%%' OR locktype = 'transactionid' AND NOT granted)"
		return func() bool {
			got, err := postgres.Query(ctx, "pair", fmt.Sprintf(waiting, granted))
			return err == nil && got == fmt.Sprint(n)
		}
	}
	eventually(ctx, s.t, "the lines are locked", held(true, 1))
	var pair []*program
	for _, p := range programs {
		one := &program{name: "pair", command: p.command, postgres: postgres, args: p.args}
		one.start(s.t, false)
		pair = append(pair, one)
	}
	eventually(ctx, s.t, "both wait", held(false, len(pair)))
	_, err = postgres.Query(ctx, "pair", "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()")
	s.must(err)
	<-released
	eventually(ctx, s.t, "the pair has applied everything", func() bool {
		got, err := postgres.Query(ctx, "pair", "SELECT stream_seq FROM stream")
		return err == nil && got == fmt.Sprint(last)
	})
	if got := dump(ctx, s.t, pair[0]); got != tables {
		s.t.Error("two programs at once have other tables than each alone")
	}
	for i, p := range pair {
		if err := p.kill(); err != nil {
			s.t.Errorf("program %d of the pair: %v", i, err)
		}
	}
}

// killAtEnd leaves no process behind a test that fails.
func (p *program) killAtEnd(t *testing.T) {
	process, ended := p.process.Process, p.ended
	t.Cleanup(func() {
		_ = process.Kill() // it has mostly ended
		<-ended
	})
}
