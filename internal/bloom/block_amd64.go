package bloom

// set is Add by plain loads and stores (block_amd64.s).
//
//go:noescape
func set(b *Block, spread uint64)
