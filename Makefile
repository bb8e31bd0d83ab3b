# The targets that people type. `make help` lists them; what is longer than a few lines lives in hack/.
SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-builtin-rules
.DEFAULT_GOAL := help

# Tools are modules of their own; the workspace would mix their versions with the product's.
tool = $$(GOWORK=off go tool -modfile=tools/go.mod -n $(1))

# The race detector needs a C compiler; without one the tests run all the same.
RACE         ?= $(if $(shell command -v $${CC:-gcc}),-race)
TEST_TIMEOUT ?= 20m
FUZZTIME     ?= 10s
PACKAGES     ?= ./... ./api/...
BENCH_FLAGS  ?=
KEEP         ?=
GRAPH        ?=
LIVE         ?=

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/lockstep
	@echo "building bin/lockstep (2 minutes the first time on 2 cores)"
	@CGO_ENABLED=0 go build -trimpath -o bin/lockstep ./cmd/lockstep

.PHONY: plane
plane: ## build the control plane's binaries into bin/plane, unless they are up to date
	@hack/build-plane

.PHONY: demo
demo: build plane ## rotate a Secret on a control plane of its own and watch it arrive (GRAPH=1: resource graphs; LIVE=1: live settings; KEEP=1 leaves it running)
	@bin/lockstep demo $(if $(GRAPH),--graph) $(if $(LIVE),--live) $(if $(KEEP),--keep)

.PHONY: test
test: plane ## run every test on a real control plane (PACKAGES=./internal/plan/... for a part)
	@hack/test $(RACE) -timeout=$(TEST_TIMEOUT) $(PACKAGES)

.PHONY: cover
cover: plane ## measure which part of internal/ the tests reach
	@mkdir -p coverage
	@hack/test -timeout=$(TEST_TIMEOUT) -coverpkg=./internal/... -coverprofile=coverage/profile.out ./...
	@go tool cover -html=coverage/profile.out -o coverage/index.html
	@go tool cover -func=coverage/profile.out | tail -1

.PHONY: fuzz
fuzz: ## fuzz each fuzz target for FUZZTIME (10s)
	@hack/fuzz $(FUZZTIME)

.PHONY: bench
bench: build plane ## measure speed, memory and resource graphs against the API server's own limit (BENCH_FLAGS="--against 'COMMAND'")
	@go build -trimpath -o bin/bench ./test/bench
	@bin/bench $(BENCH_FLAGS)

.PHONY: generate
generate: ## regenerate what is generated
	@hack/generate "$(call tool,controller-gen)"

.PHONY: fmt
fmt: ## format the code
	@$(call tool,golangci-lint) fmt ./... ./api/...

.PHONY: lint
lint: ## check the style rules
	@linter=$(call tool,golangci-lint); $$linter config verify; $$linter run ./... ./api/...

.PHONY: vulncheck
vulncheck: ## look for known vulnerabilities in what the code calls
	@hack/vulncheck "$(call tool,govulncheck)"

.PHONY: verify
verify: ## fail when something generated is out of date, a style rule is broken or a vulnerability is known
	@hack/unchanged "make generate and hack/tidy" bash -c '$(MAKE) --no-print-directory generate && hack/tidy'
	@$(MAKE) --no-print-directory lint vulncheck
