# Each target does its own set-up; on Debian and Raspberry Pi OS that includes the system packages.
.PHONY: setup demo test test-hardware test-network check bench clean
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
comma := ,

# $(call need,PACKAGES,TEST): install Debian packages unless TEST succeeds.
need = { $(2); } >/dev/null 2>&1 || { \
	if [ "$$(id -u)" = 0 ]; then as_root=; elif command -v sudo >/dev/null; then as_root=sudo; \
	else echo "This needs root once. Run: apt-get install -y --no-install-recommends $(1)"; exit 1; fi; \
	$$as_root apt-get update -q && \
	DEBIAN_FRONTEND=noninteractive $$as_root apt-get install -y -q --no-install-recommends $(1); }

# evdev comes as source: a compiler, the kernel's headers and Python's.
can_build = command -v gcc && test -e /usr/include/linux/input.h && \
	$(PYTHON) -c 'import os$(comma) sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")'

# Each test run and bench starts a server of its own; Debian puts the programs where no PATH looks.
can_serve = command -v initdb || ls /usr/lib/postgresql/*/bin/initdb

setup: .venv/.ready

.venv/.ready: pyproject.toml
	@$(call need,python3 python3-venv,$(PYTHON) -c 'import ensurepip$(comma) venv')
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Brama needs Python 3.11 or newer; name one with make PYTHON=/path/to/python3"; exit 1; }
	@$(call need,gcc libc6-dev python3-dev,$(call can_build))
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
	@$(call need,libxkbcommon0,$(BIN)/python -c 'import ctypes; ctypes.CDLL("libxkbcommon.so.0")')
	@$(call need,libzbar0,$(BIN)/python -c 'import ctypes; ctypes.CDLL("libzbar.so.0")')
	@$(call need,postgresql,$(call can_serve))
	$(BIN)/pytest -n auto

# The emulators, and what the machine in them is built with; some lie where a plain user's PATH does not look.
HARDWARE := qemu-system-x86 qemu-system-arm mmdebstrap uidmap gcc make kmod e2fsprogs libelf1 libxkbcommon0
can_emulate = PATH=$$PATH:/usr/sbin:/sbin; which qemu-system-x86_64 qemu-system-aarch64 mmdebstrap newuidmap gcc make \
	modprobe mke2fs setpriv && ldconfig -p | grep libelf.so.1 && ldconfig -p | grep libxkbcommon.so.0

test-hardware: setup
	@$(call need,$(HARDWARE),$(call can_emulate))
	$(BIN)/python -m tests.hardware.build
	$(BIN)/pytest -n 2 -m hardware tests/hardware $(ARGS)

# Gate and central through two hundred random schedules of a hostile network.
test-network: setup
	BRAMA_SCHEDULES=200 $(BIN)/pytest -n auto tests/sync/test_converge.py

bench: setup
	@$(call need,postgresql,$(call can_serve))
	$(BIN)/python -m bench $(ARGS)

clean:
	rm -rf .venv brama-demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

