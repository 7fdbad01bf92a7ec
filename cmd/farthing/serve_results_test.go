package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"farthing/bench/client"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestServeResults has a bank say on Kafka what became of a line: once, again, with other content under the same id, and in nonsense.
// The line is paid once, the rest stands in the list of what was refused, and a restart reads on where reading ended.
func TestServeResults(t *testing.T) {
	cluster := must(kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "farthing.settlement-results")))(t)
	t.Cleanup(cluster.Close)
	args := []string{"--data=" + filepath.Join(t.TempDir(), "data"), "--settle-every=0", "--create-topics", "--kafka=" + strings.Join(cluster.ListenAddrs(), ",")}
	s := serveOn(t, args...)
	use(t, s)
	c := client.New(client.At(s.url), client.Options{})
	batch := must(c.Settlements(t.Context()))(t)[0].BatchID
	c.Close()
	bank := must(kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.DefaultProduceTopic("farthing.settlement-results")))(t)
	defer bank.Close()
	say := func(text string) {
		t.Helper()
		if err := bank.ProduceSync(t.Context(), kgo.StringRecord(text)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	paid := fmt.Sprintf(`{"batch_id":%q,"line":1,"id":"bank-1","status":"paid"}`, batch)
	say(paid)
	say(paid)
	say(strings.Replace(paid, `"paid"`, `"failed"`, 1))
	say("nonsense")
	awaitMetric(t, s, "\nfarthing_results_next_offset{partition=\"0\"} 4")
	s.expectMetrics("\nfarthing_results_applied_total 1", "\nfarthing_results_repeated_total 1", "\nfarthing_results_refused_total 2",
		"\nfarthing_results_state{state=\"reading\"} 1")
	if code, text := s.get("/v1/settlements/"+batch+"/lines/1", ""); code != 200 || !strings.Contains(text, `"status":"paid"`) {
		t.Errorf("line 1: %d %s", code, text)
	}
	_, feed := s.get("/v1/settlement-results", "")
	for _, want := range []string{`"offset":3`, `"code":"malformed"`, `"offset":2`, `"code":"id_conflict"`, `"id":"bank-1"`} {
		if !strings.Contains(feed, want) {
			t.Errorf("no %s in %s", want, feed)
		}
	}
	s.stop()
	s = serveOn(t, args...)
	say(strings.Replace(paid, "bank-1", "bank-2", 1))
	awaitMetric(t, s, "\nfarthing_results_next_offset{partition=\"0\"} 5")
	s.expectMetrics("\nfarthing_results_repeated_total 0", "\nfarthing_results_refused_total 1") // paid already
	s.stop()
}

// awaitMetric asks until the metrics have it.
func awaitMetric(t *testing.T, s *serving, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		_, page := s.get("/metrics", "")
		if strings.Contains(page, want) {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("no %q in the metrics in time", want[1:])
		}
	}
}
