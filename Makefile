# Every target installs its own dependencies; `make` alone lists the targets.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# More than the two cores of a CI job, since many tests wait for a pod or a server.
JOBS   ?= 3
LOCK   := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command 'make lock'

.DEFAULT_GOAL := help
.PHONY: help venv demo test soak check fmt lint types imports docs-test fast bench bench-mirror image lock clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/.ready ## Create the virtual environment with all dependencies

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: venv ## Run a demo on an embedded cluster and an embedded S3 server
	@$(BIN)/python -m docs.demo

test: venv ## Run all tests; starts a real API server and a real S3 server
	$(BIN)/python -m tests.controlplane build > /dev/null
	$(BIN)/python -m tests.s3 build > /dev/null
	$(BIN)/python -m pytest -n $(JOBS) --dist=worksteal --cov --cov-report=
	$(BIN)/coverage report --include='reconcile/core/*,reconcile/engine/*' --fail-under=100
	$(BIN)/coverage report --include='reconcile/mirror/*' --fail-under=95

soak: venv ## Kill the mirror and a session's pods at POINTS=1000 random points each (SEED=n repeats a run), store 1,000,000 files, fail a tenth of 100,000 requests
	$(BIN)/python -m tests.s3 build > /dev/null
	$(BIN)/python -m tests.mirror.faults.round_trip
	$(BIN)/python -m tests.mirror.faults.million_files
	$(BIN)/python -m tests.mirror.faults.unreliable $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.mirror.faults.soak --points $(or $(POINTS),1000) $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.runner.faults.soak --points $(or $(POINTS),1000) $(if $(SEED),--seed $(SEED))

fast: venv ## Run the tests that need no real server
	$(BIN)/python -m pytest -m 'not cluster and not s3'

check: fmt-check lint types imports docs-test ## Check style, types, layers and docs

fmt: venv ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fmt-check: venv
	$(BIN)/ruff format --check .

lint: venv
	$(BIN)/ruff check .

types: venv
	$(BIN)/mypy

imports: venv
	$(BIN)/lint-imports

docs-test: venv
	$(BIN)/python -m pytest -q tests/docs

bench: venv ## Print the performance tables of the README (real API server, takes minutes)
	$(BIN)/python -m tests.controlplane build > /dev/null
	@# A missed target fails the command, but only after all tables are printed.
	@failed=0; \
	$(BIN)/python -m bench || failed=1; \
	$(BIN)/python -m bench runner || failed=1; \
	exit $$failed

bench-mirror: venv ## Compare the mirror with rclone, s5cmd, restic and awscli (takes two hours)
	@# A missed target fails the command, but only after all tables are printed.
	@failed=0; \
	$(BIN)/python -m bench ending || failed=1; \
	$(BIN)/python -m bench mirror --server ceph --latency 0 --only W1,W2 --times 2 --rivals "rclone fastest,s5cmd,restic" || failed=1; \
	$(BIN)/python -m bench mirror --server ceph --latency 0 --only W3,W5 --times 5 --rivals "rclone fastest,s5cmd" || failed=1; \
	$(BIN)/python -m bench mirror --server ceph --latency 20 --only W1,W2 --times 1 || failed=1; \
	$(BIN)/python -m bench mirror || failed=1; \
	exit $$failed

image: ## Build the container image with buildah
	buildah bud --file Containerfile --tag reconcile:$$($(PYTHON) -c 'import tomllib; print(tomllib.load(open("pyproject.toml","rb"))["project"]["version"])') .

lock: venv ## Update requirements.txt and requirements-build.txt, the pinned dependencies of the image and the Action
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile $(LOCK) --output-file requirements.txt pyproject.toml
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
	  | $(BIN)/uv pip compile $(LOCK) --output-file requirements-build.txt -

clean: ## Remove files created by the targets in this directory (not the caches outside)
	rm -rf $(VENV) .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
