//go:build !amd64

package bloom

const accelerated = false

func set(*Block, uint64) { panic("BUG: bloom: not accelerated") }
