# Every target that people use has a line of help behind ##; `make` alone shows them.

SHELL := /bin/bash -o pipefail
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
STAMP := $(VENV)/.installed
CODE := operator devcluster demo bench faults e2e tests charts docsite
GENERATED := crds charts examples/argocd docs/reference docs/features.md docs/chart-practices.md
UV_VERSION := 0.13.8
# What the lock says and nothing else: with dependencies on, pip resolves an extra anew and finds a release that is newer
# than the lock. `pip check` then tells of a lock that lacks something.
PINNED := --quiet --no-compile --require-hashes --no-deps
LOCK = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11
ENGINE_TESTS = $(wildcard $(patsubst %,tests/integration/test_%.py,engine* failures credentials image_* session*))
E2E_ = $(BIN)/python -m e2e $(BIN)/pytest $(or $(TESTS),tests/e2e)
E2E_kind = .ci/on-kind .ci/cluster-trial
E2E_kubeconfig = .ci/cluster-trial

.DEFAULT_GOAL := help
.PHONY: help init lock fmt lint audit type unit chart integration engines e2e test coverage-report bench faults fuzz demo up run down docs generate check features
.NOTPARALLEL:

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

init: $(STAMP) ## Make .venv and install what requirements.lock pins, hashes checked

# Less than the tests need, so that a demonstration starts sooner.
$(RUNS): requirements-operator.lock requirements-build.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(PINNED) $(addprefix --requirement=,$(filter %.lock,$^))
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/pip check
	@touch $@

$(STAMP): $(RUNS) requirements.lock
	$(BIN)/pip install $(PINNED) --requirement requirements.lock
	$(BIN)/pip check
	@touch $@

lock: init ## Resolve the dependencies of pyproject.toml anew, and those of the image to the same versions
	$(BIN)/pip install --quiet uv==$(UV_VERSION)
	$(LOCK) --upgrade --extra dev --output-file requirements.lock pyproject.toml
	$(LOCK) --upgrade --constraint requirements.lock --output-file requirements-operator.lock pyproject.toml
	echo hatchling | $(LOCK) --upgrade --constraint requirements.lock --output-file requirements-build.lock -

fmt: init ## Format, and mend what the linter can mend by itself
	$(BIN)/ruff check --fix --quiet $(CODE)
	$(BIN)/ruff format --quiet $(CODE)

lint: init ## Look for faults of style and format
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check --quiet $(CODE)

audit: init ## Ask for known vulnerabilities of what the lock files pin; needs the network
	$(BIN)/pip-audit --require-hashes --disable-pip --requirement requirements-operator.lock
	$(BIN)/pip-audit --require-hashes --disable-pip --requirement requirements.lock

type: init ## Check types, strictly
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases tests

unit: init ## Run the unit tests; they need no service
	$(BIN)/pytest tests/unit

chart: init ## Render the charts with the real Helm in all modes, and check every object against published schemas
	$(BIN)/pytest tests/chart

integration: init ## Run the integration tests on real parts; brings the cluster up for as long as they run
	$(BIN)/python -m devcluster during $(BIN)/pytest tests/integration

engines: init ## Run the tests of operations on Docker 28.5 with both image stores, besides the Engines of `make test`
	DOCKER_HOST= IMAGEOPS_ENGINES=28.5 IMAGEOPS_CLUSTER=$(CURDIR)/.dev/engines \
	  $(BIN)/python -m devcluster during $(BIN)/pytest $(or $(TESTS),$(ENGINE_TESTS))

e2e: $(if $(CLUSTER),,init) ## Try the chart on a node of this machine's own (TESTS=… runs a part), or on CLUSTER=kind, or CLUSTER=kubeconfig
	$(or $(E2E_$(CLUSTER)),$(error CLUSTER is kind or kubeconfig))

test: init ## Run all tests and report their coverage; those that take no times run beside the integration tests
	$(BIN)/coverage erase
	@mkdir -p .dev/beside
	@echo "the other tests run beside those of the integration; .dev/beside/log has what they say, which is shown at the end"
	{ nice -n 19 $(BIN)/coverage run -m pytest tests/unit tests/chart tests/fuzz && \
	  nice -n 19 $(BIN)/python -m devcluster build --clients && \
	  nice -n 19 $(E2E_) && \
	  IMAGEOPS_CLUSTER=$(CURDIR)/.dev/beside nice -n 19 $(BIN)/python -m devcluster during $(BIN)/pytest tests/faults; \
	} >.dev/beside/log 2>&1 & beside=$$!; \
	$(BIN)/python -m devcluster during $(BIN)/coverage run -m pytest tests/integration; status=$$?; \
	tail --lines=+1 --follow --pid=$$beside .dev/beside/log; wait $$beside && exit $$status
	@$(MAKE) --no-print-directory coverage-report

coverage-report: init ## Show what the last `make test` covered, the operator's own process included
	$(BIN)/coverage combine --quiet --append
	$(BIN)/coverage report
	$(BIN)/coverage report --include='operator/imageops/core/*' --fail-under=95

bench: init ## Measure tracking overhead and the latency of short operations; BASE=COMMIT says what became worse since
	$(BIN)/python -m bench $(if $(BASE),--base $(BASE) --updates 1000 --operations 30) $(if $(PAIRS),--pairs $(PAIRS))

faults: init ## Kill, blind and mislead the operator at every point of a workload; PLAN=17, or SAMPLE=60 SEED=1, runs a part
	$(BIN)/python -m faults $(if $(PLAN),--plan $(PLAN)) $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED))

fuzz: init ## Feed 1,000,000 generated inputs to each parser of foreign text
	$(BIN)/python -m faults.fuzz

demo: $(RUNS) ## Promote an image between two registries, and prove that it arrived bit for bit
	@$(BIN)/python -m demo

up: $(RUNS) ## Start the development cluster and write .dev/env
	$(BIN)/python -m devcluster up

run: up ## Run the operator in the foreground against the development cluster
	$(BIN)/python -m devcluster install
	$(BIN)/python -m devcluster run

down: $(RUNS) ## End exactly what `make up` started
	$(BIN)/python -m devcluster down

docs: init ## Build the documentation's site into build/site, where every warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo build/site/index.html

generate: init ## Write the CRDs and reference pages from the models, the tables of the chart, the features from the tests
	$(BIN)/python -m imageops.api.crdgen --write crds
	$(BIN)/python -m imageops.api.crdgen --write charts/imageops/charts/imageops-crds/files
	$(BIN)/python -m tests.support.chart_pages --write
	$(BIN)/python -m tests.support.argo_fixtures --write
	$(BIN)/python -m imageops.api.docgen --write docs/reference
	$(BIN)/python -m docsite.metrics --write docs/reference
	$(BIN)/python -m tests.support.features --write

check: lint type generate ## Lint, check types, and demand that generated files are committed as generated
	git diff --exit-code -- $(GENERATED)
	@test -z "$$(git ls-files --others --exclude-standard -- $(GENERATED))" || { echo "generated files are not committed"; exit 1; }

features: init ## List every row of docs/features.md with its tests, and the rows that have none
	@$(BIN)/python -m tests.support.features
