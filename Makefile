# Every target installs what it needs. `make demo` and `make test` work on a fresh clone.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
export UV ?= $(shell scripts/find-uv)
RUN := .venv/bin
# The distribution's Python is compiled with optimisations that others often lack, which is an eighth of each start.
SYSTEM_PYTHON := $(shell /usr/bin/python3 -c 'import sys; sys.version_info >= (3, 11) and print(sys.executable)' 2>/dev/null)
ifneq ($(SYSTEM_PYTHON),)
export UV_PYTHON ?= $(SYSTEM_PYTHON)
endif
# Some machines tell Python to write no bytecode; then each of a thousand processes compiles what it imports.
unexport PYTHONDONTWRITEBYTECODE
# Test processes side by side; a test is short and mostly waits.
WORKERS ?= 6

.PHONY: help demo test test-kubernetes lock-runner lint format bench bench-arrays bench-kubernetes docs clean
help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

.venv/installed: pyproject.toml uv.lock scripts/find-uv
	$(UV) sync --quiet --frozen --all-groups --all-extras
	@touch $@

demo: .venv/installed ## two real analyses through the embedded local cluster
	@scripts/install-system Rscript=r-base-core
	@scripts/demo

test: .venv/installed ## every test but those of clusters
	@scripts/install-system Rscript=r-base-core initdb=postgresql setpriv=util-linux cc=build-essential \
		busybox=busybox mksh=mksh
	$(RUN)/pytest -n $(WORKERS) --dist worksteal -q

CLUSTER_NEEDS := containerd=containerd runc=runc ctr=containerd nft=nftables ip=iproute2 buildah=buildah \
  debootstrap=debootstrap openssl=openssl gcc='gcc libc6-dev' /usr/lib/cni/ptp=containernetworking-plugins
test-kubernetes: .venv/installed ## tests on a real Kubernetes, made here as root, or the one of KUBECONFIG
	@[ -n "$${KUBECONFIG:-}" ] || scripts/install-system $(CLUSTER_NEEDS)
	$(RUN)/pytest tests/kubernetes -q

lock-runner: .venv/installed ## write what the image of the runner holds, after a change of dependencies
	$(UV) export --quiet --frozen --only-group runner --no-emit-project --no-header \
	  -o deploy/images/runner/requirements.txt

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
	$(RUN)/python -m benchmarks.run

bench-arrays: .venv/installed ## many short tasks beside HyperQueue, GNU parallel and xargs
	@scripts/install-system Rscript=r-base-core parallel=parallel
	$(RUN)/python -m benchmarks.variants

bench-kubernetes: .venv/installed ## timings on a real Kubernetes, made here as root; a quarter of an hour
	@[ -n "$${KUBECONFIG:-}" ] || scripts/install-system $(CLUSTER_NEEDS)
	PYTHONPATH=tests:tests/kubernetes $(RUN)/python -m benchmarks.kubernetes $(WORDS)

docs: .venv/installed ## the documentation, into docs/_build/html
	$(RUN)/sphinx-build --fail-on-warning --keep-going --nitpicky -q -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

clean: ## forget what was installed and built here
	rm -rf .venv docs/_build demo-results .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
