# make help lists the targets. Everything lives in .venv and in the data folder (./data).
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
export UV_PROJECT_ENVIRONMENT := $(VENV)
# Else each of some hundred processes that the tests start compiles all sources anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup test check fmt up bench bench-record soak clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.run: pyproject.toml constraints.txt
	@sh scripts/setup run
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	@sh scripts/setup dev
	@touch $@ $(VENV)/.run

$(VENV)/.bench: pyproject.toml constraints.txt
	@sh scripts/setup bench
	@touch $@ $(VENV)/.run $(VENV)/.dev

setup: $(VENV)/.dev ## make .venv with everything the tests need

up: $(VENV)/.run ## run bursa with the demo exchange: make up ARGS="--port 8080"
	@exec $(BIN)/bursa up --demo $(ARGS)

test: $(VENV)/.dev ## all tests
	@sh scripts/browser
	@sh scripts/servers
	@$(BIN)/python -m pytest -n 4 --dist loadgroup $(ARGS)

check: $(VENV)/.dev ## ruff, mypy strict, import contracts
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache

fmt: $(VENV)/.dev ## format the code
	@$(BIN)/ruff check --fix-only . ; $(BIN)/ruff format .

bench: $(VENV)/.bench ## all benchmarks (needs gcc): make bench ARGS="http ws --quick"
	@$(BIN)/python -m benchmarks $(ARGS)

bench-record: $(VENV)/.bench ## run and append to benchmarks/history.tsv: make bench-record NOTE="why"
	@$(BIN)/python -m benchmarks --record "$(NOTE)" $(ARGS)

soak: $(VENV)/.dev ## the long fault runs
	@sh scripts/servers
	@$(BIN)/python -m pytest -n 2 --dist loadgroup --timeout 7200 --soak tests/faults tests/wire tests/journal tests/pipeline/test_failures.py tests/jobs/test_drain.py tests/test_backup.py tests/web/test_chart_states.py tests/accounts/test_schema_fuzz.py $(ARGS)

clean: ## remove .venv and caches, never data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
