package kafkatest

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestCluster has three brokers in one cluster, and one of them frozen, killed and started again.
func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts brokers")
	}
	began := time.Now()
	c := StartCluster(t, 3)
	t.Logf("three brokers in %v", time.Since(began).Round(time.Millisecond))
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...), kgo.RequestTimeoutOverhead(time.Second), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	known := func(want int) {
		t.Helper()
		for {
			brokers, err := admin.ListBrokers(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(brokers) == want {
				return
			}
			if time.Since(began) > time.Minute {
				t.Fatalf("%d brokers, want %d", len(brokers), want)
			}
		}
	}
	known(3)
	for _, step := range []struct {
		do   func() error
		left int
	}{
		{c.Brokers[2].Freeze, 2}, {c.Brokers[2].Thaw, 3}, {c.Brokers[1].Kill, 2}, {c.Brokers[1].Up, 3},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		known(step.left)
		t.Logf("%d brokers after %v", step.left, time.Since(began).Round(time.Millisecond))
	}
}
