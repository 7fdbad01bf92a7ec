package kafkatest

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestProxy has a request and an answer refused once each: the one is appended once, the other's repetition is told apart by the broker.
func TestProxy(t *testing.T) {
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	if err != nil {
		t.Fatal(err)
	}
	defer fake.Close()
	p := NewProxy(t)
	p.To(fake.ListenAddrs()[0])
	var requests, answers atomic.Int32
	p.OnRequest(func(what Produce) bool {
		if what.ClientID != "me" || what.Fence {
			t.Errorf("a request of %+v", what)
		}
		return requests.Add(1) != 1
	})
	p.OnAnswer(func(Produce) bool { return answers.Add(1) != 1 })
	through := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, p.Addr)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(p.Addr), kgo.ClientID("me"), kgo.Dialer(through), kgo.ConsumeTopics("t"),
		kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, text := range []string{"a", "b"} {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte(text)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if requests.Load() != 4 || answers.Load() != 3 {
		t.Errorf("%d requests and %d answers", requests.Load(), answers.Load())
	}
	got := ""
	for len(got) < 2 {
		for _, r := range client.PollFetches(t.Context()).Records() {
			got += string(r.Value)
		}
	}
	if got != "ab" {
		t.Errorf("the topic has %q", got)
	}
	p.Away(true)
	if conn, err := net.Dial("tcp", p.Addr); err == nil {
		if n, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("read %d bytes from a proxy that is away", n)
		}
		conn.Close()
	}
}
