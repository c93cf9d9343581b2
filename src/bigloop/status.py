"""Where a long experiment stands, from its files: what is done, what runs, when it ends, what could be deleted.

    schema = read_schema()
    show(survey(load(Path("config.yaml"), schema), Path("results")))

Works while the workflow runs, also from another node of a shared disk. Changes nothing and imports no torch: it asks
which files there are, reads the ends of logs, and one measures.json for each run and seed.
"""

from __future__ import annotations

import math
import os
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count, groupby
from pathlib import Path
from typing import Any

import yaml

from bigloop import machine, storage
from bigloop.artifacts import REBUILD, ArtifactError, read_json
from bigloop.estimate import chain
from bigloop.experiment import Experiment, Run
from bigloop.jobs import Job, Lineage, block_jobs, generations, other_jobs, remaining
from bigloop.progress import duration
from bigloop.spec import SpecError
from bigloop.storage import size

SCHEMA = Path("workflow/schemas/config.schema.yaml")
WIDTH = 100  # columns
NAMED = 5  # runs in one line
# What is shown first of the measures; then come the others, as far as the line is wide.
SHOWN = ("fid", "precision", "recall", "wasserstein1_excess", "class_entropy", "confidence", "critic_on_test")
DOING = {"train": "training", "sample": "sampling", "measure": "measuring"}


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
    disk: bytes. alive: whether a Snakemake is at work.
    """

    experiment: Experiment
    standings: Sequence[Standing]
    simulated: Sequence[Simulated]
    parts: Mapping[str, Sequence[Job]]
    jobs: Collection[Job]
    needs: float
    disk: int
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


def read_schema() -> Mapping[str, Any]:
    """The config's JSON Schema; raises SpecError where the working directory is not the workflow's."""
    if not SCHEMA.is_file():
        raise SpecError(f"{SCHEMA}: not found; run this in the folder of bigloop's Snakefile (see --results)")
    return yaml.safe_load(SCHEMA.read_text())


def load(config: Path, schema: Mapping[str, Any]) -> Experiment:
    """The experiment in a config file; raises SpecError, one line, where it cannot be read or is not valid."""
    try:
        return Experiment.from_config(yaml.safe_load(config.read_text()), schema)
    except OSError as error:
        raise SpecError(f"{config}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, ValueError) as error:  # SpecError and UnicodeDecodeError among them
        raise SpecError(f"{config}: {' '.join(str(error).split())}") from None


def survey(experiment: Experiment, results: Path) -> Survey:
    """What the files under `results` say of an experiment."""
    standings: list[Standing] = []
    jobs: dict[Path, Job] = {}  # by log, for runs may share their first generation; the next, too
    needs: dict[Path, float] = {}
    places = [results / experiment.name, *(results / "data" / name for name in experiment.classifiers)]
    places += [results / "classifier" / spec.folder for spec in experiment.classifiers.values()]
    disk = {place: storage.disk_use(place) for place in places}
    for run in experiment.trained:
        names = (run.spec.folder, run.spec.first.folder)
        found = {seed: generations(run, seed, results) for seed in run.seeds}
        own = {job.log: job for lineage in found.values() for three in lineage.values() for job in three}
        needs |= {log: remaining(job, own.values()) for log, job in own.items()}
        jobs |= own
        for seed, lineage in found.items():
            folders = {results / "runs" / name / f"seed-{seed}" for name in names}
            own_disk = {folder: storage.disk_use(folder) for folder in folders}
            disk |= own_disk
            chained = chain(run.spec.loop, {t: [needs[j.log] for j in three] for t, three in lineage.items()})
            standings.append(
                Standing(run, seed, lineage, last_measures(lineage), sum(own_disk.values()), chained)
            )
    simulated = []
    for run in experiment.simulated:
        blocks, folder = block_jobs(run, results), results / "runs" / run.spec.folder
        disk[folder] = storage.disk_use(folder)
        own_needs = {job.log: remaining(job, blocks) for job in blocks}
        simulated.append(Simulated(run, blocks, disk[folder], sum(own_needs.values())))
        needs |= own_needs
        jobs |= {job.log: job for job in blocks}
    parts = other_jobs(experiment, results, jobs.values())
    jobs |= {job.log: job for group in parts.values() for job in group}
    running = sum(job.state == "running" for job in jobs.values())
    total = max([sum(needs.values()) / max(1, running), *(standing.needs for standing in standings)])
    return Survey(
        experiment, standings, simulated, parts, jobs.values(), total, sum(disk.values()), is_alive(results)
    )


def last_measures(lineage: Lineage) -> str:
    """The main values of the last generation that is measured, in a line; or what is wrong with their file."""
    measured = [t for t, (_, _, measure) in lineage.items() if measure.state == "done"]
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


def show(found: Survey) -> None:
    """Print a survey."""
    print("\n".join(lines(found)))


def lines(found: Survey) -> Iterator[str]:
    """A survey in words, of up to WIDTH columns where names are short."""
    failed = f"{found.count('failed')} failed, " if found.count("failed") else ""
    yield (
        f"Experiment {found.experiment.name}: {found.done:,} of {found.wanted:,} generations done, "
        f"{_jobs(found.count('running'))} running, {failed}{size(found.disk)} on disk"
    )
    wide = max(map(len, found.experiment.runs))
    for s in found.standings:
        progress = f"{len(s.done)} of {len(s.jobs)} generations"
        yield ""
        yield f"{s.run.name:<{wide}}  seed {s.seed:<4}{progress:<21}{size(s.disk):>9}  {_end(s)}"
        for t, jobs in s.jobs.items():
            yield from (f"    {DOING[job.name]} generation {t}{_words(job)}" for job in jobs if _active(job))
        if missing := _missing(s.jobs):
            yield f"    missing: {missing}"
        if s.measures:
            yield f"    {s.measures}"
    if found.simulated:
        yield ""
    for b in found.simulated:
        blocks = f"{sum(job.state == 'done' for job in b.jobs)} of {len(b.jobs)} blocks"
        seeds = f"{len(b.run.seeds):,} seeds" if len(b.run.seeds) > 1 else f"seed {b.run.seeds[0]}"
        words = f"{b.run.generations:,} generations, {blocks}"
        yield f"{b.run.name:<{wide}}  {seeds:<12}{words:<34}{size(b.disk):>9}  {_end(b)}"
        yield from (f"    {job.log.parent.parent.name}{_words(job)}" for job in b.jobs if _active(job))
    yield ""
    for kind, jobs in found.parts.items():
        states = Counter(job.state for job in jobs)
        words = ", ".join(f"{n} {state}" if len(jobs) > 1 else state for state, n in states.items())
        if jobs:
            yield f"{kind:<12}{words}"
        yield from (f"    {job.log.stem}{_words(job)}" for job in jobs if _active(job))
    yield ""
    yield _summary(found)


def _active(job: Job) -> bool:
    return job.state in ("running", "failed", "stopped")


def _words(job: Job) -> str:
    return {"running": ": ", "failed": " failed: ", "stopped": " stopped "}[job.state] + job.note


def _jobs(number: int) -> str:
    return f"{number} job{'s' if number != 1 else ''}"


def _end(standing: Standing | Simulated) -> str:
    if isinstance(standing, Simulated):
        states = {job.state for job in standing.jobs}
    else:
        states = {job.state for jobs in standing.jobs.values() for job in jobs}
    if states == {"done"}:
        return "done"
    if "failed" in states:
        return "failed"
    if math.isinf(standing.needs):
        first = "block" if isinstance(standing, Simulated) else "generation"
        return f"end unknown until the first {first} is done"
    until = f", until {clock(standing.needs)}" if "running" in states else ""
    return f"{duration(standing.needs)} left{until}"


def _summary(found: Survey) -> str:
    if found.done == found.wanted:
        rest = [kind for kind, jobs in found.parts.items() if any(job.state != "done" for job in jobs)]
        return f"All generations are done. Not done: {', '.join(rest)}" if rest else "Everything is done."
    lacking = [s.run.name for s in found.standings if math.isinf(s.needs)]
    unknown = dict.fromkeys(lacking + [s.run.name for s in found.simulated if math.isinf(s.needs)])
    if unknown:
        named = ", ".join([*unknown][:NAMED]) + (
            f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
        )
        return f"Expected end: unknown until the first job is done of {named}"
    if running := found.count("running"):
        when = f"{clock(found.needs)}, in {duration(found.needs)}"
        return f"Expected end of all generations: {when}, at {_jobs(running)} at a time"
    alive = "Snakemake is at work, but no job runs at this moment" if found.alive else "Nothing runs"
    return f"{alive}. What is missing takes {duration(found.needs)} of work, one job at a time."


def _missing(lineage: Lineage) -> str:
    """Generations that lack something and are not at work: "2 (measure), 4–20"."""
    lacking = {
        t: [job.name for job in jobs if job.state == "missing"]
        for t, jobs in lineage.items()
        if not any(map(_active, jobs))
    }
    parts = [f"{t} ({', '.join(names)})" for t, names in lacking.items() if 0 < len(names) < len(DOING)]
    counter = count()
    whole = (t for t, names in lacking.items() if len(names) == len(DOING))
    for _, group in groupby(whole, key=lambda t: t - next(counter)):
        first, *others = group
        parts.append(f"{first}–{others[-1]}" if others else f"{first}")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """The time of day in so many seconds, with the day if that is another one."""
    now = datetime.now()
    then = now + timedelta(seconds=seconds)
    return f"{then:%H:%M}" if then.date() == now.date() else f"{then:%a %d %b %H:%M}"


def referenced(
    experiment: Experiment, results: Path, schema: Mapping[str, Any]
) -> tuple[set[str], list[str]]:
    """Names of the folders that a config refers to, and a line for each config that cannot be understood.

    Configs are that of `experiment`, and those that the workflow wrote to results/*/config.yaml when it ran. The one
    written for `experiment` itself counts only while it is at work: what an edited config no longer refers to is free.
    Seeds and generations that a config no longer asks for stay, as long as it refers to their run.
    """
    names, faults = folder_names(experiment), []
    homes = {path.parent for kind in ("config.yaml", "floor", "tables") for path in results.glob(f"*/{kind}")}
    for config in sorted(home / "config.yaml" for home in homes):
        own = config.parent.name == experiment.name
        if own and not config.exists():
            continue
        try:
            written = folder_names(load(config, schema))
        except SpecError as error:
            faults.append(str(error))
            continue
        folders = (results / kind / name for kind in ("runs", "classifier") for name in written)
        if not written <= names and (not own or is_alive(results) or any(map(storage.in_use, folders))):
            names |= written
    return names, faults


def folder_names(experiment: Experiment) -> set[str]:
    """Names of an experiment's folders of runs, first generations and classifiers."""
    specs = [run.spec for run in experiment.runs.values()]
    classifiers = {spec.folder for spec in experiment.classifiers.values()}
    return classifiers | {spec.folder for spec in specs} | {spec.first.folder for spec in specs}


def is_alive(results: Path) -> bool:
    """Whether a Snakemake is at work in the directory of these results; True, too, where that cannot be told."""
    lock = results.absolute().parent / ".snakemake" / "bigloop.lock"
    try:
        with lock.open(
            "r+b" if os.access(lock, os.W_OK) else "rb"
        ) as file:  # NFS locks only what it may write
            return not machine.is_alone(file)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def show_unreferenced(experiment: Experiment, results: Path, schema: Mapping[str, Any]) -> list[Path]:
    """Print, and return, the folders that no config refers to: none where a config cannot be understood."""
    names, faults = referenced(experiment, results, schema)
    for fault in faults:
        print(
            f"\n{fault}\n    Until it can be read, it may refer to any folder: none is listed for deletion."
        )
    free = [] if faults else storage.unreferenced(results, names)
    if free:
        print("\nNo config refers to these folders; --remove-unreferenced deletes them:")
    for folder in free:
        print(f"  {size(storage.disk_use(folder)):>9}  {folder}")
    return free


def remove_unreferenced(folders: Sequence[Path], *, yes: bool) -> None:
    """Delete these folders; asks first, unless `yes`. Raises SpecError where there is no terminal to ask on."""
    if not folders:
        print("\nNothing to delete.")
    elif not yes and not sys.stdin.isatty():
        raise SpecError("--remove-unreferenced: without a terminal to ask on, add --yes; nothing was deleted")
    elif yes or _confirmed():
        for folder in folders:
            print(f"{folder}: {'deleted' if storage.remove(folder) else 'in use by now, kept'}")
    else:
        print("Nothing was deleted.")


def _confirmed() -> bool:
    try:
        return input("Delete them? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
