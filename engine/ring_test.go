package engine

import (
	"runtime"
	"sync"
	"testing"
)

// queue is what the ring and its twin have in common.
type queue interface {
	push(*Request) bool
	pop() *Request
}

// mutexQueue is the plain twin of the ring: the oracle, and the benchmark to beat.
type mutexQueue struct {
	mu    sync.Mutex
	items []*Request
	head  int
	count int
}

func newMutexQueue(capacity int) *mutexQueue { return &mutexQueue{items: make([]*Request, capacity)} }

func (q *mutexQueue) push(r *Request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.count == len(q.items) {
		return false
	}
	q.items[(q.head+q.count)%len(q.items)] = r
	q.count++
	return true
}

func (q *mutexQueue) pop() *Request {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.count == 0 {
		return nil
	}
	r := q.items[q.head]
	q.items[q.head] = nil
	q.head = (q.head + 1) % len(q.items)
	q.count--
	return r
}

// TestRingAgainstTwin runs the same pushes and pops on both, one goroutine.
func TestRingAgainstTwin(t *testing.T) {
	ring, twin := newRing(8), newMutexQueue(8)
	requests := make([]Request, 64)
	state := uint64(1)
	for step := range 20000 {
		state = state*6364136223846793005 + 1442695040888963407
		if state>>63 == 0 {
			q := &requests[step%64]
			if a, b := ring.push(q), twin.push(q); a != b {
				t.Fatalf("step %d: push %v, twin %v", step, a, b)
			}
		} else if a, b := ring.pop(), twin.pop(); a != b {
			t.Fatalf("step %d: pop differs from twin", step)
		}
	}
}

// TestRingStress has many producers and one sleeping consumer: everything arrives
// once and in its producer's order.
func TestRingStress(t *testing.T) {
	const producers, each = 8, 5000
	r := newRing(64)
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			for i := range each {
				q := &Request{eventsMax: int64(i), bytesMax: int64(p)}
				for !r.push(q) {
					runtime.Gosched()
				}
			}
		})
	}
	var next [producers]int64
	for range producers * each {
		q := r.pop()
		for q == nil {
			if r.sleep() {
				<-r.wake
			} else {
				r.woken()
			}
			q = r.pop()
		}
		if q.eventsMax != next[q.bytesMax] {
			t.Fatalf("producer %d: got %d, want %d", q.bytesMax, q.eventsMax, next[q.bytesMax])
		}
		next[q.bytesMax]++
	}
	wg.Wait()
	if r.pop() != nil {
		t.Fatal("something is left")
	}
}

func benchmarkQueue(b *testing.B, q queue) {
	done := make(chan struct{})
	total := b.N
	go func() {
		defer close(done)
		for taken := 0; taken < total; {
			if q.pop() != nil {
				taken++
			} else {
				runtime.Gosched()
			}
		}
	}()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		r := new(Request)
		for pb.Next() {
			for !q.push(r) {
				runtime.Gosched()
			}
		}
	})
	<-done
}

func BenchmarkRing(b *testing.B)       { benchmarkQueue(b, newRing(4096)) }
func BenchmarkMutexQueue(b *testing.B) { benchmarkQueue(b, newMutexQueue(4096)) }
