# Every command with a sentence: make help. All set-up happens by itself.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
AT_ONCE ?= 3# files of tests that run at once: they mostly wait for real servers
TESTS ?= tests/e2e tests/attacks tests/contracts tests/web tests/unit tests/test_floors.py# the long ones first

.PHONY: help setup packages test-packages serve test test-long check bench bench-accounts bench-ldap scale conformance demo migration lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 16

setup: $(VENV)/.made packages ## Do all of the set-up, start nothing; the command is then .venv/bin/lading

$(VENV)/.made: requirements-dev.lock pyproject.toml
	@dev/make-venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

packages:
	@dev/packages serve

test-packages:
	@dev/packages test

serve: setup ## Run the registry on https://localhost:5443, its data in ./data
	@exec $(BIN)/lading serve

test: setup test-packages ## Run the tests, with real clients and servers
	@$(BIN)/python -m pytest -n $(AT_ONCE) --dist loadfile --no-loadscope-reorder --durations 15 -m "not slow" $(TESTS)

test-long: setup ## Run those tests that "make test" leaves out for their length: Active Directory, guides, more on PostgreSQL
	@dev/packages test-long
	@$(BIN)/python -m pytest -n $(AT_ONCE) --dist loadfile --durations 15 -m slow $(TESTS)

check: $(VENV)/.made ## Lint, format check, types, and the arrows between rooms
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_floors.py

conformance: setup ## Run the OCI conformance suite, through nginx and without it
	@$(BIN)/python -m pytest -v tests/e2e/test_conformance.py

bench: setup ## Measure beside Debian's docker-registry, alternating, and print ratios
	@dev/packages bench
	@$(BIN)/python bench/run.py

scale: setup ## Collect 100,000 dead blobs, claim one of 10,000 jobs, and print how long it takes
	@dev/packages test
	@$(BIN)/python dev/scale.py

bench-accounts: setup ## Ask who may what among 100,000 users and 1,000,000 grants, and print how long it takes
	@dev/packages test
	@$(BIN)/python dev/bench_accounts.py

bench-ldap: setup ## Sync 50,000 users of an OpenLDAP and 2,000 of a Samba domain, and print how long it takes
	@dev/packages test-long
	@$(BIN)/python dev/bench_ldap.py

demo: setup ## Start a throw-away registry, push and pull a real image, and tell what happened
	@dev/packages demo
	@$(BIN)/python demo/run.py

migration: $(VENV)/.made ## Write a migration from the tables: make migration NAME="what changes"
	@PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python dev/migration.py "$(NAME)"

lock: $(VENV)/.made ## Choose dependency versions anew and write both lock files
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@for lock in "requirements.lock build" "requirements-dev.lock dev"; do set -- $$lock; \
	  $(BIN)/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet \
	  -o $$1 --group $$2 pyproject.toml; done

clean: ## Remove the virtual environment and caches, never ./data
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
