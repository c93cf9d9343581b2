"""Kill a workflow and its workers at random, start it again with the same command, and see that nothing is lost.

    python tests/campaign.py --kills 40                 on this machine
    python tests/campaign.py --kills 12 --slurm         on a real Slurm that it brings up for itself

An undisturbed run comes first. Then, in trials of a few kills each, the same workflow is hit at random moments: the
Snakemake process or one of its workers, in training, sampling, measuring or in the middle of a write, by SIGKILL or
SIGTERM; and each time the same command goes on. At the end of a trial weights, samples and measures must be
bit-identical to the undisturbed run's, no generation that was finished before a kill may have been trained
again, not by a step, and no process may be left. Exits with 1 where any of that fails.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from bigloop.artifacts import MODEL_FILES, read_json
from workflow.cluster import Cluster

REPOSITORY = Path(__file__).resolve().parents[1]

STEPS = 700  # of each training; some seconds on one core
COMPARED = ("model.safetensors", "samples.safetensors", "preview.safetensors", "measures.json")
BUDGET = {"images": 64 * STEPS}
CONFIG = {
    "experiment": "campaign",
    "storage": {"save_every": 0.5},
    "classifier": {"width": 2, "epochs": 1, "batch_size": 512},
    "models": {
        "vae": {"family": "vae", "hidden": 128, "latent": 8, "batch_size": 64},
        "gan": {
            "family": "wgan_gp",
            "width": 2,
            "latent": 8,
            "critic_iterations": 1,
            "generator_norm": "batch",
        },
    },
    "loops": {
        "loop": {
            "initial": {"n": 1000},
            "samples": 1000,
            "synthetic": {"n": 1000},
            "budget": {"initial": BUDGET, "retrain": BUDGET},
        }
    },
    "runs": {
        "vae": {"dataset": "mnist", "model": "vae", "loop": "loop", "generations": 3},
        "gan": {"dataset": "mnist", "model": "gan", "loop": "loop", "generations": 2},
    },
    "measures": {"wasserstein1": {"n": 200}, "classes": {"n": 500}},
    "figures": {"losses": None},
}
MOMENTS = ("training", "sampling", "measuring", "writing", "any")
VERBS = {"training": "train", "sampling": "sample", "measuring": "measure"}


@dataclass
class Place:
    """A directory to run the workflow in, and how to start it there."""

    directory: Path
    arguments: list[str]
    environment: dict[str, str]

    def start(self) -> subprocess.Popen:
        """The one command: the first time, and after every kill."""
        config = self.directory / "config.yaml"
        config.write_text(yaml.safe_dump(CONFIG))
        command = [sys.executable, "-m", "snakemake", "--configfile", str(config), "--directory"]
        with (self.directory / "printed.txt").open("ab") as printed:
            return subprocess.Popen(
                [*command, str(self.directory), *self.arguments],
                cwd=REPOSITORY,
                env=self.environment,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def generations(self) -> list[Path]:
        return sorted((self.directory / "results" / "runs").glob("*/seed-*/gen-*"))

    def contents(self) -> dict[str, bytes]:
        """The files that must come out the same, by their path."""
        files = (folder / name for folder in self.generations() for name in COMPARED)
        return {str(f.relative_to(self.directory)): f.read_bytes() for f in files if f.is_file()}

    def workers(self, verb: str | None = None) -> list[psutil.Process]:
        """The running `python -m bigloop` processes of this directory, of one verb or of all."""
        found = []
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
                ours = words[1:3] == ["-m", "bigloop"] and process.cwd() == str(self.directory)
                if ours and verb in (None, words[3]):
                    found.append(process)
            except (psutil.Error, IndexError):
                continue
        return found

    def half_files(self) -> set[Path]:
        """Files that are being written, or were when their writer was killed."""
        return {path for folder in self.generations() for path in folder.glob(".*-*")}


@dataclass
class Trial:
    """What one chain of kills did and found."""

    kills: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    finished: dict[Path, str] = field(
        default_factory=dict
    )  # folders of models complete at a kill: their logs

    def note_finished(self, place: Place) -> None:
        for folder in place.generations():
            log = folder / "train.log"  # which each new start of the job begins anew
            if log.is_file() and all((folder / name).is_file() for name in MODEL_FILES):
                self.finished.setdefault(folder, log.read_text())

    def check(self, place: Place, reference: dict[str, bytes]) -> None:
        contents = place.contents()
        self.faults += [f"{name} is missing" for name in reference.keys() - contents.keys()]
        self.faults += [f"{name} differs" for name in reference if contents.get(name, b"") != reference[name]]
        for folder, log in self.finished.items():
            resumed_at = read_json(folder / "model.json")["resumed_at"]
            if (folder / "train.log").read_text() != log and resumed_at[-1:] != [STEPS]:
                self.faults.append(f"{folder} was finished and trained again, from step {resumed_at[-1:]}")
        if left := [process.pid for process in place.workers()]:
            self.faults.append(f"workers left behind: {left}")


def strike(place: Place, workflow: subprocess.Popen, chance: random.Random) -> str | None:
    """Wait for a random moment and kill; returns what was done, or None where the workflow ended before."""
    moment, number = chance.choice(MOMENTS), chance.choice([signal.SIGKILL, signal.SIGTERM])
    victim = chance.choice(["workflow", "worker"])
    time.sleep(chance.uniform(0, 8))  # so that not always the first one of its kind is hit
    started, left = time.monotonic(), place.half_files()
    looked, workers = 0.0, []
    while workflow.poll() is None:
        if time.monotonic() - looked > 0.5:  # not every time: a write is over before all processes are listed
            looked, workers = time.monotonic(), place.workers(VERBS.get(moment))
        if moment == "writing" and not place.half_files() - left:
            continue
        if moment != "writing" and workers:
            time.sleep(chance.uniform(0, 4 if moment == "training" else 1.5))
        if workflow.poll() is not None:
            break
        try:
            chance.choice([workflow] if victim == "workflow" and workers else workers).send_signal(number)
        except (IndexError, psutil.NoSuchProcess):  # nobody there, or gone by now
            time.sleep(0.05)
            continue
        after = time.monotonic() - started
        return f"{signal.Signals(number).name} of the {victim}, moment: {moment}, {after:.1f} s waited"
    return None


def trial(place: Place, reference: dict[str, bytes], kills: int, chance: random.Random) -> Trial:
    """Up to `kills` kills in a row, then a run to the end, and what it left."""
    done = Trial()
    while len(done.kills) < kills:
        workflow = place.start()
        what = strike(place, workflow, chance)
        if what is not None:
            done.note_finished(place)
            done.kills.append(what)
        workflow.wait()
        if what is None and workflow.returncode == 0:
            break
    workflow = place.start()
    if workflow.wait():
        done.faults.append(
            f"the last run ended with {workflow.returncode}; see {place.directory}/printed.txt"
        )
    done.check(place, reference)
    return done


def fresh(home: Path, name: str, arguments: list[str], environment: dict[str, str]) -> Place:
    """A new directory, with the data and the classifier that the undisturbed run made."""
    directory = home / name
    directory.mkdir(parents=True)
    for folder in ("data", "classifier"):
        made = home / "undisturbed" / "results" / folder
        if made.is_dir():
            shutil.copytree(made, directory / "results" / folder)
    return Place(directory, arguments, environment)


@contextmanager
def slurm(home: Path) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Arguments and environment for a run on a Slurm of our own."""
    with Cluster(home / "slurm") as cluster:
        quick = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"]
        yield ["--workflow-profile", str(REPOSITORY / "profiles" / "slurm"), *quick], cluster.environment


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--slurm", action="store_true", help="on a real Slurm, which is brought up here")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and victims")
    parser.add_argument(
        "--home", type=Path, help="folder to work in (default: a temporary one, removed at the end)"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the cluster must be stopped then, too
    chance = random.Random(options.seed)
    home = options.home or Path(tempfile.mkdtemp(prefix="bigloop-campaign-"))
    home.mkdir(parents=True, exist_ok=True)
    local = (["--cores", "2"], {**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    with slurm(home) if options.slurm else nullcontext(local) as (arguments, environment):
        undisturbed = fresh(home, "undisturbed", *local)
        if undisturbed.start().wait():
            print((undisturbed.directory / "printed.txt").read_text()[-3000:])
            return 1
        reference = undisturbed.contents()
        print(f"undisturbed: {len(reference)} files to compare", flush=True)
        kills, faults = 0, 0
        for number in itertools.count(1):
            place = fresh(home, f"trial-{number}", arguments, environment)
            done = trial(place, reference, min(chance.randint(2, 5), options.kills - kills), chance)
            for what in done.kills:
                kills += 1
                print(f"kill {kills:3}  trial {number:2}  {what}", flush=True)
            for fault in done.faults:
                faults += 1
                print(f"FAULT     trial {number:2}  {fault}", flush=True)
            if not done.faults:
                print(
                    f"          trial {number:2}  all equal, {len(done.finished)} finished models kept",
                    flush=True,
                )
                shutil.rmtree(place.directory)
            if kills >= options.kills:
                break
    print(f"{kills} kills, {faults} faults")
    if not options.home and not faults:
        shutil.rmtree(home)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
