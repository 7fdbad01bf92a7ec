package kafkatest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// Cluster is several brokers of one cluster, for tests that take brokers away. The first is the only controller: it must live.
type Cluster struct {
	// Brokers by number, from 1: Brokers[0] is broker 1.
	Brokers []*Broker
}

// clusterID is any name; each cluster has a controller port of its own, so they never meet.
const clusterID = "ATestClusterOfFarthing"

// small keeps three brokers within the memory of a small machine.
const small = "KAFKA_HEAP=256m"

// clusterProperties let a broker be missed within seconds, where the defaults wait for tens, and keep the state of
// producers where the loss of one broker does not take it away.
var clusterProperties = []string{
	"broker.session.timeout.ms=2000", "broker.heartbeat.interval.ms=300", "replica.lag.time.max.ms=1500",
	"replica.fetch.wait.max.ms=200", "controlled.shutdown.enable=false",
	"transaction.state.log.replication.factor=3", "offsets.topic.replication.factor=3",
}

// StartCluster starts n brokers for t alone, at least three, with further broker settings (key=value), and ends them with t.
func StartCluster(t testing.TB, n int, properties ...string) *Cluster {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{Brokers: make([]*Broker, n)}
	errs := make([]error, n)
	all := append(clusterProperties[:len(clusterProperties):len(clusterProperties)], properties...)
	var starting sync.WaitGroup
	for i := range n {
		starting.Go(func() {
			env := []string{small, fmt.Sprint("KAFKA_NODE_ID=", i+1), "KAFKA_CLUSTER_ID=" + clusterID, "KAFKA_CONTROLLER_PORT=" + port}
			c.Brokers[i], errs[i] = launch(env, all...)
		})
	}
	starting.Wait()
	t.Cleanup(c.close)
	check(t, errors.Join(errs...))
	return c
}

// Addrs are the brokers' addresses.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, b := range c.Brokers {
		addrs = append(addrs, b.Addr)
	}
	return addrs
}

func (c *Cluster) close() {
	for _, b := range c.Brokers {
		if b != nil {
			b.close()
		}
	}
}

// freePort returns a port that nobody has now, below the range that the system gives to outgoing connections: the
// controller's must be known before any broker starts.
func freePort() (string, error) {
	for range 100 {
		port := fmt.Sprint(20_000 + rand.IntN(12_000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			return port, l.Close()
		}
	}
	return "", errors.New("kafkatest: no free port found")
}
