# Everything a fresh clone needs: `make reproduce`, `make test`, `make check`.
# Set-up is done once and again only when pyproject.toml or the constraints change.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ARGS   ?=
PIP_TORCH ?=

# Node comes with the development tools, so that it need not be there.
NPM    := PATH="$(abspath $(BIN)):$$PATH" npm --prefix web
WEB    := src/nucleate/views/web/index.html
# npm writes this file last, also where the build of the package has called it.
NODE_MODULES := web/node_modules/.package-lock.json

.PHONY: reproduce test test-slow check format setup web clean

reproduce: $(VENV)/.ready
	$(BIN)/nucleate reproduce $(ARGS)

test: $(VENV)/.ready-dev $(WEB)
	$(NPM) test
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile -m "not slow" $(ARGS)

test-slow: $(VENV)/.ready-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow $(ARGS)

check: $(VENV)/.ready-dev $(NODE_MODULES)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(NPM) run check

format: $(VENV)/.ready-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

setup: $(VENV)/.ready-dev

web: $(WEB)

# What `pip install` does by itself where the built files are missing or old.
$(WEB): $(shell find web/src web/*.* -type f) | $(NODE_MODULES)
	$(NPM) run build

$(NODE_MODULES): web/package-lock.json | $(VENV)/.ready-dev
	$(NPM) ci --no-audit --no-fund
	touch $@

# torch first and by itself: asked for as a dependency, pip may take a CUDA build of gigabytes.
$(VENV)/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet "pip>=25.1"
	$(BIN)/pip install --quiet $(PIP_TORCH) -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(BIN)/pip install --quiet -c constraints.txt --group dev
	touch $@

clean:
	rm -rf $(VENV) web/node_modules src/nucleate/views/web .mypy_cache .ruff_cache .pytest_cache .hypothesis
