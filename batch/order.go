package batch

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
)

// Order returns the numbers 0 to n-1 in the order of their accounts (bytewise),
// which is the order that lines have. It asks for an account a few times.
func Order(n int, account func(i uint32) string) ([]uint32, error) {
	if uint64(n) > lineMax {
		return nil, fmt.Errorf("%w: more than %d positions", ErrRange, lineMax)
	}
	keys := make([]sortKey, n)
	for i := range keys {
		keys[i].index = uint32(i)
	}
	sortKeys(account, keys, 0)
	order := make([]uint32, n)
	for i := range keys {
		order[i] = keys[i].index
	}
	return order, nil
}

// sortKey stands for an account while sorting: comparing strings far apart in
// memory costs a cache miss each, comparing eight bytes of them here does not.
type sortKey struct {
	chunk uint64 // eight bytes of the account, big-endian, padded with zeros
	index uint32
}

// sortKeys sorts accounts that agree in their first from bytes: by the next
// eight bytes, then each run that agrees in these too by what follows. Accounts
// usually share long prefixes ("customer-000…"), so a fixed prefix would not
// tell them apart. Ids are at most 128 bytes without zeros: the recursion is
// 16 deep at most, and a padded chunk ends only where its account does.
func sortKeys(account func(uint32) string, keys []sortKey, from int) {
	for i := range keys {
		keys[i].chunk = chunkAt(account(keys[i].index), from)
	}
	slices.SortFunc(keys, func(a, b sortKey) int { return cmp.Compare(a.chunk, b.chunk) })
	for start := 0; start < len(keys); {
		end := start + 1
		for end < len(keys) && keys[end].chunk == keys[start].chunk {
			end++
		}
		if end-start > 1 && byte(keys[start].chunk) != 0 { // 0: the accounts end here
			sortKeys(account, keys[start:end], from+8)
		}
		start = end
	}
}

func chunkAt(account string, from int) uint64 {
	var b [8]byte
	copy(b[:], account[min(from, len(account)):])
	return binary.BigEndian.Uint64(b[:])
}
