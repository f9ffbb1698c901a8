# Everything a person does with a checkout. Needs python3 (3.11 or newer) and nothing else; uv is used
# when it is there. Each target makes .venv first, and again when pyproject.toml changes.

.DEFAULT_GOAL := help
.PHONY: help demo test check fmt bench proof docs schema-dump clean

PYTHON ?= python3
BIN := .venv/bin
DEMO_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=
PROOF_ARGS ?=
DOCS_ARGS ?=
SQL := $(shell find sql -name '*.sql' ! -name schema.dump.sql 2>/dev/null | sort)

help:
	@echo 'make demo         shows it all at work; DEMO_ARGS="--once --json" is passed on'
	@echo 'make test         the tests; TEST_ARGS="tests/sql -x" is passed on (-n 0: in one process)'
	@echo 'make check        formatting, lint, types, layers, SQL'
	@echo 'make fmt          formats the code'
	@echo 'make bench        the benchmarks; BENCH_ARGS is passed on'
	@echo 'make proof        the invariants under attack, for five minutes; PROOF_ARGS="--minutes 30 --seed 7" is passed on'
	@echo 'make docs         the documents as a site, in site/; DOCS_ARGS=--serve shows it, and what is changed in it'
	@echo 'make schema-dump  writes sql/schema.dump.sql anew'

.venv/.made: pyproject.toml tools/make_venv.sh
	@PYTHON='$(PYTHON)' bash tools/make_venv.sh

demo: .venv/.made
	@$(BIN)/reactor demo $(DEMO_ARGS)

test: .venv/.made
	@$(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist worksteal $(TEST_ARGS)

check: .venv/.made
	@$(BIN)/ruff format --check --quiet . || { echo 'run `make fmt`'; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > .venv/.layers || { cat .venv/.layers; exit 1; }
	@$(BIN)/python tools/check_sql.py
	@$(BIN)/squawk --config .squawk.toml $(SQL)
	@echo 'check: all is well'

fmt: .venv/.made
	@$(BIN)/ruff check --quiet --fix . || true
	@$(BIN)/ruff format --quiet .

bench: .venv/.made
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

proof: .venv/.made
	@$(BIN)/python -m tests.failure $(PROOF_ARGS)

.venv/.docs: .venv/.made
	@PYTHON='$(PYTHON)' bash tools/make_venv.sh docs

docs: .venv/.docs
	@$(BIN)/python tools/docs.py $(DOCS_ARGS)

schema-dump: .venv/.made
	@$(BIN)/python tools/schema_dump.py > .venv/.dump && mv .venv/.dump sql/schema.dump.sql
	@echo 'sql/schema.dump.sql written'

clean:
	rm -rf .venv build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
