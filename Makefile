# Everything here works from a fresh clone. Nothing but `make test` asks for root, and it goes on without.
#   make rehearse   a whole practice ceremony in this terminal
#   make test       all tests          make lint    style, types and floors
#   make bench      ratios against peers, measured in one run
#   make fuzz       hostile input at every door, for ten minutes of CPU
#   make faults     a ceremony cut at every system call and every token call, for an hour of CPU; make -j2 faults halves it
#   make kit        a folder for a stick, for machines without a network, in dist/
#   make image      a live system that boots into Vestry, in dist/; image-test starts it in QEMU
#   make lock       resolve the dependencies anew and write requirements/*.lock

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help rehearse test lint bench fuzz faults faults-tampering faults-software faults-softhsm kit image image-test lock system clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
SYSTEM := softhsm2 tmux gcc python3-venv pcscd vsmartcard-vpcd ykcs11 yubico-piv-tool yubikey-manager libnss3 libnss3-tools chromium poppler-utils dosfstools gnupg fuse3 fusefat fuseiso xorriso
WORKERS ?= auto
TUF_JS := tests/clients/tuf_js

help:
	@sed -n '2,9s/^#   /  /p' Makefile

# The environment, from nothing. Debian ships Python without ensurepip, so this is the one step that may need a package.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "vestry needs Python 3.11 or newer: sudo apt-get install python3 python3-venv, or make PYTHON=python3.x" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "python3 cannot make a virtual environment yet: sudo apt-get install python3-venv" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)

# One stamp a lock file: a second run finds nothing to do.
$(VENV)/.runtime: requirements/runtime.lock requirements/build.lock | $(BIN)/pip
	@echo "preparing $(VENV), once: every package checked against its hash" >&2
	@$(PIP) -r requirements/build.lock -r requirements/runtime.lock
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.runtime
	@$(PIP) -r requirements/dev.lock
	@touch $@

# Editable, so that the environment always runs this checkout; all it needs is installed by then, so no index is asked.
$(VENV)/.vestry: pyproject.toml $(VENV)/.runtime
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation --editable .
	@touch $@

rehearse: $(VENV)/.vestry
	@$(BIN)/vestry rehearse

system:
	@missing=""; \
	packages="$(SYSTEM)"; command -v npm >/dev/null || { missing=" npm"; packages+=" nodejs npm"; }; \
	for tool in softhsm2-util tmux gcc yubico-piv-tool ykman certutil chromium pdftotext mkfs.vfat gpg fusermount fusefat fuseiso xorriso; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	for file in /usr/sbin/pcscd /usr/lib/pcsc/drivers/serial/libifdvpcd.so /usr/lib/*/libykcs11.so.2 /usr/lib/*/libsoftokn3.so; do \
	  [[ -e $$file ]] || missing="$$missing $$file"; \
	done; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || [[ -x $(BIN)/pip ]] || missing="$$missing python3-venv"; \
	if [[ -z "$$missing" ]]; then exit 0; fi; \
	if [[ $$(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$packages; } \
	    || echo "apt-get failed; some tests will be skipped" >&2; \
	else \
	  echo "some tests will be skipped; for all of them: sudo apt-get install $$packages" >&2; \
	fi

# Other systems' own programs, for tests alone, apart from everything that Vestry runs on.
$(VENV)/peers/.stamp: requirements/peers.lock $(BIN)/pip
	@$(PYTHON) -m venv $(VENV)/peers
	@$(VENV)/peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/peers.lock
	@touch $@

# Another TUF client, for tests alone; its lock has hashes and no addresses.
$(TUF_JS)/node_modules/.package-lock.json: $(TUF_JS)/package-lock.json
	@cd $(TUF_JS) && npm ci --ignore-scripts --no-audit --no-fund --loglevel error \
	  || echo "npm ci failed; tests with tuf-js will be skipped" >&2

test: system
	@$(MAKE) --no-print-directory $(VENV)/.dev $(VENV)/.vestry $(VENV)/peers/.stamp $(TUF_JS)/node_modules/.package-lock.json
	@folder=$$(mktemp -d "$(ROOM)/vestry-tests.XXXXXX"); trap 'rm -rf "$$folder"' EXIT; \
	  $(BIN)/pytest -n $(WORKERS) --basetemp "$$folder/t"

# Tests sync thousands of files: in memory, where there is room and programs may run, they do not wait for the disk.
ROOM = $(shell set -- $$(findmnt -nbo AVAIL,OPTIONS /dev/shm 2>/dev/null); \
	[ "$${1:-0}" -gt 4000000000 ] && [ -w /dev/shm ] && [[ "$$2" != *noexec* ]] && echo /dev/shm || echo "$${TMPDIR:-/tmp}")

lint: $(VENV)/.dev $(VENV)/.vestry
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

bench: $(VENV)/.vestry
	@for part in benchmarks/bench_*.py; do $(BIN)/python $$part || exit 1; done

FUZZ ?= 600
fuzz: $(VENV)/.dev $(VENV)/.vestry
	$(BIN)/python tests/fuzz/fuzz.py $(FUZZ)

# docs/faults.md says what these are, and what the last whole run found. Each prints a JSON line a kind.
faults: faults-tampering faults-software faults-softhsm
faults-tampering: $(VENV)/.dev $(VENV)/.vestry
	EVERY_VALUE=1 $(BIN)/pytest -q -n $(WORKERS) tests/ceremony/test_tampering.py
faults-software: $(VENV)/.dev $(VENV)/.vestry
	$(FAULTY) --tokens software stop stop-twice fail:ENOSPC fail:EIO fail-on:EROFS
faults-softhsm: $(VENV)/.dev $(VENV)/.vestry
	$(FAULTY) --tokens softhsm stop death
FAULTY = PYTHONPATH=tests $(BIN)/python tests/faults/driver.py --work "$(ROOM)"

kit: $(VENV)/.dev $(VENV)/.vestry
	@$(BIN)/python kit/build.py

# From Debian's archive as this machine has it; make image SNAPSHOT=20261101T000000Z takes that day's, as anyone can.
IMAGE_TOOLS := debian-archive-keyring faketime grub-common grub-efi-amd64-bin grub-pc-bin mmdebstrap mtools squashfs-tools uidmap xorriso
image: $(VENV)/.dev $(VENV)/.vestry
	@$(call tools,mmdebstrap mksquashfs faketime grub-mkrescue xorriso mformat,$(IMAGE_TOOLS))
	@$(BIN)/python kit/image.py $(if $(SNAPSHOT),--snapshot $(SNAPSHOT))

image-test: $(VENV)/.dev $(VENV)/.vestry
	@$(call tools,qemu-system-x86_64 mformat,qemu-system-x86 mtools)
	$(BIN)/pytest -v -s -n 0 tests/image/boot.py

# $(1) programs, $(2) the packages that bring them: installed where that is allowed, else named.
tools = for tool in $(1); do command -v $$tool >/dev/null && continue; \
	  if [[ $$(id -u) -eq 0 ]]; then apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2); break; \
	  else echo "$$tool is missing: sudo apt-get install $(2)" >&2; exit 2; fi; \
	done

# Hashes of every file of each release, for any platform and Python from 3.11 on; no address of any index.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --no-annotate $(LOCK_OPTIONS)

lock: $(VENV)/.dev
	$(LOCK) --group pyproject.toml:build -o requirements/build.lock
	$(LOCK) --group pyproject.toml:installer -o requirements/installer.lock
	$(LOCK) pyproject.toml -o requirements/runtime.lock
	$(LOCK) pyproject.toml --extra scan -c requirements/runtime.lock -o requirements/scan.lock
	$(LOCK) pyproject.toml --group pyproject.toml:dev -o requirements/dev.lock
	$(LOCK) --group pyproject.toml:peers -o requirements/peers.lock

clean:
	rm -rf $(VENV) $(TUF_JS)/node_modules build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
