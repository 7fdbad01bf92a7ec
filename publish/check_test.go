package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
)

// safe are settings that endanger nothing, but for the replicas, of which a test's broker has one.
var safe = map[string]string{
	setMinInSync: "2", setRetention: "-1", setRetainBytes: "-1", setCleanup: "delete", setMaxMessage: "1048588", setUnclean: "false",
}

// TestTopicWarnings judges what a cluster may say, one setting at a time.
func TestTopicWarnings(t *testing.T) {
	f := func(replicas int, setting, value string, want ...string) {
		t.Helper()
		facts := topicFacts{replicas: replicas, settings: map[string]string{}}
		for k, v := range safe {
			facts.settings[k] = v
		}
		if setting != "" {
			facts.settings[setting] = value
		}
		if got := namesOf(facts.warnings(DefaultMaxBatchBytes)); !slices.Equal(got, want) {
			t.Fatalf("%d replicas, %s=%s: %v, want %v", replicas, setting, value, got, want)
		}
	}
	f(3, "", "")
	f(0, "", "")
	f(2, "", "")
	f(1, "", "", setReplication, setMinInSync) // two of one can never be in sync
	f(3, setMinInSync, "1", setMinInSync)
	f(3, setMinInSync, "3")
	f(3, setMinInSync, "4", setMinInSync)
	f(3, setRetention, "604800000", setRetention)
	f(3, setRetention, "0", setRetention)
	f(3, setRetainBytes, "1000000000", setRetainBytes)
	f(3, setCleanup, "compact", setCleanup)
	f(3, setCleanup, "compact,delete", setCleanup)
	f(3, setMaxMessage, "100000", setMaxMessage)
	f(3, setMaxMessage, fmt.Sprint(DefaultMaxBatchBytes))
	f(3, setUnclean, "true", setUnclean)
	unread := topicFacts{replicas: 3, refusal: errors.New("no rights")}
	if got := unread.warnings(1); len(got) != 1 || got[0].Setting != setUnknown || !strings.Contains(got[0].Text, "no rights") {
		t.Fatal(got)
	}
	for _, w := range unread.warnings(1) {
		if !slices.Contains(WarningSettings(), w.Setting) {
			t.Fatalf("%s is no setting that can be warned of", w.Setting)
		}
	}
}

func namesOf(warnings []Warning) (names []string) {
	for _, w := range warnings {
		names = append(names, w.Setting)
	}
	return names
}

// TestBadTopic publishes to topics with one bad setting each: the real broker's words for it are read, the warning is in Stats and
// once in the log, and publishing goes on.
func TestBadTopic(t *testing.T) {
	c := realCluster(t)
	for setting, value := range map[string]string{
		setMinInSync: "1", setRetention: "60000", setRetainBytes: "1000000", setCleanup: "compact", setMaxMessage: "5000", setUnclean: "true",
	} {
		t.Run(setting, func(t *testing.T) {
			c := cluster{addr: c.addr, topic: topicName(t)}
			settings := map[string]*string{setMinInSync: new("1"), setRetention: new("-1"), setRetainBytes: new("-1"), setUnclean: new("false")}
			settings[setting] = &value
			c.createTopicWith(t, settings)
			all := settlement("a", 1, 60)
			box := newBox(all...)
			o := c.options(t)
			log := &countingLog{}
			o.Logger = slog.New(log)
			r := start(t, o, box)
			box.awaitConfirmed(t, 60)
			want := []string{setReplication, setMinInSync}
			if setting != setMinInSync {
				want = append(want, setting)
			}
			if got := namesOf(r.relay.Stats().Warnings); !slices.Equal(got, want) {
				t.Fatalf("warned of %v, want %v", got, want)
			}
			if got := log.warned(); got != len(want) {
				t.Fatalf("%d warnings in the log, want %d", got, len(want))
			}
			r.stop(t)
			checkApplied(t, c, o, box, all)
		})
	}
}

// TestTopicLimit has topics that take less than a batch is allowed: the limit is read before the first send, and one that shrinks
// under way leads to smaller batches in a new epoch. Nothing is refused for ever.
func TestTopicLimit(t *testing.T) {
	c := realCluster(t)
	c.topic += ".small"
	c.createTopicWith(t, map[string]*string{setMaxMessage: new("3000")})
	all := settlement("a", 1, 600)
	box := newBox(all[:300]...)
	o := c.options(t)
	o.Compression = NoCompression
	r := start(t, o, box)
	box.awaitConfirmed(t, 300)
	if s := r.relay.Stats(); s.Failures != 0 || s.Sessions != 1 || s.Batches < 300*200/3000 {
		t.Fatalf("%+v", s)
	}
	c.alterTopic(t, setMaxMessage, "1000")
	box.seal(all[300:]...)
	box.awaitConfirmed(t, 600)
	if s := r.relay.Stats(); s.Sessions != 2 || s.Failures != 1 {
		t.Fatalf("%+v", s)
	}
	r.stop(t)
	checkApplied(t, c, o, box, all)
}

// countingLog counts the warnings about settings.
type countingLog struct {
	mu sync.Mutex
	n  int
}

func (l *countingLog) warned() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

func (l *countingLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *countingLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *countingLog) WithGroup(string) slog.Handler            { return l }
func (l *countingLog) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelWarn && strings.Contains(r.Message, "endangers") {
		l.mu.Lock()
		l.n++
		l.mu.Unlock()
	}
	return nil
}
