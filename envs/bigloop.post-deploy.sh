#!/usr/bin/env bash
# Run by Snakemake in the new environment, from the working directory, which is the root of the repository.
set -euo pipefail
python -m pip install --quiet --no-deps --no-build-isolation -e .
