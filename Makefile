# `make demo` and `make test` work as the first command on a machine with Python 3.11 to 3.13, make and git.

.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	&& { echo $$p; break; }; done)
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Tests wait for services more than they compute: three processes keep two cores busy.
TEST_PROCESSES ?= 3
SOURCES := assay evaluators sensors orchestration benchmarks tests

# No tool of ours reports usage to anyone.
export DO_NOT_TRACK = 1
export DBT_SEND_ANONYMOUS_USAGE_STATS = false
export DAGSTER_DISABLE_TELEMETRY = yes
export GX_ANALYTICS_ENABLED = false
# Some containers set it. Every service is a Python of its own, and would compile all that it imports again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo up test lint format bench lock schemas clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Everything up on embedded stores: 30 days of history, live traffic, an incident within two minutes
	@$(BIN)/assay up --demo

up: $(INSTALLED) ## Everything up on embedded stores, without traffic
	@$(BIN)/assay up

test: $(INSTALLED) ## Every test, against real embedded services
	@echo "Running every test against real embedded services (12 to 20 minutes on two cores) …"
	@$(BIN)/pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

# Dagster says that `dg check defs` supersedes `definitions validate`. It loads the same definitions, but comes with
# dagster-dg-cli and the client of Dagster's cloud behind it, and wants the layout of a `dg` project.
lint: $(INSTALLED) ## Linter, formatter check, type checker, import layers, SQL, Dagster definitions
	@echo "ruff: lint";             $(BIN)/ruff check $(SOURCES)
	@echo "ruff: format";           $(BIN)/ruff format --check $(SOURCES)
	@echo "mypy: strict types";     $(BIN)/mypy
	@echo "import-linter: layers";  $(BIN)/lint-imports
	@echo "sqlfluff: dbt models";   $(BIN)/sqlfluff lint dbt_project/models dbt_project/tests --disable-progress-bar
	@echo "dagster: definitions";   mkdir -p .assay/validate && DAGSTER_HOME=$(CURDIR)/.assay/validate \
		PYTHONWARNINGS='ignore:Function `definitions_validate_command`' \
		$(BIN)/dagster definitions validate -w workspace.yaml --log-level warning

format: $(INSTALLED) ## Format the Python code
	@$(BIN)/ruff check --fix $(SOURCES); $(BIN)/ruff format $(SOURCES)

bench: $(INSTALLED) ## Every benchmark; each prints one JSON object
	@for file in benchmarks/[a-z]*.py; do echo "== $$file" >&2; \
		$(BIN)/python -m benchmarks.$$(basename $$file .py) || exit 1; done

schemas: $(INSTALLED) ## Write anew what is derived from the code: JSON Schemas of the contracts, names of attributes in dbt
	@$(BIN)/python -m assay.contracts
	@$(BIN)/python -m assay.collector.otel_traces.names

lock: $(INSTALLED) ## Pin the dependencies anew
	@$(BIN)/uv pip compile --universal --python-version 3.11 --quiet --no-header --upgrade \
		--group dev pyproject.toml --output-file requirements.lock

clean: ## Remove .venv and the embedded services' data
	rm -rf $(VENV) .assay

# uv installs in seconds and shows its progress; pip is what reads a pip.conf with a mirror in it.
$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; found none on the PATH" >&2; exit 1; }
	@echo "Creating $(VENV) with $(PYTHON) and installing the pinned packages (a minute or two, once) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
	@$(BIN)/uv pip install --python $(BIN)/python -r requirements.lock \
		|| $(BIN)/python -m pip install --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
