# Proa: everything runs in a private .venv that these targets make by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.bench-installed
SEEDS ?= 120
FEW ?= 24
MINUTES ?= 10
WORKERS ?= 2

.PHONY: demo test simulate bench soak lint types format lock clean

demo: $(STAMP) ## Lose a region under load, fail over, fail back, and print what it cost
	$(BIN)/proa demo

test: $(STAMP) ## All tests; WORKERS=1 for one after the other
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

simulate: $(STAMP) ## Hundreds of simulated outages of every profile on the standard apps; SEEDS=2000 for more
	$(BIN)/python -m tests.simulation.batches --seeds $(SEEDS) --few $(FEW)

bench: $(BENCH_STAMP) ## Figures beside their peers, into benchmarks/results.json
	$(BIN)/python benchmarks/run.py

soak: $(BENCH_STAMP) ## Ten minutes of load; memory must stay flat. MINUTES=60 for more
	$(BIN)/python benchmarks/soak.py --minutes $(MINUTES) --out benchmarks/soak.json

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/pyright

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(STAMP) ## Resolve the dependencies again into the lock files
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra bench --universal --generate-hashes --no-emit-index-url --no-header --quiet -o requirements-bench.lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Proa needs Python 3.11 or newer; set PYTHON=/path/to/python3.11") if sys.version_info < (3, 11) else 0'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(BENCH_STAMP): requirements-bench.lock $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	@touch $@

clean:
	rm -rf $(VENV) .proa .pytest_cache .ruff_cache .hypothesis
