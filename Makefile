# Ebb. `make help` lists what there is.

SHELL := /bin/bash
BIN ?= bin
export CGO_ENABLED := 0
GO_BUILD := go build -trimpath

.DEFAULT_GOAL := help

include deploy/local/local.mk

##@ Run

.PHONY: demo
demo: build ## Build Ebb, start it, wake hello-world from zero, split, scale; leave it running (EBB_STATE, EBB_PORT).
	@BIN=$(BIN) docs/examples/demo.sh

.PHONY: build
build: deps platform $(BIN)/ebb $(BIN)/ebb-sidecar ## Build everything that `ebb up` needs into bin/.

# Every Go file of the main module may matter; go build itself knows what to do.
.PHONY: $(BIN)/ebb
$(BIN)/ebb: $(BIN)/ebb-kube
	$(GO_BUILD) -o $@ ./cmd/ebb

.PHONY: $(BIN)/ebb-sidecar
$(BIN)/ebb-sidecar: $(BIN)/ebb
	$(GO_BUILD) -o $@ ./cmd/ebb-sidecar

##@ Test

# Packages whose tests know -update.
GOLDEN := ./xds/envoy ./crds/serving/defaulting ./serving/configuration ./serving/revision ./serving/route ./serving/service \
	./autoscale/hpa ./autoscale/simulate ./deploy/local/cri ./deploy/local/kube

.PHONY: test
test: build ## Everything that holds in some minutes: vet, lint, unit, goldens, real Envoys, real clusters, faults in short.
	@test/run

.PHONY: unit
unit: $(BIN)/envoy ## Unit tests and goldens only.
	go vet -trimpath ./... && go test -trimpath -short $$(go list ./... | grep -v /test/e2e)

.PHONY: test-faults
test-faults: build ## Kill everything in turn under load, at length.
	EBB_FAULTS=long go test -trimpath -count=1 -timeout 3h -v ./test/e2e -run TestFault

.PHONY: conformance
conformance: ## Public suites: CloudEvents SQL's test kit. Knative's own are not run yet.
	@set -o pipefail; go test -trimpath -count=1 -v -run '^TestThePublicTestKitPasses$$' ./crds/cesql | grep -vE '^(=== |    --- PASS)'

.PHONY: bench
bench: build ## Measure requests, side by side, as ratios, for an hour; writes docs/bench/.
	$(GO_BUILD) -o $(BIN)/ebb-bench ./test/bench/cmd/ebb-bench && $(BIN)/ebb-bench --only memory,writes,coldstart,burst,warm,change --out docs/bench

.PHONY: bench-events
bench-events: SECTIONS ?= events,backlog
bench-events: build ## Measure the event broker beside JetStream, Envoy alone and Kafka; writes docs/bench/events/ (QUICK=1 for a look).
	$(GO_BUILD) -o $(BIN)/ebb-bench ./test/bench/cmd/ebb-bench && $(BIN)/ebb-bench --apart --only $(SECTIONS) --node light --out docs/bench/events $(if $(QUICK),--quick)

.PHONY: fuzz
fuzz: ## Every fuzz target for half a minute.
	@test/fuzz-all 30s

.PHONY: golden
golden: ## Rewrite all goldens.
	go test -trimpath $(GOLDEN) -update

##@ Run on a cluster

.PHONY: image
image: build ## Make the image that a cluster runs, IMAGE=registry.example.org/ebb:v1, and push it there with PUSH=1.
	@$(BIN)/ebb image platform --name $(or $(IMAGE),ebb.dev/ebb:dev) $(if $(PUSH),--push)

##@ Keep

.PHONY: generate
generate: ## Generate deep copies, CRDs and protocol code.
	go generate ./...

.PHONY: lint
lint: $(BIN)/golangci-lint ## golangci-lint, built from its pinned module (a minute, the first time).
	$(BIN)/golangci-lint run ./...

$(BIN)/golangci-lint: test/lint/go.mod test/lint/go.sum
	cd test/lint && $(GO_BUILD) -o $(abspath $@) github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: clean
clean: ## Remove what was built; a platform and its state stay (see: ebb down --purge).
	rm -rf $(BIN) .cache

.PHONY: help
help: ## This list.
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-zA-Z0-9_\/.-]+:.*## / {printf "  \033[36m%-14s\033[0m %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
