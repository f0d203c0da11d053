# Needs only Python >= 3.11 with pip, and make.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Processes of the tests; each has a system of its own.
JOBS ?= 2

.PHONY: help venv demo up test test-fast test-unit test-integration test-system check docs docs-serve reference bench fuzz sbom audit lock clean format

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(VENV)/.run: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Towpath needs Python 3.11 or newer; set PYTHON=/path/to/python"; exit 1; }
	@echo "Installing $$(grep -c '^[a-z].*==' requirements.lock) packages into $(VENV) (about 2 GB on disk; 2 to 5 minutes, more on a slow line) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) --no-deps --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	@echo "Installing what tests and checks need besides (about 400 MB; a minute or two) ..."
	@$(PIP) --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

venv: $(VENV)/.dev ## Create the virtual environment with everything

demo: $(VENV)/.run ## Find the duplicates among 5,000 people while workers are killed
	$(BIN)/towpath demo

up: $(VENV)/.run ## Start the stack and keep it running; Ctrl-C stops it
	$(BIN)/towpath up

test: $(VENV)/.dev ## Run every test against real parts
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

test-fast: $(VENV)/.dev ## Run the unit tests, which start nothing, in under a minute
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal tests/unit

test-unit: test-fast ## Do the same as test-fast

test-integration: $(VENV)/.dev ## Run the tests that need a part: Postgres, Temporal, Chroma, a child process
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile tests/integration

test-system: $(VENV)/.dev ## Run the tests against the whole running system, and those in a browser
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile tests/system

check: $(VENV)/.dev ## Lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev ## Build the documentation site into build/site; fails on a broken link
	$(BIN)/python -m docs.generate --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-serve: $(VENV)/.dev ## Serve the documentation on port 8001 and rebuild it on changes
	$(BIN)/mkdocs serve --dev-addr 127.0.0.1:8001

reference: $(VENV)/.dev ## Regenerate the reference pages
	$(BIN)/python -m docs.generate

bench: $(VENV)/.dev ## Run the benchmarks; one line of JSON per figure
	$(BIN)/python -m bench.matching
	$(BIN)/python -m bench.batch
	$(BIN)/python -m bench.vectors
	$(BIN)/python -m bench.enrichment
	$(BIN)/python -m bench.cache
	$(BIN)/python -m bench.batches
	$(BIN)/python -m bench.webhooks
	$(BIN)/python -m bench.ai
	$(BIN)/python -m bench.extraction
	$(BIN)/python -m bench.job_list
	$(BIN)/python -m bench.neighbours

fuzz: $(VENV)/.dev ## Fuzz every operation of the API with schemathesis; about 3 minutes
	$(BIN)/python -m tests.fuzz.run

sbom: $(VENV)/.dev ## Write dist/towpath.cdx.json: the pinned packages with their hashes, as CycloneDX
	@mkdir -p dist
	$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible -o dist/towpath.cdx.json

audit: $(VENV)/.dev ## Check the pinned packages against public advisories; needs the network
	$(BIN)/python deploy/audit.py

# What the locks have in common: every platform and Python, hashes, no address of an index.
COMPILE = $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header --no-annotate --quiet

lock: ## Pin compatible versions with hashes; pinned ones stay, so delete a lock to get the newest
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	$(COMPILE) --extra all --extra demo --group build -o requirements.lock
	$(COMPILE) --extra documents --extra charts --group build -c requirements.lock -o requirements-server.lock
	$(COMPILE) --extra all --extra demo --extra bench --group dev --group build -c requirements.lock \
		-o requirements-dev.lock
	@for lock in requirements.lock requirements-server.lock requirements-dev.lock; do \
		awk '/^[a-z]/ { keep = !/sys_platform == .never./ } keep' $$lock > $$lock.new && mv $$lock.new $$lock; done

clean: ## Remove the virtual environment and caches; TOWPATH_HOME stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
