"""A survey in words."""

from __future__ import annotations

import math
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count, groupby

from bigloop.ops.standing import Job, Lineage
from bigloop.ops.survey import Simulated, Standing, Survey
from bigloop.runtime.words import duration, size

NAMED = 5  # runs in one line

DOING = {"train": "training", "import": "importing", "sample": "sampling", "measure": "measuring"}


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """End quietly where whoever reads what the block prints, such as `head`, has seen enough."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # Python's last flush shall not complain, either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
    if found.features:
        yield f"{'features':<12}{size(found.features)} of the disk, kept for further measures; deleted with the samples"
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
    parts = [f"{t} ({', '.join(names)})" for t, names in lacking.items() if 0 < len(names) < len(lineage[t])]
    counter = count()
    whole = (t for t, names in lacking.items() if len(names) == len(lineage[t]))
    for _, group in groupby(whole, key=lambda t: t - next(counter)):
        first, *others = group
        parts.append(f"{first}–{others[-1]}" if others else f"{first}")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """The time of day in so many seconds, with the day if that is another one."""
    now = datetime.now()
    then = now + timedelta(seconds=seconds)
    return f"{then:%H:%M}" if then.date() == now.date() else f"{then:%a %d %b %H:%M}"
