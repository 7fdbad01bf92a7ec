package engine

// foldRows is how many rows deltas may have whatever the size of the state.
const foldRows = 1 << 16

// folds reports whether the next checkpoint is better a full one: a restart reads the deltas as well, and
// where most rows change between two checkpoints each of them is as long as a full one.
func (s *sequencer) folds(changed uint64) bool {
	rows := s.deltaRows + changed
	return rows > foldRows && rows > s.state.allRows()/2
}

// changedRows is how many rows a delta would have now.
func (s *state) changedRows() (n uint64) {
	for _, t := range s.rowTables() {
		n += uint64(t.changed())
	}
	return n
}

// allRows is how many rows a full checkpoint would have now.
func (s *state) allRows() (n uint64) {
	for _, t := range s.rowTables() {
		n += uint64(t.len())
	}
	return n
}
