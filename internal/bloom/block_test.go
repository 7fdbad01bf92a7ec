package bloom

import (
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
)

// TestAdd: the vector way sets what the atomic way sets, which sets what the loop of the definition sets, and no other bit.
func TestAdd(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for round := range 2000 {
		var fast, slow Block
		var want [Words]uint64
		for i := range want { // of a block that has bits
			want[i] = rng.Uint64() & rng.Uint64() & rng.Uint64()
			fast[i].Store(want[i])
			slow[i].Store(want[i])
		}
		spread := rng.Uint64()
		if round < 3 {
			spread = []uint64{0, 1<<64 - 1, 63 << 42}[round]
		}
		for i, rest := 0, spread; i < Words; i, rest = i+1, rest>>6 {
			want[i] |= 1 << (rest % 64)
		}
		fast.Add(spread)
		slow.add(spread)
		for i := range want {
			if fast[i].Load() != want[i] || slow[i].Load() != want[i] {
				t.Fatalf("spread %#x, word %d: %#x and %#x, want %#x", spread, i, fast[i].Load(), slow[i].Load(), want[i])
			}
		}
		if !fast.Maybe(spread) {
			t.Fatalf("spread %#x was added and is not there", spread)
		}
		if other := spread ^ 1<<(6*rng.IntN(Words)); fast.Maybe(other) != all(&want, other) {
			t.Fatalf("spread %#x: Maybe says %v", other, fast.Maybe(other))
		}
	}
}

// TestFill: a block that was appended and filled again is the same.
func TestFill(t *testing.T) {
	var b, again Block
	for i := range uint64(5) {
		b.Add(i * 0x9e3779b97f4a7c15)
	}
	data := b.Append([]byte("x"))
	if len(data) != 1+BlockBytes {
		t.Fatalf("%d bytes", len(data)-1)
	}
	again.Fill(data[1:])
	for i := range b {
		if b[i].Load() != again[i].Load() {
			t.Errorf("word %d: %#x, was %#x", i, again[i].Load(), b[i].Load())
		}
	}
}

func all(words *[Words]uint64, spread uint64) bool {
	for i := range words {
		if words[i]>>(spread>>(6*i)&63)&1 == 0 {
			return false
		}
	}
	return true
}

// TestAddBesideMaybe: what was added before it was said to be is seen, and a bit once seen stays.
func TestAddBesideMaybe(t *testing.T) {
	var b Block
	var added atomic.Int64
	spreads := make([]uint64, 200)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range spreads {
		spreads[i] = rng.Uint64()
	}
	done := make(chan bool)
	go func() {
		ok := true
		for n := int64(0); n < int64(len(spreads)); {
			n = added.Load()
			for _, spread := range spreads[:n] {
				ok = ok && b.Maybe(spread)
			}
		}
		done <- ok
	}()
	for i, spread := range spreads {
		b.Add(spread)
		added.Store(int64(i + 1))
		runtime.Gosched()
	}
	if !<-done {
		t.Error("what was added is not seen")
	}
}

// BenchmarkAdd adds a hash to each of 512 blocks, which are all emptied before.
func BenchmarkAdd(b *testing.B) {
	blocks := make([]Block, 512) // 32 KiB
	var empty [BlockBytes]byte
	run := func(add func(*Block, uint64)) func(*testing.B) {
		return func(b *testing.B) {
			for i := range b.N {
				if i%len(blocks) == 0 {
					for k := range blocks {
						blocks[k].Fill(empty[:])
					}
				}
				add(&blocks[i%len(blocks)], uint64(i)*0x9e3779b97f4a7c15)
			}
		}
	}
	b.Run("vector", run((*Block).Add))
	b.Run("atomic", run((*Block).add))
}
