package publish

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
)

// brokersReplicationFactor lets the broker decide (default.replication.factor).
const brokersReplicationFactor = -1

// topicSettings keep records for ever: a broker's default drops them after a week, and a consumer that was away longer
// would meet a gap.
var topicSettings = []kafka.ConfigEntry{
	{ConfigName: "cleanup.policy", ConfigValue: "delete"},
	{ConfigName: "retention.ms", ConfigValue: "-1"},
}

// CreateTopics creates the topic of o with o.CreatePartitions partitions, the broker's replication factor and no limit of
// retention. That it exists already is success; nothing of it is changed then. It tries once.
func CreateTopics(ctx context.Context, o Options) error {
	o = o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return err
	}
	b := newBroker(o)
	defer b.close()
	return b.createTopic(ctx)
}

// createTopic creates the topic if the options say so.
func (r *Relay) createTopic(ctx context.Context) error {
	if !r.o.CreateTopics {
		return nil
	}
	return r.broker.createTopic(ctx)
}

func (b *broker) createTopic(ctx context.Context) error {
	if err := b.reach(ctx); err != nil {
		return err
	}
	res, err := b.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: b.o.Topic, NumPartitions: int(b.o.CreatePartitions), ReplicationFactor: brokersReplicationFactor, ConfigEntries: topicSettings,
	}}})
	if err == nil {
		err = res.Errors[b.o.Topic]
	}
	if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", b.o.Topic, err)
	}
	return nil
}
