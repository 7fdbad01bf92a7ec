package sha256x2

import (
	"crypto/sha256"
	"math/rand/v2"
	"strconv"
	"testing"
)

// TestSumAgainstLibrary compares both lanes with crypto/sha256 for every length, beside
// a message of the same and of any other length.
func TestSumAgainstLibrary(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range MessageMax + 1 {
		for try := range 60 {
			m := n
			if try%2 == 1 {
				m = rng.IntN(MessageMax + 1)
			}
			var a, b Block
			wantX, wantY := set(rng, &a, n), set(rng, &b, m)
			var x, y [32]byte
			Sum(&a, &b, &x, &y)
			if x != wantX || y != wantY {
				t.Fatalf("lengths %d and %d: %x %x, want %x %x", n, m, x, y, wantX, wantY)
			}
		}
	}
}

// set makes b a random message of n bytes, over random bytes so that Set has something to
// clear, and returns its hash.
func set(rng *rand.Rand, b *Block, n int) [32]byte {
	for i := range b.bytes {
		b.bytes[i] = byte(rng.Uint32())
	}
	want := sha256.Sum256(b.Bytes()[:n])
	b.Set(n)
	return want
}

func TestSetRefusesOtherLengths(t *testing.T) {
	for _, n := range []int{-1, MessageMax + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("length %d went through", n)
				}
			}()
			new(Block).Set(n)
		}()
	}
}

func BenchmarkSum(b *testing.B) {
	for _, n := range []int{55, 110, 170} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			var m Block
			m.Set(n)
			var x, y [32]byte
			for b.Loop() {
				Sum(&m, &m, &x, &y)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*b.N), "ns/message")
		})
	}
}
