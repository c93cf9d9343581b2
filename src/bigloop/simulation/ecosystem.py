"""Models that train on each other's samples, in step, and many seeds at once: each member a block of lineages.

An ecosystem has what `Lineages` has, so that a job simulates one as it does the other. What it writes says whose each
record is, and whose each generation's points: the column `member`, and names such as 1/4 for member 1, generation 4.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from bigloop.artifacts import write_tensors
from bigloop.measures.points import Judge
from bigloop.measures.records import Record
from bigloop.runtime.progress import Report
from bigloop.simulation.lineages import Lineages, below
from bigloop.spec.runs import RunSpec


@dataclass
class Ecosystem:
    """Some seeds of all members at the end of a generation, 0 before the first. run: that of the first member."""

    run: RunSpec
    members: list[Lineages]

    def __post_init__(self) -> None:
        for member in self.members:
            member.siblings = self.members

    @classmethod
    def fresh(cls, run: RunSpec, seeds: tuple[int, ...]) -> Self:
        """Before the first generation."""
        assert run.ecosystem
        count = len(run.ecosystem.members)
        return cls(run, [Lineages.fresh(run.of_member(i), seeds) for i in range(count)])

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.members[0].seeds

    @property
    def generation(self) -> int:
        return self.members[0].generation

    @property
    def records(self) -> list[Record]:
        """What was measured of all members, by generation."""
        every = [r | {"member": i} for i, member in enumerate(self.members) for r in member.records]
        return sorted(every, key=lambda r: (r["generation"], self.seeds.index(r["seed"])))

    @property
    def points(self) -> dict[str, np.ndarray]:
        """Points of the first seed, by member and generation."""
        return {f"{i}/{t}": p for i, member in enumerate(self.members) for t, p in member.points.items()}

    def advance(self, report: Report) -> None:
        """Train the next generation of all members, each on what all left before, and sample it."""
        for member in self.members:
            member.learn(report)
        for member in self.members:
            member.hand_over()

    def measure(self, judges: Sequence[Judge], of_selected: bool = False) -> None:
        """Add the records of this generation of every member."""
        for member in self.members:
            member.measure(judges, of_selected)

    def forget(self) -> None:
        """Drop what was measured up to now."""
        for member in self.members:
            member.forget()

    judges = staticmethod(Lineages.judges)

    def save(self, path: Path, key: str) -> None:
        """Write all of it; `key` stands for what it is the result of."""
        tensors = {
            f"member-{i}/{name}": array
            for i, member in enumerate(self.members)
            for name, array in member.tensors().items()
        }
        header = {"key": key, "seeds": json.dumps(self.seeds), "generation": str(self.generation)}
        write_tensors(path, tensors, header)

    @classmethod
    def of_file(cls, content: tuple[dict[str, np.ndarray], Mapping[str, str]], run: RunSpec) -> Self:
        """What `save` wrote, from its file's arrays and header."""
        tensors, header = content
        assert run.ecosystem
        parts = [below(tensors, f"member-{i}/") for i in range(len(run.ecosystem.members))]
        given: Any = header
        return cls(run, [Lineages.of_file((part, given), run.of_member(i)) for i, part in enumerate(parts)])

    def of_seeds(self, seeds: tuple[int, ...]) -> Self:
        """The same of some of its seeds alone."""
        return type(self)(self.run, [member.of_seeds(seeds) for member in self.members])

    @classmethod
    def joined(cls, parts: Sequence[Self], seeds: tuple[int, ...]) -> Self:
        """The seeds of several parts, all at the same generation, in one, in the order of `seeds`."""
        several = zip(*(part.members for part in parts), strict=True)
        return cls(parts[0].run, [Lineages.joined(members, seeds) for members in several])


def block_of(run: RunSpec) -> type[Lineages] | type[Ecosystem]:
    """What a block of a simulated run is: of one lineage a seed, or of those of all members of its ecosystem."""
    return Ecosystem if run.ecosystem else Lineages
