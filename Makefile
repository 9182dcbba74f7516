# `make` prints what there is. Everything runs in environments made here; nothing else to install.

PYTHON ?= python3
SERVE := .venv
WORK := .venv-work
RECIPE ?= training/recipes/ink.toml
BUNDLE ?= models_store/bundles/ink/1
WORKERS ?= 2
# Files are shared out between so many processes; each keeps to a core, and starts its own servers.
PYTEST = OMP_NUM_THREADS=1 $(WORK)/bin/pytest -q -n $(WORKERS) --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help serve demo test check lint types imports format openapi train evaluate bench torture

help: ## print the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 12

serve: $(SERVE)/ready ## install the service and serve the shipped bundles on KINDRED_PORT (8000)
	@exec $(SERVE)/bin/python -m service

demo: $(SERVE)/ready ## against a running service: enroll, identify, verify and cluster handwriting
	@$(SERVE)/bin/python -m kindred demo

test: $(WORK)/ready ## pass every quick test
	$(PYTEST) -m "not slow"

check: lint types imports $(WORK)/ready ## lint, types, import rules, all tests: what CI runs
	$(PYTEST)

lint: $(WORK)/ready ## ruff
	$(WORK)/bin/ruff check .
	$(WORK)/bin/ruff format --check .

types: $(WORK)/ready ## mypy, strict
	$(WORK)/bin/mypy

imports: $(WORK)/ready ## the house rules of ARCHITECTURE.md
	$(WORK)/bin/lint-imports --no-cache

format: $(WORK)/ready ## write the code as ruff would
	$(WORK)/bin/ruff check --fix-only .
	$(WORK)/bin/ruff format .

openapi: $(WORK)/ready ## write openapi.yaml from the application
	$(WORK)/bin/python -m tests.promises.openapi

train: $(WORK)/ready ## fit a comparator: RECIPE=… DATA=… OUT=…
	$(WORK)/bin/python -m training fit $(RECIPE) $(if $(DATA),--data $(DATA)) $(if $(OUT),--out $(OUT))

evaluate: $(WORK)/ready ## measure a bundle: BUNDLE=… DATA=…
	$(WORK)/bin/python -m training evaluate $(BUNDLE) $(if $(DATA),--data $(DATA))

torture: $(WORK)/ready ## the long runs: kills, failpoints, partitions; SEED=0 SECONDS=inf
	$(WORK)/bin/python -m tests.torture --seed $(or $(SEED),0) --seconds $(or $(SECONDS),inf)

bench: $(WORK)/bench ## everything beside its rivals, ratios first; a quarter of an hour
	$(WORK)/bin/python -m benchmarks --out bench.json

$(WORK)/bench: $(WORK)/ready
	@echo "Installing the rivals of the benchmark into $(WORK) (once)"
	@$(WORK)/bin/pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@

$(SERVE)/ready: pyproject.toml
	@echo "Installing the service into $(SERVE) (once)"
	@$(PYTHON) -m venv $(SERVE)
	@$(SERVE)/bin/pip install --quiet --disable-pip-version-check -e '.[cpu]'
	@touch $@

$(WORK)/ready: pyproject.toml
	@echo "Installing the service, training and the tools into $(WORK) (once)"
	@$(PYTHON) -m venv $(WORK)
	@$(WORK)/bin/pip install --quiet --disable-pip-version-check 'torch==2.13.0'
	@$(WORK)/bin/pip install --quiet --disable-pip-version-check -e '.[cpu,training,dev]'
	@touch $@
