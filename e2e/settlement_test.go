package e2e

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"farthing/bench/child"
	"farthing/bench/client"
	"farthing/publish/kafkatest"
)

// onKafka is off as long as the server reads no results from Kafka: they are all posted.
const onKafka = false

// TestSettlement settles the trace in 24 windows; see the package comment. A run is repeated with
// FARTHING_E2E_SEED, except for the instants of the kills and on which side of a cut the requests
// fall that are sent beside it.
func TestSettlement(t *testing.T) {
	traceFile, priceFile := input(t, "azure_llm_conv_2023.csv"), input(t, "model_prices.json")
	seed := seedOf(t)
	broker := kafkatest.StartOwn(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	dir := t.TempDir()
	binary := build(ctx, t, dir)
	rng := rand.New(rand.NewPCG(seed, 5))
	models := readModels(t, priceFile, importPrices(ctx, t, binary, priceFile))
	plan := newSettlementPlan(rng, readTraceFile(t, traceFile), models, time.Now())

	data := filepath.Join(dir, "data")
	server := child.New(child.Options{Binary: binary, Data: data, Scratch: dir, Log: logFile(t, dir),
		Args: []string{"--kafka", broker.Addr, "--create-topics", "--settle-every", "0"}})
	results := newResultsWriter(t, broker.Addr)
	if err := server.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Kill() }() // does nothing after Terminate
	c := client.New(server.URL, client.Options{})
	oracle := newSettlementOracle()
	s := &settlement{t: t, rng: rng, plan: plan, oracle: oracle, bank: newPayments(rand.New(rand.NewPCG(seed, 6)), oracle),
		flow: &flow{t: t, rng: rng, target: process{server}, client: c}, client: c, broker: broker}
	if onKafka {
		s.results = results
	}
	began := time.Now()
	s.play(ctx)
	t.Logf("played in %v", time.Since(began))

	s.checkCoverage()
	oracle.checkAccounts(ctx, t, c)
	rows, err := c.TrialBalance(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range oracle.trialFaults(rows, oracle.checkTransit(ctx, t, c)) {
		t.Error(fault)
	}
	read := oracle.checkStatements(ctx, t, c, func(*settledLine) bool { return true })
	t.Logf("%d statements, after %v", read, time.Since(began))
	kafka := newConsumer(t, broker.Addr)
	published, lines := checkKafka(ctx, t, c, kafka)
	for _, fault := range oracle.topicFaults(kafka.got) {
		t.Error(fault)
	}
	if err := server.Terminate(); err != nil {
		t.Errorf("SIGTERM must end with exit 0: %v", err)
	}
	kafka.checkOnce(ctx, t, published, lines)
	said, err := child.Verify(ctx, binary, data)
	if err != nil {
		t.Error(err)
	}
	t.Logf("verify: %s", said)
}
