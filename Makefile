# The one door for people and CI. `make run` and `make test` work on a fresh Debian with Python 3.11.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check lint types unit e2e test-postgres lock venv venv-dev system-test-tools

venv: $(VENV)/.installed
venv-dev: $(VENV)/.installed-dev

$(VENV)/.installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	touch $@ $(VENV)/.installed

run: venv
	$(BIN)/python manage.py runsipserver --embedded

system-test-tools:
	deploy/install-test-tools

test: venv-dev system-test-tools check unit e2e

check: lint types

lint: venv-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: venv-dev
	$(BIN)/mypy sipdomains twimlrunner sipserver

unit: venv-dev
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore tests/e2e $(PYTEST_ARGS)

# Mostly they wait, for they listen to audio in real time; each worker has servers of its own.
e2e: venv-dev
	$(BIN)/pytest -n 2 --dist loadfile tests/e2e $(PYTEST_ARGS)

# Not part of `make test`: needs a PostgreSQL that runs, and makes databases of its own there.
test-postgres: venv-dev
	@[[ "$$DATABASE_URL" == postgres* ]] || { echo "Set DATABASE_URL=postgres://user:password@host/postgres"; exit 2; }
	$(BIN)/pytest -n 2 --dist loadfile tests/adapters tests/integration tests/sipdomains tests/twimlbench tests/webhooks/test_delivery.py $(PYTEST_ARGS)

lock: venv-dev
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header requirements.in -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header -c requirements.txt requirements-dev.in -o requirements-dev.txt
