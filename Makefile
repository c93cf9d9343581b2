# make figures   set up, run the default experiment (config.yaml), write its report
# make test      set up, check and test everything, as CI does
# make test-fast lint and the quick tests, in two minutes
# make test-gpu  what only a GPU can show; other tests never use one
# make test-slow what takes too long for every change: a campaign of kills
# make schema    rewrite what is generated from the code: registered.json and config.schema.yaml
# make docs      the documentation, into site/
# make setup     the environment alone: .venv, from the locked requirements
#
# CORES=4 make figures, or make figures CONFIG=workflow/experiments/knutsen2025.yaml

PYTHON ?= python3
CORES ?= 2
CONFIG ?= config.yaml

BIN := .venv/bin
STAMP := .venv/installed
EXPERIMENT = $(shell sed -n 's/^experiment: *\([^ #]*\).*/\1/p' $(CONFIG))

PIP := $(BIN)/python -m pip install --disable-pip-version-check
SETUP_LOG := .cache/setup.log

# A phase of the set-up: a line with its name and its seconds. What it says goes to a file, whose end is shown if it fails.
define phase
	@printf '%s … ' "$(1)"; begun=$$(date +%s); \
	if $(2) >> $(SETUP_LOG) 2>&1; then echo "$$(($$(date +%s) - begun)) s"; \
	else echo "failed. The end of $(SETUP_LOG):"; tail -n 20 $(SETUP_LOG); exit 1; fi
endef

.PHONY: setup figures test lint schema docs clean

setup: $(STAMP)

$(STAMP): envs/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("bigloop needs Python 3.11 or newer; name one: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	@mkdir -p $(dir $(SETUP_LOG)) && : > $(SETUP_LOG)
	$(call phase,Creating .venv,$(PYTHON) -m venv .venv)
	$(call phase,Installing $$(grep -c '==' $<) packages (6 GB; some minutes; see $(SETUP_LOG)),$(PIP) --require-hashes -r $<)
	$(call phase,Installing bigloop,$(PIP) --no-deps --no-build-isolation -e .)
	@touch $@

figures: $(STAMP)
	$(BIN)/snakemake --cores $(CORES) --configfile $(CONFIG)
	$(BIN)/snakemake --configfile $(CONFIG) --report results/$(EXPERIMENT)/report.html
	@echo "Figures: results/$(EXPERIMENT)/figures   Report: results/$(EXPERIMENT)/report.html"

schema: $(STAMP)
	$(BIN)/python -m bigloop schema

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lint: $(STAMP) docs
	$(BIN)/ruff format --check src tests
	$(BIN)/ruff check src tests
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	$(BIN)/python -m bigloop schema --check
	$(BIN)/snakemake --lint --configfile tests/smoke/config.yaml

PYTEST := $(BIN)/python -m pytest --numprocesses $(CORES)

.PHONY: test-fast test-gpu test-slow

test: lint
	$(PYTEST)

test-fast: lint
	$(PYTEST) -m "not workflow and not slurm and not long"

test-gpu: $(STAMP)
	CUDA_VISIBLE_DEVICES=$${CUDA_VISIBLE_DEVICES:-0} $(BIN)/python -m pytest tests/training/test_recorded.py

test-slow: $(STAMP)
	$(BIN)/python tests/campaign.py --kills 20

clean:
	rm -rf .venv .cache site .mypy_cache .pytest_cache .ruff_cache
