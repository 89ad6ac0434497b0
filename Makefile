# The doors of the house; `make` alone lists them.

PYTHON ?= python3
# Tests at a time: one more than a small machine has cores, because they wait for servers as much as they compute.
JOBS ?= 3
# Requests that `make fuzz` makes of each operation beside the edges of its schema, and how long that may take of one.
EXAMPLES ?= 100
FUZZ_S := 900
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 pyproject.toml
PROTOS := $(shell find protos -name '*.proto')

.DEFAULT_GOAL := help
.PHONY: help run test test-plain fuzz core lint types contracts check lock mutants released bench bench-quick clean

help: ## Lists what make can do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

run: $(VENV)/run.stamp core ## Installs and starts the whole suite on this machine
	@$(BIN)/leadscore up

test: $(VENV)/dev.stamp core ## Installs and runs the tests, on real servers that they start themselves
	@$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

test-plain: $(VENV)/dev.stamp ## Runs the tests of the scorer's core as plain Python
	@$(BIN)/python tools/compile_core.py --remove
	@$(BIN)/pytest -n $(JOBS) tests/unit

fuzz: $(VENV)/dev.stamp ## Tries the gateway with what its OpenAPI document allows, EXAMPLES of each operation
	@LEADSCORE_TEST_OPENAPI_EXAMPLES=$(EXAMPLES) $(BIN)/pytest --timeout $(FUZZ_S) tests/rest/test_openapi.py

lint: $(VENV)/dev.stamp ## Checks style
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(VENV)/dev.stamp ## Checks types
	@$(BIN)/mypy

contracts: $(VENV)/dev.stamp ## Checks the contracts, and that they break none of those released
	@$(BIN)/buf lint gen/contract.binpb --config protos/buf.yaml
	@$(BIN)/buf breaking gen/contract.binpb --against protos/released.binpb --config protos/buf.yaml

check: lint types contracts ## All checks beside the tests

bench: $(VENV)/dev.stamp core ## Measures; PART=name for one part
	@$(BIN)/python -m bench $(PART)

bench-quick: $(VENV)/dev.stamp core ## Measures shortly, and says which ratios have moved from those that are kept
	@$(BIN)/python -m bench --quick --compare

core: $(VENV)/run.stamp ## Compiles the scorer's core, where there is a C compiler and it has changed
	@$(BIN)/python tools/compile_core.py

mutants: $(VENV)/dev.stamp ## Breaks the scoring core in every small way, and counts what its tests find
	@rm -rf mutants
	@$(BIN)/python tools/compile_core.py --remove
	@HYPOTHESIS_PROFILE=mutants $(BIN)/mutmut run --max-children 2
	@$(BIN)/mutmut results
	@$(BIN)/mutmut export-cicd-stats >/dev/null
	@$(BIN)/python -c 'import json; print("{killed} of {total} found".format(**json.load(open("mutants/mutmut-cicd-stats.json"))))'

lock: $(VENV)/dev.stamp ## Pins the newest versions that pyproject.toml allows
	@$(PIP) install uv
	@$(LOCK) --extra core -o requirements.lock
	@$(LOCK) --extra core --extra embedded -o requirements-run.lock
	@$(LOCK) --extra core --extra embedded --extra dev --extra bench -o requirements-dev.lock

released: $(VENV)/dev.stamp ## Takes today's contracts as those that later ones may not break
	@$(BIN)/python tools/release_contracts.py

clean: ## Removes what was installed and generated; the data stays
	@$(PYTHON) tools/compile_core.py --remove
	@rm -rf $(VENV) gen leadscore.egg-info

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=...")'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run.stamp: requirements-run.lock $(PROTOS) tools/generate_stubs.py pyproject.toml | $(VENV)/python.stamp
	@echo "installing ..."
	@$(PIP) install --require-hashes -r requirements-run.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@$(BIN)/python tools/generate_stubs.py
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(PROTOS) tools/generate_stubs.py pyproject.toml | $(VENV)/python.stamp
	@echo "installing ..."
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@$(BIN)/python tools/generate_stubs.py
	@touch $@ $(VENV)/run.stamp
