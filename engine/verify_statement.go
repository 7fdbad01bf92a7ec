package engine

import (
	"encoding/binary"
	"fmt"
	"slices"

	"farthing/journal"
)

// postPartsMax is how many full parts of statement entries are gathered before they are summed up: 4 MiB.
const postPartsMax = 16

// posting reports whether the statement entries of a sequence are to be gathered.
func (c *runCheck) posting(seq uint64) bool {
	if len(c.posts.parts) >= postPartsMax {
		c.sumPosts() // between two sequences: each is listed once an account
	}
	return len(c.statements) > 0 && seq >= c.statements[0].first && seq <= c.statements[0].last
}

// sumPosts sums up what was gathered, by account.
func (c *runCheck) sumPosts() {
	c.posts.each(func(account, seq uint64) {
		for account >= uint64(len(c.moved)) {
			c.moved = append(c.moved, runSum{})
		}
		c.moved[account].add(c.key, account, seq)
	})
	c.posts.reset()
}

// compareStatement compares a run's entries with those the journal gives; where it begins before the base, those
// behind it.
func (c *runCheck) compareStatement(r *statementRun) error {
	c.sumPosts()
	defer clear(c.moved)
	var have runSum
	account := uint64(0)
	// until compares the accounts before one.
	until := func(next uint64) error {
		for ; account < next; account++ {
			want := runSum{}
			if account < uint64(len(c.moved)) {
				want = c.moved[account]
			}
			if have.count < want.count {
				return fmt.Errorf("statement run %d of sequences %d to %d: of account number %d, %d of %d movements are stored: %w",
					r.number, r.first, r.last, account, have.count, want.count, errTableGone)
			}
			if have != want {
				return fmt.Errorf("statement run %d of sequences %d to %d: account number %d has other movements than in the journal", r.number, r.first, r.last, account)
			}
			have = runSum{}
		}
		return nil
	}
	last, accounts := posting{}, uint64(len(c.v.replay.state.people))
	var list []posting
	err := c.v.store.TableScan(journal.KindStatement, r.number, nil, nil, func(key, row []byte) (more bool, err error) {
		if list, err = postingsOf(row, list[:0]); err != nil || len(list) == 0 {
			return false, fmt.Errorf("statement run %d: row %x does not decode", r.number, key)
		}
		for _, p := range list {
			if p.seq < r.first || p.seq > r.last || p.account >= accounts || p.account < last.account || p.account == last.account && p.seq <= last.seq {
				return false, fmt.Errorf("statement run %d: row %x has sequence %d in a wrong place", r.number, key, p.seq)
			}
			if err := until(p.account); err != nil {
				return false, err
			}
			if p.seq > c.base {
				have.add(c.key, p.account, p.seq)
			}
			last = p
		}
		if !slices.Equal(key, last.key()) {
			return false, fmt.Errorf("statement run %d: row %x ends with sequence %d of account number %d", r.number, key, last.seq, last.account)
		}
		return true, nil
	})
	return errorOr(err, func() error { return until(max(uint64(len(c.moved)), account+1)) })
}

// posting is a statement entry.
type posting struct{ account, seq uint64 }

// key is that of a row that ends with it.
func (p posting) key() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, uint32(p.account)), p.seq)
}

// postingsOf lists the entries of a row of statements.
func postingsOf(row []byte, out []posting) ([]posting, error) {
	r := reader{p: row}
	for len(r.p) > 0 && !r.bad {
		account, n, at := r.uvarint(), r.uvarint(), uint64(0)
		if account >= 1<<32 || n > uint64(len(r.p)) {
			return out, errCodec
		}
		for range n {
			at += r.uvarint()
			out = append(out, posting{account, at})
		}
	}
	return out, r.end()
}
