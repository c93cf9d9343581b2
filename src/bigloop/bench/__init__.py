"""The benchmark: how fast each part works here and now, beside what it could be compared with.

    python -m bigloop bench                 every section
    python -m bigloop bench steps together  these alone; --quick for small sizes, --out for JSON

A section is a file with a function that yields rows, each of which was measured, never extrapolated. To add one, write
such a file and add its line to SECTIONS.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from bigloop.artifacts import write_json
from bigloop.bench import growth, jobs, large, loop, measures, pictures, remedies, steps, together
from bigloop.bench.plain import PlainVAE, PlainWGANGP
from bigloop.bench.setting import Needs, Setting, require_checkout
from bigloop.bench.table import Section, doing, head, line
from bigloop.runtime.words import duration
from bigloop.spec.options import SpecError
from bigloop.training.devices import default_device

__all__ = ["SECTIONS", "PlainVAE", "PlainWGANGP", "main"]

SECTIONS: dict[str, Section] = {
    section.name: section
    for section in (
        steps.SECTION,
        pictures.SECTION,
        large.SECTION,
        remedies.SECTION,
        jobs.SECTION,
        loop.SECTION,
        together.SECTION,
        measures.SECTION,
        growth.SECTION,
    )
}

log = logging.getLogger("bigloop")


def main(options: argparse.Namespace, needs: Needs) -> None:
    """Measure the sections asked for, or all, print their tables and write them as JSON where asked.

    needs: the modules that each verb imports before its work begins. Raises SpecError for an unknown section, and where
    a section needs the project's root and is called elsewhere.
    """
    chosen = sections(options.sections)
    if any(section.in_checkout for section in chosen):
        require_checkout([section.name for section in chosen if section.in_checkout])
    with tempfile.TemporaryDirectory(prefix="bigloop-bench-") as scratch:
        setting = Setting(
            default_device(),
            1 if options.quick else options.rounds,
            options.quick,
            Path(scratch),
            options.data,
            needs,
        )
        about = {"date": datetime.now().astimezone().isoformat(timespec="seconds"), **setting.facts()}
        log.info("%s", "   ".join(_words(about)))
        if options.quick:
            log.info("quick: small sizes, once each; for reliable numbers, omit --quick")
        found: dict[str, Any] = {}
        for section in chosen:
            found[section.name] = measured(section, setting)
            if options.out:  # what is found stays where a later section is interrupted
                write_json(options.out, {**about, "sections": found})


def sections(names: list[str]) -> list[Section]:
    """The sections of these names, or all; raises SpecError for an unknown one."""
    for name in names:
        if name not in SECTIONS:
            raise SpecError(f"bench: unknown section {name!r} (known: {', '.join(SECTIONS)})")
    return [SECTIONS[name] for name in names] or list(SECTIONS.values())


def measured(section: Section, setting: Setting) -> dict[str, Any]:
    """What a section finds, printed row by row as it is found."""
    begun = time.monotonic()
    log.info("\n%s: %s\n", section.name, section.about)
    log.info("%s", head(section))
    rows = []
    doing("beginning")
    for row in section.rows(setting):
        log.info("%s", line(section, row))
        rows.append(row._asdict())
    log.info("(%s took %s)", section.name, duration(time.monotonic() - begun))
    return {"about": section.about, "rows": rows}


def _words(about: Mapping[str, Any]) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return [
        about["date"],
        about["device"] if about["device"] == about["cpu"] else f"{about['device']}, {about['cpu']}",
        f"{about['cores']} cores, {about['threads']} threads",
        versions,
    ]
