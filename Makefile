# Every target installs what it needs. `make demo` and `make test` work on a fresh clone.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
export UV ?= $(shell scripts/find-uv)
RUN := .venv/bin
# Test processes side by side; a test is short and mostly waits.
WORKERS ?= 3

.PHONY: help demo test lint format bench docs clean
help: ## what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

.venv/installed: pyproject.toml uv.lock scripts/find-uv
	$(UV) sync --quiet --frozen --all-groups --all-extras
	@touch $@

demo: .venv/installed ## two real analyses through the embedded local cluster
	@scripts/install-system Rscript=r-base-core
	@scripts/demo

test: .venv/installed ## every test but those of clusters
	@scripts/install-system Rscript=r-base-core initdb=postgresql setpriv=util-linux
	$(RUN)/pytest -n $(WORKERS) --dist worksteal -q

lint: .venv/installed ## formatting, rules, types, layering
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/lint-imports

format: .venv/installed ## let ruff write
	$(RUN)/ruff check --fix-only --quiet .
	$(RUN)/ruff format .

bench: .venv/installed ## timings side by side with peers; see docs/explanation/benchmarks.md
	@scripts/install-system Rscript=r-base-core rsync=rsync
	$(RUN)/python benchmarks/run.py

docs: .venv/installed ## the documentation, into docs/_build/html
	$(RUN)/sphinx-build --fail-on-warning --keep-going --nitpicky -q -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

clean: ## forget what was installed and built here
	rm -rf .venv docs/_build demo-results .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
