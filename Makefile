# Two commands: `make demo` and `make test`. Both make `.venv` first, from requirements.lock alone.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help environment demo test test-slow lint docs lock results starter bench bench-peers clean

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
  $$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
  2>/dev/null && { echo $$p; break; }; done)
# Named by a digest of what defines it: a change makes another one, and .venv is a link to the last.
ENVIRONMENT := $(shell cat requirements.lock pyproject.toml | sha256sum | cut -c 1-12)
BIN := .venvs/$(ENVIRONMENT)/bin
# The environment's programs come first: tests start `dvc` and `unmask` by name.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1

help:
	@echo "make demo         render the demo data set, run every stage, print the results"
	@echo "make test         ruff, mypy, import-linter and pytest without the slow tests"
	@echo "make test-slow    the slow tests"
	@echo "make lint         ruff, mypy and import-linter alone"
	@echo "make docs         the documentation as a site: build/site/index.html"
	@echo "make environment  the Python environment alone: .venv, from requirements.lock"
	@echo "make results      the table of docs/demo.md, three seeds (half an hour)"
	@echo "make starter      train on real faces and published fakes, say whether that may ship"
	@echo "make bench        run every benchmark, write docs/performance.md"
	@echo "make bench-peers  install PyTorch in .venv-peers, run the benchmarks against it"
	@echo "make lock         write requirements.lock from pyproject.toml (needs uv)"
	@echo "make clean        remove the environments, all results and the feature store"

environment:
	@.ci/environment $(ENVIRONMENT) "$(PYTHON)"

demo: environment
	@$(BIN)/dvc repro --quiet
	@$(BIN)/unmask results artifacts/reports

lint: environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Warnings (a broken link, a page in no list, a picture that is not there) are errors.
docs: environment
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --builder html docs build/site
	@echo "build/site/index.html"

# One thread per test process: two processes with two threads each would wait for each other.
test test-slow: export OMP_NUM_THREADS := 1
test test-slow: export OPENBLAS_NUM_THREADS := 1
test test-slow: export TF_NUM_INTRAOP_THREADS := 1
PYTEST := $(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder
test: lint
	$(PYTEST) -m "not slow"

test-slow: environment
	$(PYTEST) -m slow

results: environment
	@$(BIN)/dvc repro --quiet
	@$(BIN)/python benchmarks/results.py --page docs/demo.md

starter: environment
	$(BIN)/python benchmarks/starter.py

bench: environment
	$(BIN)/python benchmarks/all.py docs/performance.md

# PyTorch for comparison, in an environment of its own: unmask does not use it.
.venv-peers/installed:
	$(PYTHON) -m venv --clear .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check \
	  torch torchvision opencv-python-headless
	@touch $@

bench-peers: environment .venv-peers/installed
	$(BIN)/python benchmarks/backbone.py
	$(BIN)/python benchmarks/extract_peers.py
	$(BIN)/python benchmarks/train.py

lock:
	uv pip compile pyproject.toml --universal --python-version 3.11 --extra ffmpeg --extra pipeline \
	  --extra openvino --extra int8 --extra app --extra provenance --extra ray --extra docs --extra dev --generate-hashes --no-emit-index-url --no-emit-find-links --quiet \
	  --custom-compile-command "make lock" --output-file requirements.lock

clean:
	rm -rf .venv .venv.new .venvs .venv-peers artifacts build .unmask
