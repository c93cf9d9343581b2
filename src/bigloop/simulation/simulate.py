"""One simulation job: where it starts or resumes, and what it writes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from bigloop.artifacts import (
    UNFINISHED,
    ArtifactError,
    read_tensors,
    write_table,
    write_tensors,
)
from bigloop.models import family
from bigloop.runtime.progress import REPORT_SECONDS, Progress, Report
from bigloop.runtime.signals import SAVE_SECONDS, Interrupted, stop_signals
from bigloop.simulation.ecosystem import block_of
from bigloop.spec.jobs import SimulateSpec
from bigloop.spec.options import SpecError, digest

Block = Any  # of seeds and generations: simulation.lineages.Lineages or simulation.ecosystem.Ecosystem
STATE = "state.safetensors"


COLUMNS = ["seed", "generation", "measure", "value", "n", "k", "detail"]


def simulate(
    spec: SimulateSpec, out: Path, report: Report = lambda line: None, save_seconds: float = SAVE_SECONDS
) -> None:
    """Simulate the block `spec` and write it into the folder `out`, whose siblings are the run's other blocks.

    SIGTERM and SIGINT save at the end of the generation and raise Interrupted. Raises DivergedError where a loss or
    a sample is not finite.
    """
    parts = []
    for begun in beginnings(spec, out):
        if begun.generation >= spec.first:
            seeds = f"{len(begun.seeds)} seed{'s' * (len(begun.seeds) > 1)}"
            report(f"resuming after generation {begun.generation} with {seeds}")
        parts.append(begun)
        _finish(spec, parts, out, report, save_seconds)
    whole: Block = block_of(spec.run).joined(parts, spec.seeds)
    columns = [*COLUMNS, "member"] if spec.run.ecosystem else COLUMNS
    write_table(out / "measures.csv", pd.DataFrame(whole.records, columns=columns))
    write_tensors(out / "points.safetensors", whole.points, {"seed": str(spec.seeds[0])})
    whole.save(out / STATE, key_of(spec))
    (out / UNFINISHED).unlink(missing_ok=True)


def _finish(
    spec: SimulateSpec, parts: Sequence[Block], out: Path, report: Report, save_seconds: float
) -> None:
    """Take the last of the `parts` to the block's end."""
    block, key = parts[-1], key_of(spec)
    judges = block.judges(spec)
    begun = spoken = saved = time.monotonic()
    done = kept = block.generation
    with stop_signals() as stopped:
        while block.generation < spec.last:
            block.advance(report)
            if spec.measured(block.generation):
                block.measure(judges, spec.selected)
            now, last = time.monotonic(), block.generation == spec.last
            if stopped or now - saved > save_seconds:
                saved, kept = now, block.generation
                # finished parts, too, where they are at the same generation: one file holds one generation
                alike = [part for part in parts if part.generation == block.generation]
                seeds = tuple(seed for part in alike for seed in part.seeds)
                block_of(spec.run).joined(alike, seeds).save(out / UNFINISHED, key)
            stop = bool(stopped) and block.generation == kept < spec.last
            if now - spoken > REPORT_SECONDS or last or stop:
                spoken = now
                left = (now - begun) / (block.generation - done) * (spec.last - block.generation)
                told = Progress(
                    "generation", block.generation, spec.last, now - begun, left, spec.first - 1, kept
                )
                report(replace(told, resumed_at=done if done >= spec.first else None))
            if stop:
                raise Interrupted(
                    f"stopped by {stopped[0]}; state saved after generation {block.generation} of {spec.last}"
                )


def beginnings(spec: SimulateSpec, out: Path) -> list[Block]:
    """What the seeds of a block continue from: blocks that got furthest, then the block before, or nothing.

    Of this job's own unfinished state, and of other blocks that begin alike and end no later, all seeds that they
    hold are taken over; the other seeds begin after the block before.
    """
    found, left = [], list(spec.seeds)
    for block in sorted(_others(spec, out), key=lambda block: block.generation, reverse=True):
        seeds = tuple(seed for seed in block.seeds if seed in left)
        if seeds:
            found.append(block.of_seeds(seeds))
            left = [seed for seed in left if seed not in seeds]
    if left:
        found.append(_before(spec, tuple(left), out))
    return found


def _before(spec: SimulateSpec, seeds: tuple[int, ...], out: Path) -> Block:
    """The seeds at the end of the block of generations before this one."""
    if spec.first == 1:
        return block_of(spec.run).fresh(spec.run, seeds)
    places = out.parent.glob(f"gens-*-{spec.first - 1}/{STATE}")
    (path,) = list(places)[:1] or [out.parent / f"gens-…-{spec.first - 1}" / STATE]
    block = block_of(spec.run).of_file(read_tensors(path), spec.run).of_seeds(seeds)
    block.forget()
    return block


def _others(spec: SimulateSpec, out: Path) -> list[Block]:
    """The states that this block may continue from: its own unfinished one, and those of blocks that begin alike."""
    key, places = key_of(spec), f"seeds-*/gens-{spec.first}-*"
    found = []
    for name in (STATE, UNFINISHED):
        for path in out.parent.parent.glob(f"{places}/{name}"):
            try:
                tensors, header = read_tensors(path)
            except ArtifactError:
                continue  # a broken file costs its work, not the job
            if header.get("key") == key and int(header["generation"]) <= spec.last:
                found.append(block_of(spec.run).of_file((tensors, header), spec.run))
    return found


def key_of(spec: SimulateSpec) -> str:
    """Stands for all that a block's content depends on, but for which seeds it has and where it ends."""
    runs = spec.run.ecosystem.members if spec.run.ecosystem else (spec.run,)
    for about in (run.model for run in runs):
        if (code := family(about.family).revision) != about.revision:
            raise SpecError(f"{about.family}: revision {about.revision} requested, but the code is at {code}")
    return digest(
        {
            **{"run": spec.run, "first": spec.first, "measures": spec.measures, "every": spec.measure_every},
            **({"selected": True} if spec.selected else {}),
            **({"of_members": spec.of_members} if spec.of_members else {}),
        },
        64,
    )
