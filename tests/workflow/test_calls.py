"""However the workflow is called: reading it changes nothing, a prefix holds, and no path is taken apart by a shell."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.numpy import load_file

from bigloop.data import load
from bigloop.runtime.locks import is_working

from . import forks
from .conftest import REPOSITORY, Workplace, snakemake

pytestmark = pytest.mark.workflow

READING = {
    "a dry run": ["--dry-run"],
    "a forced dry run": ["--dry-run", "--forceall"],
    "the linter": ["--lint"],
    "the graph": ["--rulegraph"],
    "the summary": ["--summary"],
    "unlocking": ["--unlock"],
}
# What a path may hold on this system: all but "/" and the byte 0.
NASTY = 'it\'s $(touch hacked) `touch hacked` {wildcards} {{x}} "q" ; & * ? ~ é 数\n\\n #end'


def files(*places: Path) -> Iterator[tuple[str, int, str]]:
    """Path, modification time and content of everything in these folders, but Snakemake's and Python's own files."""
    for path in sorted(path for place in places for path in [place, *place.rglob("*")]):
        if not {".snakemake", "__pycache__"} & set(path.parts):
            content = (
                str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
            )
            digest = hashlib.sha256(content if isinstance(content, bytes) else content.encode())
            yield str(path), path.lstat().st_mtime_ns, digest.hexdigest()


@pytest.fixture
def slurm(tmp_path: Path) -> tuple[dict[str, str], Path]:
    """An environment in which Slurm's squeue lists a leftover job and both commands note how they are called."""
    programs, called = tmp_path / "programs", tmp_path / "called"
    programs.mkdir()
    job = "7\\t0c4e30e1-bf84-43c9-9979-185cb4203741\\t'\"$PWD\"'"
    for name, answer in {
        "squeue": f"grep -q scancel '{called}' || printf '{job}\\n'",
        "scancel": "true",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\necho {name} \"$@\" >> '{called}'\n{answer}\n")
        (programs / name).chmod(0o755)
    return {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}, called


@pytest.mark.parametrize("arguments", READING.values(), ids=list(READING))
def test_reading_the_workflow_changes_no_file_and_asks_no_cluster(
    arguments: list[str],
    workplace: Workplace,
    checkout: Path,
    slurm: tuple[dict[str, str], Path],
) -> None:
    environment, called = slurm
    (workplace.directory / ".snakemake" / "slurm_logs").mkdir()
    (
        workplace.directory / "results" / "smoke" / "tables" / "claims.csv"
    ).unlink()  # so that there is something to do
    workplace.snakemake("--dry-run", repository=checkout)  # writes the config of this test
    before = list(files(workplace.directory, checkout))
    call = ("--configfile", str(workplace.directory / "config-of-this-test.yaml"))
    snakemake(
        *call,
        "--directory",
        str(workplace.directory),
        *arguments,
        repository=checkout,
        environment=environment,
    )
    assert list(files(workplace.directory, checkout)) == before
    assert not called.exists()
    assert not is_working(workplace.directory / ".snakemake" / "bigloop")


def test_a_dry_run_leaves_the_locks_of_a_snakemake_without_our_profiles(workplace: Workplace) -> None:
    lock = workplace.directory / ".snakemake" / "locks" / "0.output.lock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text("results/smoke/tables/claims.csv\n")
    workplace.plan()
    assert lock.read_text() == "results/smoke/tables/claims.csv\n"


def test_snakemake_s_own_locks_hold_without_a_profile_and_with_one_of_ours_no_unlocking_is_needed(
    known: Workplace,
) -> None:
    (output,) = [job.output for job in known.plan() if job.rule == "simulate"]
    lock = known.directory / ".snakemake" / "locks" / "0.output.lock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(f"{output}\n")  # as a Snakemake leaves it that is killed
    assert "--unlock" in known.snakemake("--workflow-profile", "none", "--", output, fails=True)
    known.snakemake("--", output)
    assert lock.exists()
    known.snakemake("--workflow-profile", "none", "--unlock")
    assert not lock.exists()


def test_a_start_cancels_what_a_killed_workflow_left_on_the_cluster(
    workplace: Workplace, slurm: tuple[dict[str, str], Path]
) -> None:
    environment, called = slurm
    (workplace.directory / ".snakemake" / "slurm_logs").mkdir()
    (workplace.directory / "results" / "smoke" / "figures" / "fid.pdf").unlink()
    workplace.snakemake(environment=environment)
    assert "scancel 7" in called.read_text().splitlines()


def test_as_a_module_with_a_prefix_everything_lies_under_it(finished: Path, tmp_path: Path) -> None:
    prefix = "its own place"
    place = Workplace(tmp_path)
    place.config["runs"] = {
        "vae": {**place.config["runs"]["vae"], "generations": 2, "seeds": [0]},
        "wgan-2": {**place.config["runs"]["wgan-2"], "generations": 1},
    }
    place.config["measures"] = {"wasserstein1": {"n": 50}}
    place.config["figures"] = {"samples": None, "critic_matrices": None}
    for folder in ("data", "classifier"):
        (tmp_path / prefix / "results").mkdir(parents=True, exist_ok=True)
        (tmp_path / prefix / "results" / folder).symlink_to(finished / "results" / folder)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"inner": place.config}))
    (tmp_path / "Snakefile").write_text(
        f"""
configfile: "config.yaml"
module bigloop:
    snakefile: {str(REPOSITORY / "Snakefile")!r}
    config: config["inner"]
    prefix: {prefix!r}
use rule * from bigloop as inner_*
onstart:
    bigloop.onstart()
rule all:
    default_target: True
    input: rules.inner_all.input
    output: "done"
    shell: "touch {{output}}"
"""
    )
    command = [forks.python(), "-m", "snakemake", "--cores", "2", "--printshellcmds"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stderr[-6000:]
    names = {path.name for path in tmp_path.iterdir()} - {".snakemake"}
    assert names == {"Snakefile", "config.yaml", "done", prefix}
    results = tmp_path / prefix / "results"
    made = {path.name for path in (results / "smoke").rglob("*")}
    assert {"config.yaml", "claims.csv", "samples.pdf", "critic_matrices.png", "mnist.json"} <= made
    models = [path for path in (results / "runs").rglob("model.safetensors") if not path.is_symlink()]
    assert len(models) == 3
    for path in models:
        assert path.read_bytes() == (finished / path.relative_to(tmp_path / prefix)).read_bytes()


def test_a_config_s_path_of_any_name_is_one_word_to_the_shell(mnist: Path, tmp_path: Path) -> None:
    root = tmp_path / "root" / NASTY
    write_originals(mnist, root)
    place = Workplace(tmp_path / NASTY)
    place.directory.mkdir()
    place.config["data"] = {"root": str(root)}
    place.snakemake("--printshellcmds", "results/data/mnist/train.safetensors")
    stored = place.directory / "results" / "data" / "mnist"
    assert (load(stored, "test")[0] == load(mnist, "test")[0]).all()
    assert not list(tmp_path.rglob("hacked"))
    assert not (REPOSITORY / "hacked").exists()


def test_weights_of_any_name_that_has_no_wildcard_are_imported(finished: Path, tmp_path: Path) -> None:
    place = Workplace(tmp_path / "work")
    (place.directory / "results").mkdir(parents=True)
    (place.directory / "results" / "data").symlink_to(finished / "results" / "data")
    (theirs,) = finished.glob("results/smoke/runs/vae/seed-0/gen-1/model.safetensors")
    weights = tmp_path / NASTY.translate(str.maketrans("{}\n", "() "))
    shutil.copy(theirs, weights)
    place.config["runs"] = {"vae": {**place.config["runs"]["vae"], "seeds": [0], "weights": str(weights)}}
    place.config["figures"] = {"losses": None}
    (imported,) = [job.output for job in place.plan("tables") if job.rule == "import_weights"]
    place.snakemake("--printshellcmds", "--", imported)
    assert load_file(place.directory / imported).keys() == load_file(theirs).keys()
    assert not list(tmp_path.rglob("hacked"))


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"data": {"root": "a\0b"}}, "data.root"),
        ({"datasets": {"mine": {"source": "arrays", "root": "a\0b"}}}, "datasets.mine.root"),
    ],
)
def test_a_root_that_no_path_can_be_is_refused_in_one_line(
    section: dict[str, Any], key: str, tmp_path: Path
) -> None:
    place = Workplace(tmp_path)
    place.config |= section
    printed = place.snakemake("--dry-run", fails=True)
    (line,) = [line for line in printed.splitlines() if "config error" in line]
    assert line == rf"config error: {key}: 'a\x00b' contains the character 0, which no path can"
    assert "Traceback" not in printed


@pytest.mark.parametrize(("visible", "asked"), [("", 0), ("0", 1), ("0,1", 1)])
def test_jobs_ask_for_a_gpu_where_one_is_visible(visible: str, asked: int, tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": visible}
    printed = place.snakemake("--dry-run", "--quiet", "host", environment=environment)
    for rule, gpus in {
        "train": asked,
        "sample": asked,
        "classify": asked,
        "measure": 0,
        "collect": 0,
    }.items():
        (resources,) = set(
            re.findall(rf"^rule {rule}:\n(?:    .*\n)*?    resources: .*gpu=(\d)", printed, re.MULTILINE)
        )
        assert int(resources) == gpus


def write_originals(stored: Path, root: Path) -> None:
    """MNIST's four files as they are published, from its stored form; `fetch` verifies their checksums."""
    root.mkdir(parents=True)
    for split, name in (("train", "train"), ("test", "t10k")):
        images, labels = load(stored, split)
        header = struct.pack(">4i", 2051, len(images), *images.shape[2:])
        (root / f"{name}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        labels = labels.astype("uint8")
        (root / f"{name}-labels-idx1-ubyte").write_bytes(
            struct.pack(">2i", 2049, len(labels)) + labels.tobytes()
        )


def test_beside_a_workflow_its_own_files_are_refused_and_another_experiment_runs(
    long_training: Workplace,
) -> None:
    place = long_training
    place.config["loops"]["fully-synthetic"]["budget"]["initial"] = {
        "images": 64 * 10_000_000
    }  # outlives this test
    place.plan()  # writes the config file
    config = place.directory / "config-of-this-test.yaml"
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--directory", str(place.directory)]
    first = subprocess.Popen([*command, "--configfile", str(config)], cwd=REPOSITORY, start_new_session=True)
    while not is_working(place.directory / ".snakemake" / "bigloop"):
        assert first.poll() is None
        time.sleep(0.1)
    printed = place.snakemake(fails=True)
    (line,) = [line for line in printed.splitlines() if line.startswith("not started: ")]
    assert f"process {first.pid} " in line
    assert "results/" in line
    assert "Traceback" not in printed
    other = Workplace(place.directory)
    other.config |= place.config | {"experiment": "other"}
    other.config["loops"]["fully-synthetic"]["budget"]["initial"] = {"images": 64}
    other.snakemake("--", "results/other/tables/measures.csv")
    assert first.poll() is None
    first.kill()
    first.wait()
