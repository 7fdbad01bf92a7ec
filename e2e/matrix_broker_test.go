package e2e

import (
	"context"
	"errors"
	"testing"
	"time"

	"farthing/publish/kafkatest"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestMatrixCluster has the built binary publish to three brokers, two of which must have a batch, and takes brokers away. Each
// row ends as those of TestMatrix do.
func TestMatrixCluster(t *testing.T) {
	brokers := kafkatest.StartCluster(t, 3)
	dir := t.TempDir()
	binary := build(t.Context(), t, dir)
	for _, row := range []struct {
		name string
		run  func(ctx context.Context, t *testing.T, m *machine, k *kafkatest.Cluster)
	}{
		{"follower-frozen", followerFrozen},
		{"leader-killed", leaderKilled},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			m := newMachine(t, brokers.Addrs(), binary, t.TempDir(), "matrix."+row.name)
			m.replicate(ctx)
			m.begin(ctx)
			row.run(ctx, t, m, brokers)
			m.check(ctx)
		})
	}
}

// admin is a client that does not wait long for a broker that is frozen.
func (m *machine) admin() *kadm.Client {
	m.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(m.brokers...), kgo.RequestTimeoutOverhead(time.Second), kgo.MetadataMinAge(50*time.Millisecond))
	m.must(err)
	m.t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

// replicate makes the topic on brokers 2, which leads, and 3, both of which must have a batch.
func (m *machine) replicate(ctx context.Context) {
	m.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(m.brokers...))
	m.must(err)
	defer client.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	want := kmsg.NewCreateTopicsRequestTopic()
	want.Topic, want.NumPartitions, want.ReplicationFactor = m.topic, -1, -1
	want.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Partition: 0, Replicas: []int32{2, 3}}}
	insync := kmsg.NewCreateTopicsRequestTopicConfig()
	insync.Name, insync.Value = "min.insync.replicas", kmsg.StringPtr("2")
	want.Configs = append(want.Configs, insync)
	req.Topics, req.TimeoutMillis = append(req.Topics, want), 10_000
	res, err := req.RequestWith(ctx, client)
	m.must(err)
	if code := res.Topics[0].ErrorCode; code != 0 {
		m.t.Fatalf("create the topic: error %d", code)
	}
	m.awaitPartition(ctx, "created", func(p kadm.PartitionDetail) bool { return p.Leader == 2 && len(p.ISR) == 2 })
}

func (m *machine) awaitPartition(ctx context.Context, what string, cond func(kadm.PartitionDetail) bool) {
	m.t.Helper()
	admin := m.admin()
	eventually(ctx, m.t, what, func() bool {
		topics, err := admin.ListTopics(ctx, m.topic)
		return err == nil && topics[m.topic].Err == nil && topics[m.topic].Partitions[0].Err == nil && cond(topics[m.topic].Partitions[0])
	})
}

// followerFrozen has the leader alone: it refuses until the follower is back.
func followerFrozen(ctx context.Context, t *testing.T, m *machine, k *kafkatest.Cluster) {
	m.must(k.Brokers[2].Freeze())
	m.awaitPartition(ctx, "the leader is alone", func(p kadm.PartitionDetail) bool { return len(p.ISR) == 1 })
	m.settle(ctx)
	m.awaitMetric(ctx, `farthing_relay_state{state="failing"} 1`)
	m.must(k.Brokers[2].Thaw())
}

// leaderKilled has the follower lead and, as it is alone, refuse until the other one is back.
func leaderKilled(ctx context.Context, t *testing.T, m *machine, k *kafkatest.Cluster) {
	m.must(k.Brokers[1].Kill())
	m.settle(ctx)
	m.awaitPartition(ctx, "the follower leads", func(p kadm.PartitionDetail) bool { return p.Leader == 3 })
	m.must(k.Brokers[1].Up())
}

// connectionCut loses the answer, and nobody dies.
func connectionCut(ctx context.Context, t *testing.T, m *machine) {
	h := newHold(ctx, m.proxy.OnAnswer)
	m.settle(ctx)
	h.await(ctx, t)
	h.on <- false
}

// brokerKilled has the broker die between its append and its answer's arrival.
func brokerKilled(ctx context.Context, t *testing.T, m *machine) {
	h := newHold(ctx, m.proxy.OnAnswer)
	m.settle(ctx)
	h.await(ctx, t)
	m.must(m.broker.Kill())
	h.on <- false
	m.must(m.broker.Up())
}

func (m *machine) alterTopic(ctx context.Context, name, value string) {
	m.t.Helper()
	res, err := m.admin().AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, m.topic)
	m.must(err)
	for _, r := range res {
		m.must(r.Err)
	}
}

// messageTooLarge has the topic take no record at all for a while.
func messageTooLarge(ctx context.Context, t *testing.T, m *machine) {
	m.alterTopic(ctx, "max.message.bytes", "100")
	m.settle(ctx)
	m.awaitMetric(ctx, `farthing_relay_state{state="failing"} 1`)
	m.alterTopic(ctx, "max.message.bytes", "1048588")
}

// topicDeleted: the server says that what it published is lost, and goes on once the topic has been put back as it was. In between
// it has other records, as many: of an empty one the relay would think for LostAfter that it is a broker's old view.
func topicDeleted(ctx context.Context, t *testing.T, m *machine) {
	m.must(m.server.Terminate())
	whole := m.contents(ctx)
	m.recreate(ctx)
	var others []*kgo.Record
	for range whole {
		others = append(others, &kgo.Record{Value: []byte("something else")})
	}
	m.restore(ctx, others)
	m.start(ctx)
	m.settle(ctx)
	m.awaitMetric(ctx, `farthing_relay_state{state="lost"} 1`)
	m.crash()
	if said, err := m.reconcile(ctx); err == nil {
		t.Errorf("reconcile of somebody else's topic is green: %s", said)
	}
	m.recreate(ctx)
	m.restore(ctx, whole)
	m.start(ctx)
	m.kafka = newConsumerOf(t, m.brokers[0], m.topic)
}

// contents are all records of the topic.
func (m *machine) contents(ctx context.Context) (all []*kgo.Record) {
	m.t.Helper()
	ends, err := m.admin().ListEndOffsets(ctx, m.topic)
	m.must(errors.Join(err, ends.Error()))
	end, _ := ends.Lookup(m.topic, 0)
	client, err := kgo.NewClient(kgo.SeedBrokers(m.brokers...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{m.topic: {0: kgo.NewOffset().AtStart()}}))
	m.must(err)
	defer client.Close()
	for int64(len(all)) < end.Offset {
		fetches := client.PollFetches(ctx)
		m.must(fetches.Err())
		all = append(all, fetches.Records()...)
	}
	return all
}

// recreate deletes the topic with all that it holds and creates it again.
func (m *machine) recreate(ctx context.Context) {
	m.t.Helper()
	admin := m.admin()
	deleted, err := admin.DeleteTopics(ctx, m.topic)
	m.must(errors.Join(err, deleted.Error()))
	eventually(ctx, m.t, "created again", func() bool {
		created, err := admin.CreateTopic(ctx, 1, 1, nil, m.topic)
		return err == nil && created.Err == nil
	})
	eventually(ctx, m.t, "it has a leader", func() bool {
		ends, err := admin.ListEndOffsets(ctx, m.topic)
		return err == nil && ends.Error() == nil
	})
}

// restore has an operator put records back where they stood.
func (m *machine) restore(ctx context.Context, records []*kgo.Record) {
	m.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(m.brokers...))
	m.must(err)
	defer client.Close()
	own := make([]*kgo.Record, len(records))
	for i, r := range records {
		own[i] = &kgo.Record{Topic: m.topic, Key: r.Key, Value: r.Value, Headers: r.Headers}
	}
	m.must(client.ProduceSync(ctx, own...).FirstErr())
}
