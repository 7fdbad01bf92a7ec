# Needs Go (see go.mod), a C compiler for the race detector, bash and GNU make.
# The tests against a real Kafka broker also need Java 17 and Maven, those of the
# example consumers PostgreSQL, Node and npm besides. Everything else is fetched
# into .cache, which git ignores.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unreleased)
GO ?= go
# The binary is static, so that it runs wherever the kernel does.
export CGO_ENABLED ?= 0
# The compiler goes by a profile (cmd/farthing/default.pgo) where the binary is built to be used, which compiles every dependency once more. Tests do without.
export GOFLAGS := $(GOFLAGS) -pgo=off

LINT_VERSION := v2.15.0
BENCHSTAT := .cache/bin/benchstat
LINT := .cache/bin/golangci-lint-$(LINT_VERSION)/golangci-lint
SCRIPTS := .ci/run $(wildcard kafka/*.sh)

# What `make bench` hands to `farthing bench`, what `make run` hands to `farthing demo`.
BENCH_ARGS ?=
# What `make bench-compare` measures (a regexp of Go's benchmarks, their packages, and how often), and against which commit.
REF ?= HEAD~1
BENCH ?= .
BENCH_PACKAGES ?= ./meter ./ledger ./engine ./httpapi
BENCH_COUNT ?= 6
BENCHSTAT_VERSION := v0.0.0-20260908200009-22c9c6c9d4da
DEMO_ARGS ?=
# How long `make fuzz` spends on each fuzz target.
FUZZ_TIME ?= 10s
# The bound of one package's tests.
TEST_TIMEOUT ?= 15m

.PHONY: help
help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

.PHONY: build
build: ## build bin/farthing
	@$(GO) build -pgo=auto -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/farthing ./cmd/farthing

.PHONY: run
run: build ## build, then run the demo: generated traffic, no other service needed
	@exec bin/farthing demo $(DEMO_ARGS)

# What of the sequencer stands in the targets is a benchmark of Go's, which has no place in a server: it runs first, unless BENCH_ARGS name a workload.
.PHONY: bench
bench: build ## build, then measure everything, in less than ten minutes; the report is also bench.json and bench.html (BENCH_ARGS="--workload single")
	@args=(--json bench.json --html bench.html)
	if [[ '$(BENCH_ARGS)' != *--workload* ]]; then
		echo "==== the sequencer by itself, for 10, 1,000 and 10,000,000 accounts"
		$(GO) test -trimpath -pgo=$(or $(wildcard $(CURDIR)/cmd/farthing/default.pgo),off) -run '^$$' -bench '^BenchmarkSequencer$$/accounts=(10|1000|10000000)$$' -benchtime 2000x ./engine | tee bench.txt
		args+=(--go-bench bench.txt)
	fi
	exec bin/farthing bench "$${args[@]}" $(BENCH_ARGS)

# The document is changed between its two marks.
.PHONY: bench-docs
bench-docs: ## put the last report, bench.json, into docs/performance.md
	@bin/farthing bench report bench.json --markdown >bench.md
	awk '/<!-- report -->/ { print; print ""; while ((getline line <"bench.md") > 0) print line; print ""; skip = 1 } /<!-- end of report -->/ { skip = 0 } !skip' docs/performance.md >docs/performance.md.new
	mv docs/performance.md.new docs/performance.md
	rm bench.md

# Profiles of what a server does most, merged into the one that the compiler goes by.
PGO_WORKLOADS := batch-1000,compact,single,mixed,zipf
.PHONY: pgo
pgo: build ## refresh cmd/farthing/default.pgo, the profile that the compiler goes by
	@dir=$$(mktemp -d)
	trap 'rm -rf "$$dir"' EXIT
	bin/farthing bench --workload $(PGO_WORKLOADS) --accounts 10000 --repeats 1 --duration 1s --rates 0 --no-limits --no-peers --verify none --profile-time 8s --profiles "$$dir" $(BENCH_ARGS)
	$(GO) tool pprof -proto "$$dir"/*.profile.pprof >cmd/farthing/default.pgo.new
	mv cmd/farthing/default.pgo.new cmd/farthing/default.pgo
	ls -l cmd/farthing/default.pgo

# Both sides are built first and measured by turns, so that a machine that becomes slower does not tell them apart.
.PHONY: bench-compare
bench-compare: $(BENCHSTAT) ## Go's benchmarks against another commit, with benchstat (REF=main BENCH=Rate BENCH_PACKAGES=./meter)
	@dir=$$(mktemp -d)
	trap 'git worktree remove --force "$$dir/ref" 2>/dev/null; rm -rf "$$dir"' EXIT
	git worktree add --quiet --detach "$$dir/ref" $(REF)
	for package in $(BENCH_PACKAGES); do
		$(GO) test -c -o "$$dir/here-$${package##*/}" "$$package"
		( cd "$$dir/ref" && $(GO) test -c -o "$$dir/ref-$${package##*/}" "$$package" )
	done
	for round in $$(seq $(BENCH_COUNT)); do
		echo "round $$round of $(BENCH_COUNT)"
		for package in $(BENCH_PACKAGES); do
			( cd "$$dir/ref/$$package" && "$$dir/ref-$${package##*/}" -test.run '^$$' -test.bench '$(BENCH)' -test.benchmem >>"$$dir/ref.txt" )
			( cd "$$package" && "$$dir/here-$${package##*/}" -test.run '^$$' -test.bench '$(BENCH)' -test.benchmem >>"$$dir/here.txt" )
		done
	done
	$(BENCHSTAT) "$(REF)=$$dir/ref.txt" "here=$$dir/here.txt"

$(BENCHSTAT):
	GOBIN=$(CURDIR)/$(@D) $(GO) install golang.org/x/perf/cmd/benchstat@$(BENCHSTAT_VERSION)

# One broker serves the tests of all packages. It has a state directory of its
# own, so that one from `make kafka-up` is left alone. Nothing is taken from the test
# cache: the end-to-end test builds the binary itself, which the cache does not see.
.PHONY: test
test: ## vet, then all tests with the race detector, with a real Kafka broker if Java and Maven are there
	@export CGO_ENABLED=1 KAFKA_STATE_DIR=$(CURDIR)/.cache/kafka/test-state
	$(GO) vet ./...
	$(GO) test -count=1 ./internal/archtest
	[[ -d ../shared/data ]] || echo "make test: the tests on real input are not run: ../shared/data is absent"
	if ! { command -v initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb'; } >/dev/null || ! { command -v node && command -v npm; } >/dev/null; then
		[[ $${CI:-} == true ]] || echo "make test: the tests of the example consumers are not run: they need PostgreSQL, Node and npm"
	fi
	if [[ -z $${FARTHING_TEST_KAFKA:-} ]]; then
		code=0
		FARTHING_TEST_KAFKA=$$(kafka/kafka.sh up) || code=$$?
		if [[ $$code == 0 ]]; then
			trap 'kafka/kafka.sh down' EXIT
			export FARTHING_TEST_KAFKA
		elif [[ $$code == 69 && $${CI:-} != true ]]; then
			unset FARTHING_TEST_KAFKA
			echo "make test: the tests on a real Kafka broker are not run: they need Java 17 and Maven"
		else
			echo "make test: no Kafka broker for the tests" >&2
			exit 1
		fi
	fi
	$(GO) test -race -count=1 -timeout $(TEST_TIMEOUT) ./...
	$(MAKE) --no-print-directory test-alloc test-prices

# Fifty million ratings against decimals: with the race detector they would take minutes, so
# there every sixteenth line of the trace has to do.
.PHONY: test-prices
test-prices: ## every line of the trace at every chat model's list price, without the race detector
	@$(GO) test -count=1 -run '^TestListPrices$$' ./e2e

# The race detector allocates, so tests that count allocations run without it.
.PHONY: test-alloc
test-alloc: ## the tests that count allocations, without the race detector
	@$(GO) test -run Alloc $$(grep -rlE '^func Test[A-Za-z0-9]*Alloc' --include='*_test.go' . | xargs dirname | sort -u)

# The tests that have a full size: package and what to run of it, one a line. Each is a process
# of its own, one after the other, so that they measure themselves alone.
define SOAK
./httpapi ^TestSoak
./engine ^TestRestartSoak$$
./engine ^TestDedup(Soak|AgainstTwin|Crashes)$$
./engine ^Test(WorldOfRatings|EngineAgainstModel|RerateHalfway|SettlementResumesAtItsSlice|OverlappingIdentities|MoneyAddsUp|MoneyAddsUpWithResults)$$
./e2e ^Test(Kills|Stops)$$
./cmd/farthing ^TestOverloadSoak$$
./engine ^TestFlow
./engine ^TestCorruption$$
./engine ^TestSimulation(OnPebble)?$$
./engine ^(TestCrashPoints|TestCrashRigNoticesLies|TestCrashOnErrors|TestCrashes)$$
./journal ^(TestCrash|TestCrashRigNotices|TestCrashDuringCreate|TestDamagedDirectoryRefuses|TestFlippedWALBit)$$
./engine ^TestBackupHoldsWhatWasAnswered$$
./export ^TestEveryDamageIsNoticed$$
./e2e ^TestBackupRestoreExportImport$$
./engine ^TestRetention(Crash|Mixed)?$$
./engine ^TestCrashPointsOfRetention$$
endef
export SOAK
# What `make soak` runs of it: lines that match. Rows of others stay as they were.
SOAK_ONLY ?= .

.PHONY: soak
soak: ## every test at its full size, without the race detector: an hour and more; writes docs/soak.md (SOAK_ONLY=e2e)
	@export FARTHING_SOAK=full FARTHING_SOAK_REPORT=$(CURDIR)/docs/soak.jsonl FARTHING_SOAK_COMMIT=$$(git rev-parse --short HEAD)$$(git diff --quiet HEAD -- . ':!docs/soak.*' || echo -dirty)
	while read -r package tests; do
		echo "==== $$package $$tests"
		$(GO) test -count=1 -timeout 60m -v -run "$$tests" "$$package" </dev/null | grep -vE '^=== |^ +--- PASS'
	done < <(grep -E -e "$(SOAK_ONLY)" <<<"$$SOAK")
	$(GO) run ./internal/soak/report docs/soak.jsonl >docs/soak.md.new
	mv docs/soak.md.new docs/soak.md
	echo "docs/soak.md"

.PHONY: lint
lint: $(LINT) ## shell syntax, golangci-lint, tidy go.mod
	@for script in $(SCRIPTS); do bash -n "$$script"; done
	GOLANGCI_LINT_CACHE=$(CURDIR)/.cache/golangci-lint $(LINT) run ./...
	$(GO) mod tidy -diff
	cd examples/consumer-go
	GOLANGCI_LINT_CACHE=$(CURDIR)/.cache/golangci-lint $(CURDIR)/$(LINT) run -c ../../.golangci.yml ./...
	$(GO) mod tidy -diff

$(LINT):
	@echo "installing golangci-lint $(LINT_VERSION) (two minutes, once)"
	GOBIN=$(CURDIR)/$(@D) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

# Go fails a target also when its workers do not stop in time at the end, as on a busy machine. It says "context deadline exceeded"
# and names no input; such a one, and no other, is run once more.
.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZ_TIME
	@said=$$(mktemp); trap 'rm -f "$$said"' EXIT
	grep -rlE '^func Fuzz' --include='*_test.go' . | sort | while read -r file; do
		sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$$file" | while read -r target; do
			once() { $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ_TIME) -fuzzminimizetime 5s "$$(dirname "$$file")" </dev/null 2>&1 | tee "$$said"; }
			once || { grep -qx ' *context deadline exceeded' "$$said" && ! grep -q 'Failing input' "$$said" && once; } || exit 1
		done
	done

# What fuzzing finds interesting lies in Go's build cache. The shortest inputs reach nearly as much and fit into the tree.
.PHONY: fuzz-keep
fuzz-keep: ## keep the 24 shortest inputs that fuzzing found for each target as its corpus in the tree
	@cache=$$($(GO) env GOCACHE)/fuzz/farthing
	find "$$cache" -mindepth 2 -type d -name 'Fuzz*' | while read -r found; do
		target=$${found#"$$cache"/}
		package=$${target%/*}
		[[ -d $$package ]] || continue
		mkdir -p "$$package/testdata/fuzz/$${target##*/}"
		ls -rS "$$found" | sed -n 1,24p | while read -r input; do cp "$$found/$$input" "$$package/testdata/fuzz/$${target##*/}/"; done
	done

.PHONY: kafka-up
kafka-up: ## start a real Kafka broker on loopback; prints its address
	@exec kafka/kafka.sh up

.PHONY: kafka-down
kafka-down: ## stop the broker of kafka-up
	@exec kafka/kafka.sh down

.PHONY: clean
clean: ## remove what was built; caches and broker data stay
	@rm -rf bin
	$(GO) clean -testcache
