#!/usr/bin/env bash
# Run by Snakemake in the new environment. BIGLOOP_CHECKOUT, set by the workflow, is where its Snakefile lies: a checkout, or
# the workflow inside an installed package, whose like is then installed from where pip looks for packages.
set -euo pipefail
cd "$BIGLOOP_CHECKOUT"
python -m pip install --quiet --require-hashes -r envs/requirements.txt
if [ -f pyproject.toml ]; then
  python -m pip install --quiet --no-deps --no-build-isolation -e .
else
  python -m pip install --quiet --no-deps "bigloop==$BIGLOOP_VERSION"
fi
