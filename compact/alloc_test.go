//go:build !race

package compact

import (
	"fmt"
	"testing"
	"time"

	"farthing/meter"
)

// TestDecodeDoesNotAllocate reads a request of a thousand events into a batch that had one before. Writing one again takes the tables of its names.
func TestDecodeDoesNotAllocate(t *testing.T) {
	events := make([]Event, 1000)
	at := time.Unix(1_790_000_000, 0)
	for i := range events {
		events[i] = Event{Source: "gateway", ID: fmt.Sprintf("01JB%022d", i), Subject: fmt.Sprintf("acme-%d", i%7), Type: "llm.tokens", Time: at.Add(time.Duration(i)),
			Usage: []Component{{"input", 1_500_000}, {"output", 7e6}}, Dimensions: []meter.Dimension{{Key: "model", Value: fmt.Sprint("m", i%3)}}}
	}
	var b Batch
	body := add(t, &b, events...)
	var batch meter.Batch
	n := testing.AllocsPerRun(100, func() {
		batch.Reset(seed)
		if _, refused := Decode(body, &batch); refused != nil || len(batch.Events) != len(events) {
			t.Fatal(refused)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations to read %d events", n, len(events))
	}
	n = testing.AllocsPerRun(100, func() {
		b.Reset()
		for i := range events {
			if err := b.Add(&events[i]); err != nil {
				t.Fatal(err)
			}
		}
		body = b.Append(body[:0])
	})
	if n > 10 {
		t.Errorf("%v allocations to write %d events", n, len(events))
	}
}
