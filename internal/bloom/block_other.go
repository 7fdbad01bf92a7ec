//go:build !amd64

package bloom

func set(b *Block, spread uint64) { b.add(spread) }
