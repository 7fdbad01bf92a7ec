package bloom

import (
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"
)

// TestAdd: Add sets what the atomic way sets, which sets what the definition says, and no other bit, of words around the block neither.
func TestAdd(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for round := range 2000 {
		var around [1 + Words + 1]atomic.Uint64
		fast := (*Block)(around[1:])
		var slow Block
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
		if around[0].Load()|around[1+Words].Load() != 0 {
			t.Fatalf("spread %#x: bits are set beside the block", spread)
		}
		if !fast.Maybe(spread) {
			t.Fatalf("spread %#x was added and is not there", spread)
		}
		if other := spread ^ 1<<(6*rng.IntN(Words)); fast.Maybe(other) != all(&want, other) {
			t.Fatalf("spread %#x: Maybe says %v", other, fast.Maybe(other))
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

// TestAddBesideMaybe: wherever in a cache line the block begins, who looks meanwhile sees what was added before it was said to be, sees
// no bit go away again, and none that nobody added.
func TestAddBesideMaybe(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	lines := make([]Block, 3)
	for offset := range Words {
		for range 300 {
			block := (*Block)(unsafe.Slice(&lines[0][0], Words*len(lines))[offset : offset+Words])
			var nothing [BlockBytes]byte
			block.Fill(nothing[:])
			addBeside(t, block, rng)
		}
	}
}

func addBeside(t *testing.T, b *Block, rng *rand.Rand) {
	t.Helper()
	var added atomic.Int64
	var spreads [12]uint64
	var final Block
	for i := range spreads {
		spreads[i] = rng.Uint64()
		final.add(spreads[i])
	}
	done := make(chan string)
	go func() {
		wrong, last := "", [Words]uint64{}
		for n := int64(0); n < int64(len(spreads)); {
			n = added.Load()
			for _, spread := range spreads[:n] {
				if !b.Maybe(spread) {
					wrong = "what was added is not seen"
				}
			}
			for i := range b {
				word := b[i].Load()
				if word&^final[i].Load() != 0 || last[i]&^word != 0 {
					wrong = "a word is neither as before nor as after"
				}
				last[i] = word
			}
			runtime.Gosched()
		}
		done <- wrong
	}()
	for i, spread := range spreads {
		b.Add(spread)
		added.Store(int64(i + 1))
		if i%4 == 0 {
			runtime.Gosched()
		}
	}
	if wrong := <-done; wrong != "" {
		t.Fatal(wrong)
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
	b.Run("plain", run((*Block).Add))
	b.Run("atomic", run((*Block).add))
}
