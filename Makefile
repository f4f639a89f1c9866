# Each target does its own set-up; on Debian and Raspberry Pi OS that includes the system packages.
.PHONY: setup demo test check bench clean
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin

# $(call need,PACKAGES,TEST): install Debian packages unless TEST succeeds.
need = $(2) >/dev/null 2>&1 || { \
	if [ "$$(id -u)" = 0 ]; then as_root=; elif command -v sudo >/dev/null; then as_root=sudo; \
	else echo "This needs root once. Run: apt-get install -y --no-install-recommends $(1)"; exit 1; fi; \
	$$as_root apt-get update -q && \
	DEBIAN_FRONTEND=noninteractive $$as_root apt-get install -y -q --no-install-recommends $(1); }

setup: .venv/.ready

.venv/.ready: pyproject.toml
	@$(call need,python3 python3-venv,$(PYTHON) -c 'import ensurepip$(comma) venv')
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Brama needs Python 3.11 or newer; name one with make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: setup
	$(BIN)/brama demo $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup check
	@$(call need,chromium fonts-dejavu-core,command -v chromium)
	$(BIN)/pytest -n auto

bench: setup
	$(BIN)/python -m bench $(ARGS)

clean:
	rm -rf .venv brama-demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

comma := ,
