package engine

import (
	"bytes"
	"fmt"

	"farthing/journal"
)

// compareStatement compares a run's statement rows with those the journal gives.
func (c *runCheck) compareStatement(r *statementRun) error {
	if r.first <= c.base {
		return c.compareLate(r)
	}
	type row struct{ key, value []byte }
	var want []row
	err := c.posts.write(func(key, value []byte) error {
		want = append(want, row{bytes.Clone(key), bytes.Clone(value)})
		return nil
	})
	if err != nil {
		return err
	}
	n := 0
	err = c.v.store.TableScan(journal.KindStatement, r.number, nil, nil, func(key, value []byte) (bool, error) {
		if n >= len(want) || !bytes.Equal(key, want[n].key) || !bytes.Equal(value, want[n].value) {
			return false, fmt.Errorf("statement run %d: row %x differs from the one that follows from the journal", r.number, key)
		}
		n++
		return true, nil
	})
	if err == nil && n != len(want) {
		err = fmt.Errorf("statement run %d of sequences %d to %d: %d of %d rows are stored: %w", r.number, r.first, r.last, n, len(want), errTableGone)
	}
	return err
}

// posting reports whether the statement entries of a sequence are to be gathered.
func (c *runCheck) posting(seq uint64) bool {
	return len(c.statements) > 0 && seq >= c.statements[0].first && seq <= c.statements[0].last
}
