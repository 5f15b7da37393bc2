# Ebb. `make help` lists what there is.

SHELL := /bin/bash
BIN ?= bin
export CGO_ENABLED := 0
GO_BUILD := go build -trimpath

.DEFAULT_GOAL := help

include deploy/local/local.mk

##@ Run

.PHONY: demo
demo: build ## Build Ebb, start everything, wake hello-world from zero, split, scale; leave it running.
	@$(BIN)/ebb demo

.PHONY: build
build: deps platform $(BIN)/ebb ## Build everything that `ebb up` needs into bin/.

# Every Go file of the main module may matter; go build itself knows what to do.
.PHONY: $(BIN)/ebb
$(BIN)/ebb: $(BIN)/ebb-kube
	$(GO_BUILD) -o $@ ./cmd/ebb

##@ Test

.PHONY: test
test: build ## Everything that holds in a few minutes: vet, unit, goldens, real Envoys, real clusters, faults in short.
	@test/run

.PHONY: unit
unit: $(BIN)/envoy ## Unit tests and goldens only.
	go vet ./... && go test -trimpath -short $$(go list ./... | grep -v /test/e2e)

.PHONY: test-faults
test-faults: build ## Kill everything in turn under load, at length.
	EBB_FAULTS=long go test -trimpath -count=1 -timeout 3h -v ./test/e2e -run TestFault

.PHONY: conformance
conformance: build ## Knative's own suites, as far as they can run here.
	@echo "no conformance suite is wired in yet: it comes with Serving whole"

.PHONY: bench
bench: build ## Measure side by side, as ratios; writes docs/bench/.
	$(GO_BUILD) -o $(BIN)/ebb-bench ./test/bench/cmd/ebb-bench && $(BIN)/ebb-bench --out docs/bench

.PHONY: fuzz
fuzz: ## Every fuzz target for half a minute.
	@test/fuzz-all 30s

.PHONY: golden
golden: ## Rewrite all goldens.
	go test -trimpath ./xds/envoy ./crds/... ./serving/... ./autoscale/... -update

##@ Keep

.PHONY: generate
generate: ## Generate deep copies, CRDs and protocol code.
	go generate ./...

.PHONY: lint
lint: ## golangci-lint, built from its pinned module.
	cd test/lint && $(GO_BUILD) -o $(abspath $(BIN))/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	$(BIN)/golangci-lint run ./...

.PHONY: clean
clean: ## Remove what was built.
	rm -rf $(BIN)

.PHONY: help
help: ## This list.
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-zA-Z0-9_\/.-]+:.*## / {printf "  \033[36m%-14s\033[0m %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
