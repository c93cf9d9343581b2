"""The costly jobs that a config plans, by Snakemake's own graph: what must stay as it is, or finished work is lost.

    python planned.py CONFIG …      # JSON: config → "rule folder" → "number of jobs, digest of params and inputs"

A folder's name is the digest of its science; Snakemake runs a job again whose params or list of inputs changed.
"""

import hashlib
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script

from shipped import pictures_in

CHECKOUT = Path(__file__).resolve().parents[2]
COSTLY = ("fetch", "classify", "train", "train_continuing", "import_weights", "sample", "simulate")


def planned(config: Path) -> dict[str, str]:
    """Of each costly rule and folder of a config: how many jobs, and a digest of their params, inputs and outputs."""
    found = defaultdict(list)
    for rule, params, inputs, outputs in jobs(config):
        if rule in COSTLY:
            run = Path(outputs[0]).parts[1:3]  # runs/FOLDER, data/DATASET, classifier/FOLDER
            found[f"{rule} {'/'.join(run)}"].append(json.dumps([params, inputs, outputs]))
    return {
        name: f"{len(lines)} {hashlib.sha256(chr(10).join(sorted(lines)).encode()).hexdigest()[:16]}"
        for name, lines in sorted(found.items())
    }


def jobs(config: Path) -> Iterator[tuple[str, list[str], list[str], list[str]]]:
    """Rule, params, inputs and outputs of every job that a config needs where nothing is done yet."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

    with SnakemakeApi(OutputSettings(dryrun=True)) as api, tempfile.TemporaryDirectory() as empty:
        if "source: images" in config.read_text():
            pictures_in(Path(empty))
        described = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[config.resolve()]),
            snakefile=CHECKOUT / "Snakefile",
            workdir=Path(empty),
        )
        described.dag(DAGSettings(forceall=True))
        workflow = described._workflow
        workflow._prepare_dag(forceall=True, ignore_incomplete=True, lock_warn_only=True)
        workflow._build_dag()
        for job in workflow.dag.jobs:
            yield job.rule.name, *([str(x) for x in part] for part in (job.params, job.input, job.output))


if __name__ == "__main__":
    json.dump({config: planned(Path(config)) for config in sys.argv[1:]}, sys.stdout, indent=1)
