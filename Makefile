# The verbs of this project. `make demo` and `make test` need python3, node and make, nothing else.
SHELL := /bin/bash
PY := .venv/bin/python
# Test processes: three for two cores, since a third of their time is spent waiting.
WORKERS ?= 3
SEEDS ?= 50
FUZZ ?= 20
FUZZ_SECONDS ?= 60

.PHONY: setup demo test fast lint locks chaos fuzz bench clean

setup: .venv/.ready node_modules/.ready ## the environment in .venv, and the CDK command line

.venv/.ready: pyproject.toml requirements.txt requirements/*.txt
	python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "python3 must be 3.11 or newer")'
	test -x $(PY) || python3 -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements/test.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

node_modules/.ready: package.json package-lock.json
	npm ci --silent --no-audit --no-fund
	touch $@

demo: setup ## a brain in slices becomes a volume in an emulated AWS; serves it until Ctrl-C
	$(PY) -m demo $(DEMO)

test: setup lint .venv-zarr/.ready ## everything; fast tests first
	$(PY) -m pytest tests/core tests/test_rooms.py -n $(WORKERS) -q
	$(PY) -m pytest tests/deployed tests/docs tests/stack tests/flow tests/field tests/formats tests/fuzz \
	  tests/chaos -n $(WORKERS) -q

.venv-zarr/.ready: requirements/zarr.txt
	test -x .venv-zarr/bin/python || python3 -m venv .venv-zarr
	.venv-zarr/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

fast: setup ## the pure core, in seconds
	$(PY) -m pytest tests/core tests/test_rooms.py -n $(WORKERS) -q

lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

locks: setup .venv-lock/.ready ## the layers' lock files, from requirements/worker.txt and finalize.txt
	$(PY) -m infra.lock .venv-lock/bin/uv

.venv-lock/.ready: requirements/lock.txt
	test -x .venv-lock/bin/python || python3 -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

chaos: setup ## faults, kills and a jumping clock; the volume must be that of a clean run
	$(PY) -m tests.chaos --seeds $(SEEDS)

fuzz: setup .venv-fuzz/.ready ## longer than in `make test`, other examples each time; some minutes
	ZBLOCKS_FUZZ=$(FUZZ) $(PY) -m pytest tests/fuzz -q --timeout 0
	PYTHONPATH=lambdas .venv-fuzz/bin/python -m tests.fuzz.coverage_guided -max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=2048

.venv-fuzz/.ready: requirements/fuzz.txt requirements/worker.txt
	test -x .venv-fuzz/bin/python || python3 -m venv .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

bench: setup .venv-bench/.ready ## this project and its peers on one stack; a quarter of an hour a round
	$(PY) -m benchmarks $(BENCH)
	$(PY) -m benchmarks.planning
	$(PY) -m benchmarks.planning --objects 1000000
	$(PY) -m benchmarks.memory
	$(PY) -m benchmarks.predictions

.venv-bench/.ready: requirements/bench.txt
	test -x .venv-bench/bin/python || python3 -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

clean:
	rm -rf .venv .venv-bench .venv-fuzz .venv-lock .venv-zarr node_modules .cache cdk.out build
