# Every door for people who work on the project. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin
CODE := workbench finetune evals tests $(wildcard scripts/*.py) $(wildcard benchmarks/*.py)

.PHONY: help setup demo test lab check format clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup:  ## make .venv with the pinned dependencies; quick when nothing changed
	@scripts/setup.sh

demo: setup  ## the main job: an X/Y grid on the embedded model, with the files it wrote
	@$(BIN)/python -m workbench.demo

test: setup  ## the whole test suite
	@scripts/test.sh

lab: setup  ## JupyterLab on the first notebook, on this machine only
	@$(BIN)/jupyter lab --ServerApp.ip=127.0.0.1 notebooks/01_generate.ipynb

check: setup  ## formatter, linter, strict types, import contract, notebooks stripped
	@$(BIN)/ruff format --check --quiet $(CODE) || { echo "Run 'make format'." >&2; exit 1; }
	@$(BIN)/ruff check --quiet $(CODE)
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo > .venv/lint-imports.log || { cat .venv/lint-imports.log >&2; exit 1; }
	@$(BIN)/nbstripout --keep-id --verify $(wildcard notebooks/*.ipynb)
	@echo "All checks passed."

format: setup  ## format code, sort imports, strip notebooks
	@$(BIN)/ruff check --quiet --select I --fix $(CODE)
	@$(BIN)/ruff format --quiet $(CODE)
	@$(BIN)/nbstripout --keep-id $(wildcard notebooks/*.ipynb)

clean:  ## remove .venv, caches and build products
	@rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
