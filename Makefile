MAKEFLAGS += --warn-undefined-variables --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help run test check rest fmt clippy doc deny fresh models tree real interop bench fresh-rounds bench-go bench-http bench-compare bench-churn fuzz malformed chaos chaos-seeds soak proto

BENCH_ARGS ?=
TRACES ?=
FRESH_ROUNDS ?= 100000
RATE ?= 1000
SCENARIO ?= faults
CHAOS := cargo bench --quiet --bench chaos -- --rate $(RATE)
SECONDS ?= 60
FUZZ_TARGETS ?=
REQUESTS ?= 1000000
SEED ?=
ONLY ?=
COMPARE := cargo run --release --quiet --locked --manifest-path benches/compare/Cargo.toml --bin
GENERATE := cargo run --quiet --locked --manifest-path proto/gen/Cargo.toml

# These lines are what `make` prints: a target, and what it does.
help: ## print this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /	/' | expand -t 15

run: ## the demo: three nodes, a slow database, an HTTP API
	cargo run --release --quiet -- demo

test: ## all tests
	cargo test

check: test rest ## all that CI checks
rest: fmt clippy doc deny fresh models tree

fmt: ## is everything formatted?
	cargo fmt --check
	cargo fmt --check --manifest-path proto/gen/Cargo.toml
	cargo fmt --check --manifest-path benches/compare/Cargo.toml
	cargo fmt --check --manifest-path fuzz/Cargo.toml

clippy: ## lints, with warnings denied
	cargo clippy --all-targets -- -D warnings
	cargo clippy --all-targets --no-default-features -- -D warnings
	cargo clippy --manifest-path proto/gen/Cargo.toml -- -D warnings

doc: ## the documentation, with warnings denied
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items

deny: ## licences, sources and banned dependencies (cargo install --locked cargo-deny)
	cargo deny --log-level error check bans licenses sources

fresh: ## is the generated code that of proto/larder.proto?
	$(GENERATE) -- --check

models: ## every order of events that matters, tried by shuttle
	RUSTFLAGS="--cfg shuttle" CARGO_TARGET_DIR=target/shuttle cargo test --no-default-features --lib models

tree: ## no async runtime, and a lean library
	sh tests/tree.sh

real: ## thousands of real files through three nodes
	cargo build --release
	bash tests/real.sh target/release/larder

interop: ## rings of larder and Go nodes (installs Debian's golang)
	sh tests/interop/run.sh

bench: ## the benchmarks' tables (BENCH_ARGS=--quick for a first look)
	cargo bench -- $(BENCH_ARGS)

fresh-rounds: ## 100,000 writes to five nodes whose ring changes: is a get ever stale?
	LARDER_FRESH_ROUNDS=$(FRESH_ROUNDS) cargo bench --bench fresh

bench-go: ## larder beside a Go node (installs Debian's golang and wrk)
	sh benches/go.sh

bench-http: ## hits beside Go, nginx, memcached, hyper (installs them, and wrk)
	sh benches/http.sh $(BENCH_ARGS)

bench-compare: ## larder's cache beside others (TRACES='files'; installs memcached, redis-server)
	sh benches/compare/servers.sh
	$(COMPARE) throughput -- $(BENCH_ARGS)
	$(COMPARE) memory -- $(BENCH_ARGS)
	$(COMPARE) hit_ratio -- $(BENCH_ARGS) $(TRACES)

bench-churn: ## does memory stay bounded? (BENCH_ARGS='--seconds 600' for the long run)
	$(COMPARE) churn -- $(BENCH_ARGS)

fuzz: ## arbitrary bytes for every reader (SECONDS=600 for each; needs nightly, g++)
	sh fuzz/run.sh $(SECONDS) $(FUZZ_TARGETS)

malformed: ## a million malformed requests to a running node (REQUESTS, SEED, ONLY=one again)
	cargo bench --bench malformed -- --requests $(REQUESTS) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

chaos: ## five nodes under faults (SECONDS=60 SEED=1 RATE=1000 SCENARIO=faults; --help lists them)
	$(CHAOS) --scenario $(SCENARIO) --seconds $(SECONDS) --seed $(or $(SEED),1)

chaos-seeds: ## the seeds that once found something
	$(CHAOS) --seeds tests/seeds

soak: ## a ring at full load with cuts and slow readers (SECONDS=600, SEED)
	cargo bench --bench soak -- --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

proto: ## generate src/wire/pb.rs from proto/larder.proto
	$(GENERATE)
