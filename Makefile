# The few commands of this project, the same for people and for CI. `make help` lists them.
# Python and make are all that is needed; everything else comes from the lock file.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
BUILT := $(VENV)/.built
BUILDING := $(VENV)/.building

.DEFAULT_GOAL := help
.PHONY: help run build test test-unit test-browser test-engine test-images test-faults image scan lint schema docs pictures clients movies-client bench clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22

# `exec`: no shell between make and the launcher, so that signals reach it.
run: build ## start everything, and print where it is
	@exec $(PY) -m devstack.launcher

build: $(BUILT) ## set up without running

# Loads all code once, so that its bytecode is there for the first start. What may be wrong, that start says.
LOAD = env PYTHONDONTWRITEBYTECODE= DEBUG=true SECRET_KEY=for-loading-only DATABASE_URL=postgresql://127.0.0.1/nothing-connects $(PY) manage.py check

# A build that was interrupted leaves $(BUILDING) behind, and is started over. What is installed is what uv.lock says, and
# nothing else decides it: an edit of pyproject.toml installs nothing into the $(VENV) that a running system uses.
$(BUILT): uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "lockstep: Python 3.11 or newer is needed, and \`$(PYTHON)\` is not. Name another:  make $(or $(firstword $(MAKECMDGOALS)),run) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "lockstep: this Python lacks venv. Install it (Debian, Ubuntu: apt install python3-venv) or name another:  make run PYTHON=…" >&2; exit 1; }
	@if [ -e $(BUILDING) ]; then echo "Starting an interrupted build over."; rm -rf $(VENV); fi
	@echo "Installing what uv.lock names into $(VENV) …"
	@mkdir -p $(VENV) && touch $(BUILDING)
	@$(PYTHON) -B -m devstack.launcher.install
	@$(LOAD) >/dev/null 2>&1 || true
	@rm -f $(BUILDING) && touch $(BUILT)

# Side by side, with a PostgreSQL for each process. Tests wait more than they compute: more processes than two cores.
TEST_SERVERS ?= 3
PYTEST = $(PY) -m devstack.launcher exec --test-servers $(TEST_SERVERS) -- $(PY) -m pytest -n auto --dist worksteal
ENGINE = $(PY) -m devstack.launcher exec --test-servers $(TEST_SERVERS) -- $(PY) -m devstack.engine
# Tests start many Python processes: bytecode is written, even if the environment disables it.
test test-unit test-browser test-engine test-faults test-images: export PYTHONDONTWRITEBYTECODE =
test test-unit test-browser test-engine test-faults test-images: export PYTHONPYCACHEPREFIX = $(abspath .lockstep/bytecode)
test: build ## the whole suite but for browser, images and the long fault runs, on throwaway PostgreSQLs
	@exec $(PYTEST) -m "not browser and not faults and not images" $(ARGS)

test-unit: build ## the quick part: what lies beside the code that it tests
	@exec $(PYTEST) -m "not slow and not faults" lockstep backend devstack $(ARGS)

# In one process: they share a running system, which waits for one page at a time.
test-browser: build ## the pages, opened in Chromium
	@exec $(PY) -m devstack.launcher exec --test-servers 1 -- $(PY) -m pytest -m browser tests/browser $(ARGS)

test-images: build ## what is in deploy/: checked, built and run with podman
	@$(PY) -m devstack.launcher.install deploy
	@exec $(PY) -m devstack.launcher exec --test-servers 2 -- $(PY) -m pytest -n 2 --dist loadscope -m "images and not faults" tests/images $(ARGS)

test-engine: build ## the engine's own tests, from its wheel in fresh environments
	@exec $(ENGINE) $(VERSIONS) -- $(ARGS)

# Where ARGS select tests of one of the two alone, pytest ends with 5 for the other.
test-faults: build ## the long fault runs
	@$(PYTEST) -m "faults and not images" $(ARGS) || [ $$? = 5 ]
	@exec $(ENGINE) --long $(VERSIONS) -- $(ARGS)

# The types of Django's models come from importing the settings, which refuse to be without these; nothing connects.
lint schema: export SECRET_KEY = for-the-type-checker-only
lint schema: export DEBUG = true
lint schema: export DATABASE_URL = postgresql://127.0.0.1/nothing-connects
# Every tool runs, whatever the others found. uv is asked without the user's mirrors, which uv.lock does not name.
lint: build ## style, types, direction of dependencies
	@failed=; lint() { "$$@" || failed="$$failed  $$*\n"; }; \
	lint $(PY) -m ruff check .; \
	lint $(PY) -m ruff format --check .; \
	lint $(PY) -m mypy; \
	lint $(VENV)/bin/lint-imports; \
	lint $(PY) -m devstack.words; \
	lint env -u UV_DEFAULT_INDEX -u UV_INDEX_URL $(PY) -m uv lock --check --offline --no-config --quiet; \
	[ -z "$$failed" ] || { printf "lint: these failed:\n$$failed" >&2; exit 1; }

schema: build ## write docs/openapi.yaml, docs/problems.md and docs/states.md anew, from the code
	@$(PY) manage.py spectacular --file docs/openapi.yaml --validate --fail-on-warn
	@$(PY) -c 'import backend.entities.problems; from lockstep.rest.problems import as_markdown; print(as_markdown(), end="")' > docs/problems.md
	@$(PY) -c 'from backend.shop.states.diagrams import as_markdown; print(as_markdown(), end="")' > docs/states.md

docs: build ## the documents as a site, to be read without a network
	@$(PY) -m devstack.launcher.install docs
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet
	@echo "Open $(abspath .lockstep/site/index.html)"

pictures: build ## make the pictures of the documents anew, from the running system, with chromium
	@exec env DOCUMENT_PICTURES=docs/pictures $(PY) -m devstack.launcher exec --test-servers 1 -- $(PY) -m pytest -q tests/browser/test_pictures.py $(ARGS)

clients: build ## generate clients/python and clients/typescript from docs/openapi.yaml
	@$(PY) -m devstack.clients $(ARGS)

NOVEMBER7 := backend/providers/november7
movies-client: build ## make the client of the movies' provider anew, from its openapi.yaml
	@PATH="$(abspath $(VENV)/bin):$$PATH" openapi-python-client generate --meta none --overwrite \
	  --path $(NOVEMBER7)/openapi.yaml --config $(NOVEMBER7)/generate.yaml --output-path $(NOVEMBER7)/generated

image: ## build the image lockstep:local, with docker, podman or buildah
	@$(PYTHON) -B deploy/image.py

scan: ## look for severe vulnerabilities in the image that have a fix, with trivy
	@trivy image --exit-code 1 --ignore-unfixed --severity HIGH,CRITICAL --scanners vuln,secret $(or $(IMAGE),lockstep:local)

bench: build ## the side-by-side figures
	@$(PY) -m devstack.launcher.install bench
	@exec $(PY) -m bench $(ARGS)

clean: ## back to a bare clone, data included; not while it is running
	@$(PYTHON) -B -m devstack.launcher.clean
