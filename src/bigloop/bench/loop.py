"""Generations per hour, end to end: a small experiment is run by Snakemake, and its jobs say what they did."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

from bigloop.bench.setting import Config, Setting, cores, only, read_config, snakemake
from bigloop.bench.table import Column, Section, doing, number, time_text
from bigloop.runtime.progress import read_state
from bigloop.spec.options import SpecError

RUN = "vae"  # of config.yaml
GENERATIONS = 3
OF_CRITICS = {"critic_on_test", "critic_matrices"}  # figures that a VAE cannot have


class Row(NamedTuple):
    """A call of Snakemake, or in it all jobs of one kind.

    seconds: wall time of a call. work, start: seconds of its jobs, added up. per_hour: generations. ratio: wall time
    over work shared out to all cores; 1 would be no loss at all.
    """

    name: str
    jobs: Annotated[int, Column("jobs", number(0))]
    seconds: Annotated[float | None, Column("wall time", time_text)]
    work: Annotated[float | None, Column("work", time_text)]
    start: Annotated[float | None, Column("start-up", time_text)]
    per_hour: Annotated[float | None, Column("gen. per h", number(0))]
    ratio: Annotated[float | None, Column("× ideal", number(2))]


class Times(NamedTuple):
    """What a finished job notes: its verb, and its seconds of work and of start-up."""

    verb: str
    work: float
    start: float


def rows(setting: Setting) -> Iterator[Row]:
    """The classifier, the loop, its kinds of jobs, and the same command again on the finished results."""
    generations = 2 if setting.quick else GENERATIONS
    config = small_experiment(read_config("config.yaml"), generations, quick=setting.quick)
    place = setting.scratch / "loop"
    logs = shutil.ignore_patterns("*.log")  # of the job that fetched the data, before
    shutil.copytree(setting.data, place / "results" / "data" / "mnist", ignore=logs)
    doing("training the classifier")
    before = snakemake(config, place, "--", "classifiers")
    once = job_times(place / "results")
    yield _whole("before: the classifier, once", before, list(once.values()))
    doing(f"running {generations} generations, some minutes")
    wall = snakemake(config, place)
    found = [times for log, times in job_times(place / "results").items() if log not in once]
    yield _whole(f"the loop: {generations} generations, measures and figures", wall, found, generations)
    for verb in dict.fromkeys(times.verb for times in found):
        of_verb = [times for times in found if times.verb == verb]
        yield _whole(f"    of it, {verb}", None, of_verb)
    yield _whole("the same command again: nothing is left to do", snakemake(config, place), [])


def small_experiment(config: Config, generations: int, *, quick: bool) -> Config:
    """The VAE's run of the default experiment alone, with so many generations and one seed.

    quick: with a tiny network, budget and classifier. Raises SpecError where there is no such run.
    """
    if RUN not in config["runs"]:
        raise SpecError(f"bench: config.yaml has no run {RUN!r}")
    config = only(config, RUN, generations=generations, seeds=[0])
    run = config["runs"][RUN]
    config["figures"] = {k: v for k, v in config["figures"].items() if k not in OF_CRITICS}
    if quick:
        config["classifier"] = {"width": 2, "epochs": 1, "batch_size": 512, "learning_rate": 1.0e-2}
        config["models"][run["model"]] |= {"hidden": 32, "latent": 4}
        budget = {"images": 1_280}
        config["loops"][run["loop"]] = {
            "initial": {"n": 600},
            "samples": 600,
            "synthetic": {"n": 600},
            "budget": {"initial": budget, "retrain": budget},
        }
        config["measures"], config["figures"] = {"wasserstein1": {"n": 100}}, {"losses": None}
    return config


def job_times(results: Path) -> dict[Path, Times]:
    """What all finished jobs below a folder note, by log file; each once, whatever links lead to it."""
    logs = sorted({path.resolve() for path in results.rglob("*.log")})
    states = {log: state for log in logs if (state := read_state(log))}
    return {
        log: Times(state.job, state.work, state.start_up)
        for log, state in states.items()
        if state.work is not None and state.start_up is not None
    }


def _whole(name: str, wall: float | None, found: list[Times], generations: int | None = None) -> Row:
    work = sum(times.work for times in found) if found else None
    start = sum(times.start for times in found) if found else None
    per_hour = 3600 * generations / wall if generations and wall else None
    ratio = wall * cores() / work if wall and work else None
    return Row(name, len(found), wall, work, start, per_hour, ratio)


SECTION = Section(
    "loop",
    "the VAE of config.yaml, run by Snakemake on all cores in an empty folder: wall time, the work and the start-up\n"
    "of its jobs, added up, and wall time over work shared out to the cores (1 would be no loss)",
    Row,
    rows,
    in_checkout=True,
)
