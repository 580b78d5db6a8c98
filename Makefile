# Every target that people use has a line of help behind ##; `make` alone shows them.

SHELL := /bin/bash -o pipefail
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
STAMP := $(VENV)/.installed
CODE := operator devcluster demo bench faults e2e tests charts docsite
GENERATED := crds charts examples/argocd docs/reference docs/features.md docs/chart-practices.md docs/registries.md
# Where Go is put by those who follow its own instructions.
export PATH := $(PATH):/usr/local/go/bin
UV_VERSION := 0.13.8
# What the lock says and nothing else: with dependencies on, pip resolves an extra anew and finds a release that is newer
# than the lock. `pip check` then tells of a lock that lacks something.
PINNED := --quiet --no-compile --require-hashes --no-deps
LOCK = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11
# `make test` has these count what the tests cover.
PYTEST ?= $(BIN)/pytest
ENGINE_TESTS = $(wildcard $(patsubst %,tests/integration/test_%.py,engine* failures credentials image_* session*))
E2E_ = $(BIN)/python -m e2e $(BIN)/pytest $(or $(TESTS),tests/e2e)
E2E_kind = .ci/on-kind .ci/cluster-trial
E2E_kubeconfig = .ci/cluster-trial

.DEFAULT_GOAL := help
.PHONY: help init lock fmt lint audit type unit chart fuzz-sample integration engines programs e2e faults-sample test coverage-report bench faults fuzz demo up run down docs generate check features machine-cluster machine-tests
.NOTPARALLEL:

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# First of all, so that it is said in the first second what the machine lacks, if it cannot be installed.
machine-cluster machine-tests: machine-%:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m devcluster.machine $*

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
	$(PYTEST) tests/unit

chart: init ## Render the charts with the real Helm in all modes, and check every object against published schemas
	$(PYTEST) tests/chart

fuzz-sample: init ## Feed some thousands of generated inputs to each parser of foreign text
	$(PYTEST) tests/fuzz

integration: machine-cluster init ## Run the integration tests on real parts; brings the cluster up for as long as they run
	$(BIN)/python -m devcluster during $(PYTEST) tests/integration

engines: machine-cluster init ## Run the tests of operations on Docker 28.5 with both image stores, besides the Engines of `make test`
	DOCKER_HOST= IMAGEOPS_ENGINES=28.5 IMAGEOPS_CLUSTER=$(CURDIR)/.dev/engines \
	  $(BIN)/python -m devcluster during $(BIN)/pytest $(or $(TESTS),$(ENGINE_TESTS))

programs: machine-tests init ## Find, or build, every program that any test starts
	$(BIN)/python -m devcluster build --clients

e2e: $(if $(CLUSTER),,machine-tests init) ## Try the chart on a node of this machine's own (TESTS=… runs a part), or on CLUSTER=kind, or CLUSTER=kubeconfig
	$(or $(E2E_$(CLUSTER)),$(error CLUSTER is kind or kubeconfig))

faults-sample: machine-cluster init ## Run a part of `make faults`, on a cluster of its own
	@mkdir -p .dev/faults
	IMAGEOPS_CLUSTER=$(CURDIR)/.dev/faults $(BIN)/python -m devcluster during $(BIN)/pytest tests/faults

test: machine-tests init ## Run all tests whatever fails, and report their coverage; those that take no times run beside the integration tests
	$(BIN)/coverage erase
	@PYTEST="$(BIN)/coverage run -m pytest" $(BIN)/python -m tests.support.suites integration \
	  --beside unit chart fuzz-sample programs e2e faults-sample --after coverage-report

coverage-report: init ## Show what the last `make test` covered, the operator's own process included
	$(BIN)/coverage combine --quiet --append
	$(BIN)/coverage report
	$(BIN)/coverage report --include='operator/imageops/core/*' --fail-under=95

bench: machine-cluster init ## Measure tracking overhead and the latency of short operations; BASE=COMMIT says what became worse since
	$(BIN)/python -m bench $(if $(BASE),--base $(BASE) --updates 1000 --operations 30) $(if $(PAIRS),--pairs $(PAIRS))

faults: machine-cluster init ## Kill, blind and mislead the operator at every point of a workload; PLAN=17, or SAMPLE=60 SEED=1, runs a part
	$(BIN)/python -m faults $(if $(PLAN),--plan $(PLAN)) $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED))

fuzz: init ## Feed 1,000,000 generated inputs to each parser of foreign text
	$(BIN)/python -m faults.fuzz

demo: machine-cluster $(RUNS) ## Promote an image between two registries, and prove that it arrived bit for bit
	@$(BIN)/python -m demo

up: machine-cluster $(RUNS) ## Start the development cluster and write .dev/env
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
	$(BIN)/python -m tests.support.registry_pages --write

check: lint type generate ## Lint, check types, and demand that generated files are committed as generated
	git diff --exit-code -- $(GENERATED)
	@test -z "$$(git ls-files --others --exclude-standard -- $(GENERATED))" || { echo "generated files are not committed"; exit 1; }

features: init ## List every row of docs/features.md with its tests, and the rows that have none
	@$(BIN)/python -m tests.support.features
