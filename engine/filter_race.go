//go:build race

package engine

// filterWriter lets the race detector, which does not see how bits are set, see two goroutines that write one filter.
type filterWriter struct{ adds int }

func (w *filterWriter) adding() { w.adds++ }
