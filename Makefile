# What people do with MetaPulse. Needs GNU make, a POSIX shell and Python 3.11 to 3.14; everything else lands in .venv.
# Installs go through pip, which honours the package index that the user's own configuration names.

.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# The first of these that fits makes .venv; `make run PYTHON=/path/to/python` names one.
PYTHON := python3.11 python3 python3.12 python3.13 python3.14
PIP := $(BIN)/python -m pip --disable-pip-version-check install --progress-bar off -q
COMPILE := pip compile -q --universal --no-emit-index-url --no-header pyproject.toml

# A checkout that was moved has a .venv full of paths that are gone.
MOVED := $(shell test "`cat $(VENV)/.root 2>/dev/null`" = "$(CURDIR)" || echo moved)
NO_ENV := $(if $(wildcard .env),,no-env)

.PHONY: help run up test bench lint lock moved no-env

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.set-up ## fetch the market once, compute everything, print the signals [MODE=live]
	@exec $(BIN)/metapulse run $(if $(MODE),--mode $(MODE))

up: $(VENV)/.set-up ## the same, then stay: pages, schedules; Ctrl-C stops it all [MODE=live]
	@exec $(BIN)/metapulse up $(if $(MODE),--mode $(MODE))

test: $(VENV)/.installed-dev ## run the test suite
	@exec $(BIN)/python -m pytest -n 4 --dist worksteal

bench: $(VENV)/.installed-dev ## measure, write docs/benchmarks.md [ONLY=tick]
	@exec $(BIN)/python -m metapulse_assets_tests.benchmarks $(ONLY)

lint: $(VENV)/.installed-dev ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

lock: $(VENV)/.root ## pin the dependencies of pyproject.toml anew
	@command -v uv >/dev/null || $(PIP) uv
	PATH="$$PATH:$(CURDIR)/$(BIN)" uv $(COMPILE) --upgrade -o requirements.lock
	PATH="$$PATH:$(CURDIR)/$(BIN)" uv $(COMPILE) --upgrade --extra dev -c requirements.lock -o requirements-dev.lock

$(VENV)/.root: $(MOVED)
	@for python in $(PYTHON); do \
	  "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' 2>/dev/null && break; \
	  python=; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "MetaPulse needs Python 3.11, 3.12, 3.13 or 3.14; none of these is one: $(PYTHON)" >&2; exit 1; \
	fi; \
	echo "making $(VENV) with $$("$$python" --version) …"; \
	rm -rf $(VENV); \
	"$$python" -m venv $(VENV) || { rm -rf $(VENV); echo "(on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@printf '%s' "$(CURDIR)" > $@

$(VENV)/.installed: $(VENV)/.root requirements.lock pyproject.toml
	@echo "installing $$(grep -c '^[a-z].*==' requirements.lock) packages, about 2 minutes …"
	@$(PIP) -r requirements.lock
	@$(PIP) --no-deps -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.root requirements-dev.lock pyproject.toml
	@echo "installing $$(grep -c '^[a-z].*==' requirements-dev.lock) packages, test tools included, about 3 minutes …"
	@$(PIP) -r requirements-dev.lock
	@$(PIP) --no-deps -e .
	@touch $(VENV)/.installed $@

$(VENV)/.set-up: $(VENV)/.installed $(NO_ENV)
	@$(BIN)/metapulse setup
	@touch $@
