# Everything native is built with the same profile, `--release`, and the same selection of
# packages, `--workspace`: another of either compiles RocksDB again, which takes minutes.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:

# Where products live and what the compilers need.
ENV := . scripts/env.sh;
NATIVE := --release --locked --workspace

.PHONY: help setup setup-run build demo test lint e2e envoy-versions compose-test reproducible fuzz fuzz-api deny chaos schedules reference bench micro simulate nodes up ci fmt

help: ## list the targets (the default)
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 15

setup: ## install what a bare machine lacks: Envoy, libclang, the wasm32 target, test runners
	@scripts/setup.sh

# What running needs, without what only the tests need.
setup-run:
	@scripts/setup.sh run

build: setup-run ## build the filter, the sidecar and the demo into dist/
	$(ENV) cargo build $(NATIVE) --bins
	scripts/wasm build --lib
	@scripts/dist.sh

demo: build ## see it work: a cold view, a seek, a replay, each with its Cache-Status
	@$(ENV) dist/demo

test: setup build ## run all tests: unit, properties, processes, wasm32 in Node, end to end, faults under play
	$(ENV) cargo test $(NATIVE)
	scripts/wasm test --lib
	$(ENV) cargo test $(NATIVE) --test e2e
	@$(ENV) dist/chaos --short

e2e: build ## run only the tests against a real Envoy
	$(ENV) cargo test $(NATIVE) --test e2e

envoy-versions: build ## run the smoke tests, the guide's and the demo on every supported Envoy
	@scripts/setup.sh envoys
	@$(ENV) scripts/envoy-versions.sh

reproducible: build ## build the filter again from another folder and compare
	@scripts/reproducible.sh

fuzz: setup-run ## let the fuzzer look for what breaks the assertions: make fuzz SECONDS=600 TARGETS="range identify"
	@$(ENV) scripts/fuzz.sh $(or $(SECONDS),60) $(TARGETS)

deny: ## look at licences, sources and versions of the packages used, and at advisories where they can be had
	@scripts/setup.sh deny
	@scripts/deny.sh

fuzz-api: build ## send the REST API what its description allows and forbids: make fuzz-api EXAMPLES=500
	@scripts/setup.sh fuzz
	@scripts/fuzz-api.sh

compose-test: build ## run docker-compose.yml in containers: build, play, restart, stop
	@scripts/setup.sh compose
	@scripts/compose-test.sh $(if $(IF_ABLE),--if-able)

chaos: build ## let 100 viewers watch while one fault after the other happens: make chaos FAULTS="disk-full" SEED=2
	@scripts/setup.sh chaos
	@$(ENV) dist/chaos --seed $(or $(SEED),1) $(FAULTS)

schedules: setup-run ## run fills, followers and evictions in many orders: make schedules SCHEDULES=100000, or SEED=4711 again
	$(ENV) SCHEDULES=$(or $(SCHEDULES),10000) $(if $(SEED),SEED=$(SEED)) cargo test $(NATIVE) --lib -- --nocapture every_schedule

lint: setup ## check format, clippy on both targets, documentation and scripts
	$(ENV) cargo fmt --all --check
	$(ENV) cargo clippy $(NATIVE) --all-targets -- -D warnings
	$(ENV) cargo clippy $(NATIVE) --test e2e -- -D warnings
	scripts/wasm clippy --all-targets -- -D warnings
	$(ENV) RUSTDOCFLAGS=-Dwarnings cargo doc $(NATIVE) --no-deps --document-private-items
	@scripts/lint.sh

reference: setup-run ## write docs/REST.md anew from the API's description
	$(ENV) VIEWCACHE_WRITE_REFERENCE=1 cargo test $(NATIVE) --lib -- the_reference_is_the_description

bench: build ## compare with plain Envoy and nginx: make bench ROWS="warm cold" ROUNDS=3 QUICK=1
	@scripts/setup.sh bench
	@$(ENV) cargo build $(NATIVE) --bin bench
	@$(ENV) "$$CARGO_TARGET_DIR/release/bench" --rounds $(or $(ROUNDS),3) $(if $(QUICK),--quick) $(ROWS)

micro: setup-run ## time what runs for every request and chunk, alone
	$(ENV) cargo bench --locked --workspace --bench micro

simulate: setup-run ## compare cache policies on synthetic traces: make simulate ARGS="--trace mixed --seed 2"
	@$(ENV) cargo build $(NATIVE) --bin simulate
	@$(ENV) "$$CARGO_TARGET_DIR/release/simulate" $(or $(ARGS),--docs docs)

nodes: setup-run ## say how many entities move when cache nodes come and go
	@$(ENV) cargo build $(NATIVE) --bin nodes
	@$(ENV) "$$CARGO_TARGET_DIR/release/nodes" $(ARGS)

up: build ## run Envoy, the sidecar and a demo origin until interrupted
	@$(ENV) exec dist/demo up

ci: lint test ## what CI runs

fmt: ## format the code
	$(ENV) cargo fmt --all
