package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// Warning names a setting of the topic that can cost a batch, or the time in which it is published.
type Warning struct {
	// Setting is the topic's setting, one of WarningSettings.
	Setting string
	// Text says what it is and what that means.
	Text string
}

// Settings that are looked at.
const (
	setReplication = "replication.factor"
	setMinInSync   = "min.insync.replicas"
	setRetention   = "retention.ms"
	setRetainBytes = "retention.bytes"
	setCleanup     = "cleanup.policy"
	setMaxMessage  = "max.message.bytes"
	setUnclean     = "unclean.leader.election.enable"
	// setUnknown is for a topic whose settings we may not read.
	setUnknown = "unreadable"
)

// WarningSettings are all values that Warning.Setting has.
func WarningSettings() []string {
	return []string{setReplication, setMinInSync, setRetention, setRetainBytes, setCleanup, setMaxMessage, setUnclean, setUnknown}
}

// topicFacts is what the cluster says of a topic.
type topicFacts struct {
	replicas int               // of the partition; 0 if unknown
	settings map[string]string // nil if they may not be read
	refusal  error             // why not
}

// maxMessageBytes is the topic's limit of a batch, 0 if unknown.
func (f topicFacts) maxMessageBytes() int {
	n, err := strconv.Atoi(f.settings[setMaxMessage])
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// facts asks for them. A refusal is no error: publishing needs no right to describe.
func (b *broker) facts(ctx context.Context) (topicFacts, error) {
	if err := b.reach(ctx); err != nil {
		return topicFacts{}, err
	}
	meta, err := b.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{b.o.Topic}})
	if err != nil {
		return topicFacts{}, fmt.Errorf("describe %s: %w", b.o.Topic, err)
	}
	var facts topicFacts
	for _, t := range meta.Topics {
		for _, p := range t.Partitions {
			if t.Name == b.o.Topic && p.ID == int(b.o.Partition) {
				facts.replicas = len(p.Replicas)
			}
		}
	}
	res, err := b.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: b.o.Topic,
		ConfigNames: []string{setMinInSync, setRetention, setRetainBytes, setCleanup, setMaxMessage, setUnclean},
	}}})
	if err == nil && len(res.Resources) == 1 {
		err = res.Resources[0].Error
	}
	var refused kafka.Error
	if errors.As(err, &refused) {
		facts.refusal = err
		return facts, nil
	}
	if err != nil {
		return topicFacts{}, fmt.Errorf("describe %s: %w", b.o.Topic, err)
	}
	facts.settings = map[string]string{}
	for _, r := range res.Resources {
		for _, c := range r.ConfigEntries {
			facts.settings[c.ConfigName] = c.ConfigValue
		}
	}
	return facts, nil
}

// warnings judges the facts for batches of at most so many bytes.
func (f topicFacts) warnings(maxBatchBytes int) (out []Warning) {
	add := func(when bool, setting, format string, args ...any) {
		if when {
			out = append(out, Warning{setting, fmt.Sprintf(format, args...)})
		}
	}
	add(f.replicas == 1, setReplication, "the partition is on one broker only: with its disk every batch is lost; use 3 replicas")
	if f.settings == nil {
		add(f.refusal != nil, setUnknown, "the topic's settings cannot be read and are not checked: %v", f.refusal)
		return out
	}
	number := func(setting string) (int64, bool) {
		n, err := strconv.ParseInt(f.settings[setting], 10, 64)
		return n, err == nil
	}
	inSync, known := number(setMinInSync)
	add(known && inSync < 2, setMinInSync, "%d: a batch counts as written while it is on one broker, and is lost with it; use 2", inSync)
	add(known && f.replicas > 0 && inSync > int64(f.replicas), setMinInSync, "%d, more than the %d replicas there are: no batch can be written", inSync, f.replicas)
	ms, known := number(setRetention)
	add(known && ms >= 0, setRetention, "batches are deleted after %v, and a consumer that is behind by more meets a gap; use -1", time.Duration(ms)*time.Millisecond)
	size, known := number(setRetainBytes)
	add(known && size >= 0, setRetainBytes, "the oldest batches are deleted beyond %d bytes, and a consumer that is behind meets a gap; use -1", size)
	add(strings.Contains(f.settings[setCleanup], "compact"), setCleanup,
		"%s: compaction keeps one record of each batch, as all have one key, and deletes the others; use delete", f.settings[setCleanup])
	most := f.maxMessageBytes()
	add(most > 0 && most < maxBatchBytes, setMaxMessage,
		"%d: batches are sent in pieces smaller than %d bytes, and a record that is larger by itself cannot be published; use 1048588 or more", most, maxBatchBytes)
	add(f.settings[setUnclean] == "true", setUnclean, "true: a broker that lacks acknowledged batches may become the leader, and they are lost; use false")
	return out
}

// check looks at the topic's settings, says what endangers a batch, and sets the limit of one.
func (r *Relay) check(ctx context.Context) error {
	facts, err := r.broker.facts(ctx)
	if err != nil {
		return err
	}
	r.topicMax = facts.maxMessageBytes()
	found := facts.warnings(r.o.MaxBatchBytes)
	known := r.Stats().Warnings
	for _, w := range found {
		if !slices.Contains(known, w) {
			r.log.Warn("a setting of the topic endangers batches", "setting", w.Setting, "problem", w.Text)
		}
	}
	r.tracker.update(func(st *Stats) { st.Warnings = found }) // never changed in place, so that copies may share it
	return nil
}

// batchLimit is the most bytes that a record batch may have.
func (r *Relay) batchLimit() int {
	limit := r.o.MaxBatchBytes
	if r.topicMax > 0 {
		limit = min(limit, r.topicMax)
	}
	if r.refusedBytes > 0 {
		limit = min(limit, max(r.refusedBytes/2, maxBatchBytesMin))
	}
	return limit
}

// shrink takes note that the topic refused a batch of so many bytes and records as too large, and says whether smaller ones can be
// tried: what the settings say may be unknown, or not all, as a broker can be told to compress otherwise.
func (r *Relay) shrink(ctx context.Context, bytes, records int) bool {
	if records == 1 {
		return false
	}
	if err := r.check(ctx); err != nil || r.batchLimit() >= bytes {
		r.refusedBytes = bytes
	}
	return true
}
