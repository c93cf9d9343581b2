"""What a config says of models that train on each other's samples: a run for each member."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bigloop.config.declared import EcosystemEntry, MemberEntry, RunEntry, check_name
from bigloop.config.runs import Run, by_moments
from bigloop.config.sweep import Point, referred
from bigloop.loops import apportioned
from bigloop.spec.options import SpecError, parse
from bigloop.spec.runs import EcosystemSpec, MemberSpec


def members_of(name: str, entry: RunEntry, known: Mapping[Any, Mapping[Any, Any]] | None) -> dict[str, Point]:
    """The members of the ecosystem that a run names, each as a run of its own, by their names in it."""
    where = f"runs.{name}"
    for key in ("model", "loop", "over", "weights", "generated"):
        if getattr(entry, key) is not None:
            raise SpecError(f"{where}.{key}: has no place beside ecosystem, whose members say it")
    given = referred("ecosystem", entry.ecosystem, known, where)
    at, points = f"ecosystems.{entry.ecosystem}", {}
    for member, about in parse(EcosystemEntry, given, at).members.items():
        check_name(member, f"{at}.members.{member}")
        said = parse(MemberEntry, about, f"{at}.members.{member}")
        own = replace(entry, ecosystem=None, model=said.model, loop=said.loop)
        label = f"{entry.label or name}: {said.label or member}"
        points[member] = Point(f"{name}-{member}", label, entry.label or name, own)
    return points


def joined(
    entry: RunEntry, known: Mapping[Any, Mapping[Any, Any]] | None, members: Mapping[str, Run]
) -> list[Run]:
    """The runs of all members, each of which knows the others."""
    at = f"ecosystems.{entry.ecosystem}"
    shares = parse(EcosystemEntry, (known or {})[entry.ecosystem], at).shares
    runs = list(members.values())
    if len(shares) != len(runs):
        raise SpecError(f"{at}.shares: has {len(shares)} rows, expected one for each of {len(runs)} members")
    for i, row in enumerate(shares):
        if len(row) != len(runs):
            raise SpecError(
                f"{at}.shares.{i}: has {len(row)} numbers, expected one for each of {len(runs)} members"
            )
        if min(row) < 0 or not math.isclose(sum(row), 1, abs_tol=1e-9):
            raise SpecError(
                f"{at}.shares.{i}: expected numbers of 0 or more that have the sum 1, got {list(row)}"
            )
    if len({by_moments(run) for run in runs}) > 1:
        raise SpecError(f"{at}.members: either all or none draw moments")
    loops = [run.spec.looped for run in runs]
    for name, loop, row in zip(members, loops, shares, strict=True):
        if by_moments(runs[0]) and loop.synthetic.from_ == "all":
            raise SpecError(
                f"loops.{members[name].loop}.synthetic.from: with draws: moments, expected a number"
            )
        wanted = apportioned(loop.synthetic.rows(loop.real.fixed + loop.real.fresh), row)
        for other, source, rows in zip(members, loops, wanted, strict=True):
            if rows > source.most:
                raise SpecError(
                    f"{at}.shares: {name} asks for {rows} rows of {other}, which hands on {source.most}"
                )
    ecosystem = EcosystemSpec(tuple(MemberSpec(run.spec.model, run.spec.looped) for run in runs), shares)
    names = tuple(run.name for run in runs)
    return [
        replace(run, spec=replace(run.spec, ecosystem=ecosystem, member=i), siblings=names)
        for i, run in enumerate(runs)
    ]
