"""The progress of an experiment, from its files: what is done, what is running, when it will end.

    survey(load(Path("config.yaml")), Path("results"))

Works while the workflow runs, also from another node of a shared disk. Changes nothing and imports no torch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from bigloop.artifacts import REBUILD, ArtifactError, read_json
from bigloop.config.experiment import Experiment
from bigloop.config.runs import Run
from bigloop.data import SOURCES
from bigloop.ops.disk import use
from bigloop.ops.forecast import chain
from bigloop.ops.standing import Job, Lineage, block_jobs, generations, other_jobs, remaining
from bigloop.runtime import locks
from bigloop.spec.jobs import FeaturesSpec
from bigloop.spec.options import SpecError
from bigloop.spec.runs import Data

WIDTH = 100  # columns


# What is shown first of the measures; then come the others, as far as the line is wide.
SHOWN = ("fid", "precision", "recall", "wasserstein1_excess", "class_entropy", "confidence", "critic_on_test")


@dataclass(frozen=True)
class Standing:
    """How far one run is with one seed. measures: its last ones, in words; disk: bytes.

    needs: seconds that its chain of jobs still takes where it never waits; infinite while unknown.
    """

    run: Run
    seed: int
    jobs: Lineage
    measures: str
    disk: int
    needs: float

    @property
    def done(self) -> list[int]:
        return [t for t, jobs in self.jobs.items() if all(job.state == "done" for job in jobs)]


@dataclass(frozen=True)
class Simulated:
    """How far a simulated run is: its blocks. measures, disk and needs as of a `Standing`."""

    run: Run
    jobs: Sequence[Job]
    disk: int
    needs: float

    @property
    def done(self) -> int:
        """Generations of all seeds that are done."""
        return sum(job.steps for job in self.jobs if job.state == "done")


@dataclass(frozen=True)
class Survey:
    """A whole experiment. parts: the jobs beside the runs, by kind; jobs: these and all others, each once.

    needs: seconds that all generations still take at as many jobs at a time as run now; infinite while unknown.
    disk: bytes; features: of these, bytes of side files with features of images. alive: whether a Snakemake is at work.
    """

    experiment: Experiment
    standings: Sequence[Standing]
    simulated: Sequence[Simulated]
    parts: Mapping[str, Sequence[Job]]
    jobs: Collection[Job]
    needs: float
    disk: int
    features: int
    alive: bool

    def count(self, state: str) -> int:
        """How many jobs are in a state."""
        return sum(job.state == state for job in self.jobs)

    @property
    def done(self) -> int:
        """Generations that are done, of every run and seed."""
        return sum(len(s.done) for s in self.standings) + sum(s.done for s in self.simulated)

    @property
    def wanted(self) -> int:
        """Generations that the config asks for, of every run and seed."""
        return sum(run.generations * len(run.seeds) for run in self.experiment.runs.values())


def load(config: Path) -> Experiment:
    """The experiment in a config file; raises SpecError, one line, where it cannot be read or is not valid."""
    try:
        return Experiment.from_config(yaml.safe_load(config.read_text()))
    except OSError as error:
        raise SpecError(f"{config}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, ValueError) as error:  # SpecError and UnicodeDecodeError among them
        raise SpecError(f"{config}: {' '.join(str(error).split())}") from None


def dataset_named(name: str, configfile: Path) -> tuple[Data, FeaturesSpec | None]:
    """A source by its name, or else the dataset that a config calls so, and the features that it is compared on there
    unless they are its classifier's; raises SpecError for neither."""
    if name in SOURCES:
        return name, None
    if not configfile.is_file():
        raise SpecError(
            f"--dataset: {name} is no source ({', '.join(SOURCES)}), and there is no {configfile}"
        )
    experiment = load(configfile)
    known, compared = experiment.images, experiment.compared
    if name not in known:
        raise SpecError(f"--dataset: no dataset {name!r} (of {configfile}: {', '.join(known)})")
    return known[name].data, compared.specs.get(compared.on("", known[name]))


def survey(experiment: Experiment, results: Path) -> Survey:
    """What the files under `results` say of an experiment."""
    standings: list[Standing] = []
    jobs: dict[Path, Job] = {}  # by log, for runs may share their first generation; the next, too
    needs: dict[Path, float] = {}
    places = [
        results / experiment.name,
        *(results / "data" / images.folder for images in experiment.datasets.values()),
    ]
    places += [results / "classifier" / spec.folder for spec in experiment.classifiers.values()]
    disk = {place: use(place) for place in places}
    for run in experiment.trained:
        found = {seed: generations(run, seed, results) for seed in run.seeds}
        own = {job.log: job for lineage in found.values() for several in lineage.values() for job in several}
        needs |= {log: remaining(job, own.values()) for log, job in own.items()}
        jobs |= own
        for seed, lineage in found.items():
            folders = {results / "runs" / name / f"seed-{seed}" for name in run.spec.folders}
            own_disk = {folder: use(folder) for folder in folders}
            disk |= own_disk
            chained = chain(
                run.spec.loop, {t: [needs[j.log] for j in several] for t, several in lineage.items()}
            )
            standings.append(
                Standing(
                    run,
                    seed,
                    lineage,
                    last_measures(lineage),
                    sum(taken.all for taken in own_disk.values()),
                    chained,
                )
            )
    simulated = []
    for run in experiment.simulated:
        blocks, folder = block_jobs(run, results), results / "runs" / run.spec.folder
        disk[folder] = use(folder)
        own_needs = {job.log: remaining(job, blocks) for job in blocks}
        simulated.append(Simulated(run, blocks, disk[folder].all, sum(own_needs.values())))
        needs |= own_needs
        jobs |= {job.log: job for job in blocks}
    parts = other_jobs(experiment, results, jobs.values())
    jobs |= {job.log: job for group in parts.values() for job in group}
    running = sum(job.state == "running" for job in jobs.values())
    total = max([sum(needs.values()) / max(1, running), *(standing.needs for standing in standings)])
    taken, features = (sum(kind) for kind in zip(*disk.values(), strict=True))
    done = experiment, standings, simulated, parts, jobs.values(), total
    return Survey(*done, taken, features, is_alive(results))


def last_measures(lineage: Lineage) -> str:
    """The main values of the last generation that is measured, in a line; or what is wrong with their file."""
    measured = [t for t, jobs in lineage.items() if jobs[-1].state == "done"]
    if not measured:
        return ""
    path = lineage[measured[-1]][-1].log.with_name("measures.json")
    try:
        values = {r["measure"]: float(r["value"]) for r in read_json(path) if not r["detail"]}
    except ArtifactError as error:
        return str(error)
    except (TypeError, KeyError, ValueError):
        return f"{path}: damaged (no records of measures); {REBUILD}"
    line = f"generation {measured[-1]}:"
    for name in sorted(values, key=lambda name: (*SHOWN, name).index(name)):
        more = f"{line}  {name} {values[name]:.4g}"
        line = more if len(more) <= WIDTH - 4 else line
    return line


def is_alive(results: Path) -> bool:
    """Whether a Snakemake is at work in the directory of these results; True, too, where that cannot be told."""
    places = results.absolute().parents  # of a module with a prefix, the directory is further up
    return any(locks.is_working(place / ".snakemake" / "bigloop") for place in places)
