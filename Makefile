# Everything here needs Go and nothing else, apart from `make race`, whose
# detector needs a C compiler on Linux, and `make clients`, which needs Python,
# Node.js, a JDK and Maven and says what it installs.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)'

PLATFORMS := linux/amd64 linux/arm64 darwin/arm64

TIME   ?= 10s
ROUNDS ?= 100
SEED   ?=
POINT  ?=
SEEDS  ?=
MUTANT ?=
WITHOUT ?=
SCALE  ?= 1

.DEFAULT_GOAL := help

help: ## print this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/varve
	$(BUILD) -o bin/varve ./cmd/varve

run: build ## build, then start a broker on this machine
	bin/varve serve

run-minio: build ## start a broker whose cold tier is a MinIO server, which is built first (minutes)
	scripts/minio.sh run sh -c 'mkdir -p .cache/minio/data/varve && \
		AWS_ACCESS_KEY_ID=$$S3_TEST_ACCESS_KEY AWS_SECRET_ACCESS_KEY=$$S3_TEST_SECRET_KEY bin/varve serve \
		--set log.dirs=.cache/minio/varve-data --set "tier.url=s3://varve/tour?endpoint=$$S3_TEST_ENDPOINT&region=us-east-1"'

test: ## vet, then run every test
	$(GO) vet ./...
	$(GO) test ./...

race: ## run every test under the race detector, with the costly checks
	$(GO) test -race -tags invariants ./...

test-s3: ## try the S3 driver and the broker with a gateway inside the test process
	cd tests/s3gw && $(GO) vet ./... && $(GO) test ./...

test-minio: ## try them with MinIO, which is built first (minutes)
	scripts/minio.sh run sh -c 'cd tests/s3gw && $(GO) test -count=1 ./...'

gofmt: ## fail if a Go file is not formatted
	@scripts/gofmt.sh

lint: gofmt ## check formatting and the repository's own rules
	$(GO) test -count=1 ./internal/lint/...

sim: ## simulate: SEED=n replays one seed, SEEDS=n tries that many (from FIRST=n on), WITHOUT=flips,tier leaves features out
	VARVE_SIM_SEED='$(SEED)' VARVE_SIM_SEEDS='$(SEEDS)' VARVE_SIM_FIRST='$(FIRST)' VARVE_SIM_WITHOUT='$(WITHOUT)' scripts/must-pass.sh TestSeeds $(GO) test -tags invariants ./internal/sim -run 'TestSeeds$$' -count=1 -v -timeout 0

mutants: ## prove that planted mistakes are found: MUTANT=name plants one, SEED=n shows what one seed made of it
	$(GO) vet -tags mutants ./...
	VARVE_MUTANT='$(MUTANT)' scripts/must-pass.sh TestDirected $(GO) test -tags mutants ./internal/mutant -run 'TestDirected$$' -count=1 -v
	VARVE_MUTANT='$(MUTANT)' VARVE_SIM_SEED='$(SEED)' scripts/must-pass.sh TestMutants $(GO) test -tags mutants ./internal/sim -run 'TestMutants$$|TestEveryMutantIsExpected$$' -count=1 -v -timeout 0

fuzz: ## run each fuzz target, or those that match TARGET, for TIME=10s
	@scripts/fuzz.sh '$(TIME)' '$(TARGET)'

bench: ## run every benchmark
	$(GO) test -run '^$$' -bench . -benchmem ./...

crash: ## kill a broker ROUNDS=100 times under each load (SEED=n, POINT=name), and make its disk fail
	$(GO) vet -tags failpoints ./internal/failpoint ./cmd/varve
	$(GO) test -tags failpoints ./internal/failpoint
	VARVE_CRASH_ROUNDS='$(ROUNDS)' VARVE_CRASH_SEED='$(SEED)' VARVE_CRASH_POINT='$(POINT)' $(GO) test ./tests/crash -count=1 -v -timeout 0

hostile: ## attack a broker over raw sockets, SCALE=1 times as wide and long as in CI
	$(GO) vet -tags hostile ./tests/hostile && VARVE_HOSTILE_SCALE='$(SCALE)' scripts/must-pass.sh TestHostile $(GO) test -tags hostile ./tests/hostile -run TestHostile -count=1 -v -timeout 0

clients: ## install other people's clients and try the broker with them
	@scripts/install-clients.sh
	$(GO) vet -tags clients ./tests/clients/...
	$(GO) test -tags clients ./tests/clients -count=1 -v -timeout 10m

generate: ## write generated code and pages again
	$(GO) generate ./...

check: ## run exactly what CI runs
	@.ci/run

cross: ## build for linux/amd64, linux/arm64 and darwin/arm64
	@set -e; for p in $(PLATFORMS); do \
		os=$${p%/*}; arch=$${p#*/}; echo "build $$p"; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build ./...; \
		GOOS=$$os GOARCH=$$arch $(BUILD) -o bin/varve-$$os-$$arch ./cmd/varve; \
	done

clean: ## remove what was built
	rm -rf bin

.PHONY: help build run run-minio test race test-s3 test-minio gofmt lint sim mutants fuzz bench crash hostile clients generate check cross clean
