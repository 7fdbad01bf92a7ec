// Package e2e is the acceptance test: the built binary, a real Kafka broker and
// real input, driven from outside only.
//
// A trace of 19,366 LLM requests is billed to 500 customers at public list
// prices while the server is killed three times; then every balance, usage
// total and batch line must equal what the oracle computes in
// shopspring/decimal from the same files, and an independent Kafka client must
// have read every line exactly once.
//
// It holds tests alone. The oracle (oracle_test.go) computes what must come
// out and shares no code with the server; the flow (flow_test.go) plays a
// scenario against a target; the checks compare. Oracle and flow are tested
// themselves, against the twin of the contract, where no broker and no input
// are needed. The input lies in ../shared/data beside the repository and is not
// part of it: without it the test says so and skips.
package e2e
