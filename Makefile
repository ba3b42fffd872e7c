# make simulate   installs into .venv, trains the default study, says where the report is
# make try        a coordinator and two hospitals on this machine, with phantoms
# make test       installs what the tests need and runs them
# make test-slow  the tests that need minutes each: Ray clusters, flwr run
# make lint       ruff, formatting, types
# make wheel      builds the wheel, installs it apart and starts it in another directory
# make bundle     what machines without a network install from: dist/fedvox-*.tar, signed
# make chaos      a consortium that is harmed in every way: some 60 cases, a quarter of an hour
# make bench      all benchmarks, or one: make bench BENCH=engine

PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
BENCH ?= all
KEY ?= $(HOME)/.config/fedvox/release.key
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

export FLWR_TELEMETRY_ENABLED := 0
export FLWR_DISABLE_UPDATE_CHECK := 1
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: simulate try test test-slow lint wheel bundle bench clean

simulate: $(VENV)/installed
	$(BIN)/fedvox simulate --baselines $(ARGS)

try: $(VENV)/installed
	$(BIN)/fedvox try $(ARGS)

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow" $(ARGS)

test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p fedvox.common -p fedvox.client -p fedvox.server -p fedvox.simulations

wheel: $(VENV)/installed-dev
	tests/wheel.sh $(BIN)/python

bundle: $(VENV)/installed-dev
	deploy/bundle.sh $(BIN)/python dist $(KEY)

chaos: $(VENV)/installed-dev
	PYTHONPATH=tests/support $(BIN)/python tests/chaos/run.py $(ARGS)

bench: $(VENV)/installed
	$(BIN)/python -m fedvox.simulations.bench $(BENCH)

# The list of packages is part of the stamp: when it changes, pip looks again.
$(VENV)/installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; install Python 3.11 or newer" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV); the first time this takes a minute or two"
	@$(PIP) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@$(PIP) --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
