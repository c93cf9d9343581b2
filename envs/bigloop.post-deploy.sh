#!/usr/bin/env bash
# Run by Snakemake in the new environment. BIGLOOP_CHECKOUT, set by the workflow, is where its Snakefile lies.
set -euo pipefail
cd "$BIGLOOP_CHECKOUT"
python -m pip install --quiet --require-hashes -r envs/requirements.txt
python -m pip install --quiet --no-deps --no-build-isolation -e .
