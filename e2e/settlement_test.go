package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"farthing/bench/child"
	"farthing/bench/client"
	"farthing/publish/kafkatest"
)

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
	signing := newSigning(t, dir)
	server := child.New(child.Options{Binary: binary, Data: data, Scratch: dir, Log: logFile(t, dir),
		Args: []string{"--kafka", broker.Addr, "--create-topics", "--settle-every", "0", "--signing-key", signing.private, "--new-signing-key", signing.nextID()}})
	results := newResultsWriter(t, broker.Addr)
	if err := server.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Kill() }() // does nothing after Terminate
	c := client.New(server.URL, client.Options{})
	oracle := newSettlementOracle()
	s := &settlement{t: t, rng: rng, plan: plan, signing: signing, oracle: oracle, bank: newPayments(rand.New(rand.NewPCG(seed, 6)), oracle),
		flow: &flow{t: t, rng: rng, target: process{server}, client: c}, client: c, broker: broker, results: results}
	began := time.Now()
	phase := func(what string, args ...any) {
		t.Logf("after %v: %s", time.Since(began).Round(time.Millisecond), fmt.Sprintf(what, args...))
	}
	s.play(ctx)
	phase("%d windows", len(plan.windows))
	s.checkCoverage()
	oracle.checkBooks(ctx, t, c)
	phase("accounts, lines, what is in transit, cash")
	read := oracle.checkStatements(ctx, t, c)
	phase("%d statements", read)

	kafka := newConsumer(t, broker.Addr)
	published, lines := checkKafka(ctx, t, c, kafka)
	for _, fault := range append(oracle.topicFaults(kafka.got), signing.signatureFaults(kafka.got)...) {
		t.Error(fault)
	}
	phase("%d batches and %d lines on Kafka", published, lines)
	paper := s.evidence(ctx, dir)
	said, code := runBinary(ctx, t, binary, "reconcile", "--kafka", broker.Addr, "--url", server.URL())
	if code != 0 {
		t.Errorf("reconcile: exit %d", code)
	}
	phase("reconcile: %s", said)
	if err := server.Terminate(); err != nil {
		t.Errorf("SIGTERM must end with exit 0: %v", err)
	}
	kafka.checkOnce(ctx, t, published, lines)
	t.Run("consumers", func(t *testing.T) { oracle.checkTables(ctx, t, broker.Addr, signing, published+lines) })
	phase("the tables of both consumers")
	phase("proof check, without a server: %s", checkProof(ctx, t, binary, paper, signing))
	said, err := child.Verify(ctx, binary, data)
	if err != nil {
		t.Error(err)
	}
	phase("verify: %s", said)
}
