# make figures   set up, run the default experiment (config.yaml), write its report
# make test      set up, check and test everything, as CI does
# make test-fast lint and the quick tests, in two minutes
# make test-slow what takes too long for every change: a campaign of kills, and tests marked slow
# make schema    write anew what is generated from the code: registered.json and config.schema.yaml
# make setup     the environment alone: .venv, from the locked requirements
#
# CORES=4 make figures, or make figures CONFIG=workflow/experiments/knutsen2025.yaml

PYTHON ?= python3
CORES ?= 2
CONFIG ?= config.yaml

BIN := .venv/bin
STAMP := .venv/installed
EXPERIMENT = $(shell sed -n 's/^experiment: *\([^ #]*\).*/\1/p' $(CONFIG))

.PHONY: setup figures test lint schema clean

setup: $(STAMP)

$(STAMP): envs/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("bigloop needs Python 3.11 or newer; name one: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	@echo "Installing into .venv (about 6 GB with torch's GPU libraries; some minutes, once) …"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r envs/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

figures: $(STAMP)
	$(BIN)/snakemake --cores $(CORES) --configfile $(CONFIG)
	$(BIN)/snakemake --configfile $(CONFIG) --report results/$(EXPERIMENT)/report.html
	@echo "Figures: results/$(EXPERIMENT)/figures   Report: results/$(EXPERIMENT)/report.html"

schema: $(STAMP)
	$(BIN)/python -m bigloop schema

lint: $(STAMP)
	$(BIN)/ruff format --check src tests
	$(BIN)/ruff check src tests
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	$(BIN)/python -m bigloop schema --check
	$(BIN)/snakemake --lint --configfile tests/smoke/config.yaml

PYTEST := $(BIN)/python -m pytest --numprocesses $(CORES)

.PHONY: test-fast test-slow

test: lint
	$(PYTEST)

test-fast: lint
	$(PYTEST) -m "not workflow and not long and not slow"

test-slow: $(STAMP)
	$(PYTEST) -m slow
	$(BIN)/python tests/campaign.py --kills 20

clean:
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache
