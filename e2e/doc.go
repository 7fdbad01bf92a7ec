// Package e2e is the acceptance test: the built binary, a real Kafka broker and
// real input, driven from outside only.
//
// TestRealInput: a trace of 19,366 LLM requests is billed to 500 customers at
// public list prices while the server is killed three times; then every balance,
// usage total and batch line must equal what the oracle computes in
// shopspring/decimal from the same files, and an independent Kafka client must
// have read every line exactly once.
//
// TestListPrices: the trace at the prices of every chat model of the list, each
// amount compared with decimals that are read from the list's own fields;
// TestListPricesOverHTTP: a slice of that through the running server.
//
// TestExplained: testdata/explain has the vendors' own examples of usage and a charge
// that is disputed, as files of what is sent and what is shown. Each step of arithmetic
// that an answer shows is worked out anew.
//
// TestGateway plays an LLM gateway: the requests of the trace are streams of 100 users in ten
// teams of two organisations, 200 at once, each with a hold that is extended, captured, voided
// or abandoned, while a bank answers requests for money and the server is killed twice. A twin
// in decimals replays what was acknowledged, one command after the other, and decides anew what
// fits and who pays: each refusal, charge, balance, limit and grant must be its own.
//
// TestSettlement settles the trace in 24 windows, in two currencies, for three providers under two fee
// plans, with minimum payouts, top-ups and voids. A bank answers the lines, by POST and on Kafka: paid,
// in parts, failed, returned, and sometimes what may not be. The server is killed twice, the broker
// restarted, the signing key changed. An oracle in decimals, written from the contract, books the same:
// every line of every batch, every line's state, statement and balance, and what the bank moved
// must be its own, also in the tables of both example consumers; every signature and a participant's
// proof check without the server.
//
// TestMatrix and TestMatrixCluster: the fault matrix on the whole. A server with a small ledger publishes while it is killed at
// each step of a batch's way, has its disk filled, runs twice on copies of its data, and while brokers, connections and the topic
// fail. After each an independent consumer has every line once, verify and reconcile are green.
//
// TestConsumers: the example consumers are killed, given repeats, foreign and forged records, run both on one
// database, and met with a gap; their tables are the ledger's.
//
// The package holds tests alone. The oracles (oracle_test.go, listed_oracle_test.go)
// compute what must come out and share no code with the server; the flow
// (flow_test.go) plays a scenario against a target; the checks compare. Oracles and
// flow are tested themselves, against the twin of the contract and by hand, where no
// broker and no input are needed. The input lies in ../shared/data beside the
// repository and is not part of it: without it the tests say so and skip.
package e2e
