"""Pages that are written when the site is built: every config key, the command line, the Python API."""

from __future__ import annotations

import argparse
import csv
import html
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from bigloop.analysis.claims import all_claims
from bigloop.analysis.claims.evidence import NOT_TESTED

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "bigloop"
FEATURES = "#/$defs/features"  # described once


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the API pages to the navigation."""
    reference = next(section["Reference"] for section in config.nav if "Reference" in section)
    reference.append({"Python API": [f"reference/api/{name}.md" for name in _rooms()]})
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Keep "10 000", "0.95 ± 0.01" and "24 GiB" on one line, outside code."""
    parts = re.split(r"(^```.*?^```|`[^`\n]+`)", markdown, flags=re.DOTALL | re.MULTILINE)
    parts[::2] = (
        re.sub(r"(?<=\d) (?=\d{3}\b|± ?\d|%|s\b|GiB\b|GB\b)|(?<=\d ±) (?=\d)", "\u00a0", p)
        for p in parts[::2]
    )
    return "".join(parts)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages themselves."""
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    pages = {"reference/config.md": config_page(schema), "reference/cli.md": cli_page()}
    pages["experiments/claims.md"] = claims_page()
    pages["experiments/gallery.md"] = gallery_page(
        (ROOT / "docs/experiments/index.md").read_text(encoding="utf-8")
    )
    pages |= {f"reference/api/{name}.md": api_page(name) for name in _rooms()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


PICTURES = {  # of the experiments in the gallery
    "config.yaml": "../images/quickstart.png",
    "knutsen2025": "../knutsen2025/collapse.png",
    "known-gaussian": "../images/effective-bias.png",
    "loops-small": "../images/loops.png",
    "mad-gmm": "../images/gmm.png",
    "stability-moons": "../images/moons.png",
    "stability-images-small": "../images/stability-images.png",
    "sampler-small": "../images/samplers.png",
    "mode-collapse": "../images/remedies.png",
    "remedies-loop": "../images/remedies-loop.png",
}


def gallery_page(index: str) -> str:
    """The shipped experiments as cards: picture, what it shows, cost, command; from the table of the page beside it."""
    cards = []
    for line in index.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("| `") or len(cells) != 5:
            continue
        config, paper, shows, cost, status = cells
        name = config.strip("` ")
        file = name if name.endswith(".yaml") else f"workflow/experiments/{name}.yaml"
        command = "snakemake --cores 2" + ("" if name == "config.yaml" else f" --configfile {file}")
        picture = (
            f"    ![Figure of {name}]({PICTURES[name]}){{ loading=lazy }}\n\n" if name in PICTURES else ""
        )
        cards.append(
            f"-   **{name}**\n\n{picture}    {shows[:1].upper()}{shows[1:]} ({paper}).\n\n"
            f"    {cost}; {status}.\n\n    `{command}`\n"
        )
    head = "# Gallery\n\nEvery experiment that comes with bigloop. Those with a picture have been run.\n\n"
    return f'{head}<div class="grid cards" markdown>\n\n{chr(10).join(cards)}\n</div>\n'


def claims_page() -> str:
    """Every claim of the papers, and what the experiments whose tables lie in docs/claims found of it."""
    found: dict[str, list[tuple[str, dict[str, str]]]] = {}
    for path in sorted((ROOT / "docs" / "claims").glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                # A comparison that one seed does not allow has its numbers, too.
                if row["numbers"] and not row["reason"].endswith("not measured"):
                    found.setdefault(row["claim_id"], []).append((path.stem, row))
    page = [
        "# Claims of the papers\n",
        "Every claim that bigloop tests, and what our own experiments found. A claim is *verified* or *contradicted* by "
        "faithful runs only; of others it is said whether reduced models agree: see "
        "[verdicts and claims](../concepts/verdicts.md#claims). Open a status for the numbers behind it, and for the "
        "command that computes them again. This page is written from the committed tables in `docs/claims`.\n",
    ]
    papers = dict.fromkeys(claim.paper for _, claim in all_claims())
    for paper in papers:
        page += [f"\n## {paper}\n", "| claim | status |", "| --- | --- |"]
        for claim in (claim for _, claim in all_claims() if claim.paper == paper):
            status = "".join(_finding(*one) for one in found.get(claim.id, [])) or NOT_TESTED
            page.append(f"| {claim.sentence} | {status} |")
    return "\n".join(page) + "\n"


def _finding(experiment: str, row: dict[str, str]) -> str:
    config = f"workflow/experiments/{experiment}.yaml"
    command = (
        f"snakemake --cores 2 --configfile {config} tables"
        if (ROOT / config).is_file()
        else "snakemake --cores 2 tables"
    )
    numbers = html.escape(row["numbers"]).replace("|", "&#124;")
    inside = f"{numbers}<br>{html.escape(row['reason'])}<br><code>{command}</code>"
    return f"<details><summary>{row['verdict']} ({experiment})</summary>{inside}</details>"


def config_page(schema: dict[str, Any]) -> str:
    """Every key of a config as tables, one section for each top-level key."""
    page = [
        "# Config keys\n",
        "A config is one YAML file. The keys below are all there are; an unknown one is an error. This page is "
        "generated from `workflow/schemas/config.schema.yaml`, which editors with a YAML language server use for "
        "completion and checks. `NAME` stands for a name of your choice: letters, digits, `_`, `.` and single `-`.\n",
    ]
    required = schema.get("required", [])
    for key, part in schema["properties"].items():
        need = " *Required.*" if key in required else ""
        page += [f"\n## `{key}` {{ #{key} }}\n", f"{_sentence(_resolve(part, schema))}{need}\n"]
        page += _sections(part, key, schema)
    return "\n".join([*page, *_features(schema)])


def _features(schema: dict[str, Any]) -> Iterator[str]:
    """What may stand at a key `features`: in one place, for datasets and measures have it alike."""
    yield "\n## What `features` may be { #features }\n"
    yield "A kind's name, or a mapping with the key of that name, what is chosen of it, and its other options.\n"
    for kind in _choices(schema["$defs"]["features"]):
        if needed := kind.get("required"):
            yield f"\n### `features: {needed[0]}`\n\n{_sentence(kind)}\n"
            yield from _table([row for k, p in kind["properties"].items() for row in _rows(p, k, schema)])


def _sections(part: dict[str, Any], path: str, schema: dict[str, Any]) -> Iterator[str]:
    if path in ("measures", "figures"):
        for name, entry in part["properties"].items():
            inner = next(
                (c for c in [_resolve(e, schema) for e in (entry, *_choices(entry))] if "properties" in c), {}
            )
            yield f"\n### `{name}` {{ #{path}-{name} }}\n\n{_sentence(_resolve(entry, schema))}\n"
            keys = [(k, p) for k, p in inner.get("properties", {}).items() if k != "figure"]
            yield from _table([row for k, p in keys for row in _rows(p, k, schema)])
        return
    rows = list(_rows(part, path, schema))
    yield from _table([row for row in rows[1:] if row[0] != f"{path}.NAME"] or rows)
    for (key, name), variant in _variants(part, schema):
        yield f"\n### `{key}: {name}` {{ #{path}-{name} }}\n"
        if text := _sentence(variant):
            yield f"{text}\n"
        keys = [(k, p) for k, p in variant.get("properties", {}).items() if k != key]
        needed = variant.get("required", [])
        yield from _table([row for k, p in keys for row in _rows(p, k, schema, k in needed)])


def _table(rows: list[tuple[str, str, str, str]]) -> Iterator[str]:
    if not rows:
        yield "No options.\n"
        return
    yield "| key | type | default | meaning |\n| --- | --- | --- | --- |"
    for key, *rest in rows:
        cells = [f"`{key}`", *rest]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _rows(
    part: dict[str, Any], path: str, schema: dict[str, Any], required: bool = False
) -> Iterator[tuple[str, str, str, str]]:
    """The key itself, then all keys within it: key, type, default, meaning."""
    if part.get("$ref") == FEATURES:
        yield path, "[features](#features)", "", _sentence(part)
        return
    part = _resolve(part, schema)
    default = (
        "*required*"
        if required
        else f"`{_value(part['default'])}`"
        if part.get("default") not in (None, "", [])
        else ""
    )
    yield path, _type(part, schema), default, _sentence(part)
    for inner in (part, *(_resolve(p, schema) for p in _choices(part))):
        needed = inner.get("required", [])
        for key, sub in inner.get("properties", {}).items():
            yield from _rows(sub, f"{path}.{key}", schema, key in needed)
        if isinstance(entry := inner.get("additionalProperties"), dict):
            yield from _rows(entry, f"{path}.NAME", schema)
        if isinstance(item := inner.get("items"), dict) and "properties" in _resolve(item, schema):
            yield from _rows(item, f"{path}[]", schema)


def _variants(
    part: dict[str, Any], schema: dict[str, Any]
) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    """What a key's value adds: ("family", "vae") and the keys that a VAE has."""
    part = _resolve(part, schema)
    for inner in (part, part.get("additionalProperties")):
        for choice in inner.get("allOf", []) if isinstance(inner, dict) else []:
            if "if" in choice:
                ((key, value),) = choice["if"]["properties"].items()
                yield (key, str(value["const"])), _resolve(choice["then"], schema)


def _choices(part: dict[str, Any]) -> list[dict[str, Any]]:
    return [*part.get("anyOf", []), *part.get("oneOf", [])]


def _resolve(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    target: Any = schema
    for step in part["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return {**_resolve(target, schema), **{k: v for k, v in part.items() if k != "$ref"}}


def _type(part: dict[str, Any], schema: dict[str, Any]) -> str:
    if "const" in part:
        return f"`{_value(part['const'])}`"
    if "enum" in part:
        return ", ".join(f"`{_value(choice)}`" for choice in part["enum"])
    if choices := [_type(_resolve(choice, schema), schema) for choice in _choices(part)]:
        return " or ".join(dict.fromkeys(filter(None, choices)))
    names = part.get("type", "object" if "properties" in part else "any")
    words = " or ".join(n for n in (names if isinstance(names, list) else [names]) if n != "null")
    low = [
        f"{sign} {_value(part[k])}" for k, sign in (("minimum", "≥"), ("exclusiveMinimum", ">")) if k in part
    ]
    high = [
        f"{sign} {_value(part[k])}" for k, sign in (("maximum", "≤"), ("exclusiveMaximum", "<")) if k in part
    ]
    return " ".join([words, ", ".join(low + high)]).strip()


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if (
        isinstance(value, int | float)
        and value >= 10_000
        and (power := round(math.log10(value)))
        and value == 10**power
    ):
        return "10" + str(power).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return str(value)


def _sentence(part: dict[str, Any]) -> str:
    return " ".join(str(part.get("description", "")).split())


FOR_PEOPLE = ("status", "measure", "bench")


def cli_page() -> str:
    """Every verb of `python -m bigloop` and its options, those that people call first."""
    from bigloop.__main__ import _parser

    page = [
        "# Command line\n",
        "`bigloop VERB` and `python -m bigloop VERB` are the same. People call `status`, `measure` and `bench`; the "
        "workflow calls the other verbs, once for each job.\n",
    ]
    (verbs,) = (a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    names = [*FOR_PEOPLE, *(name for name in verbs.choices if name not in FOR_PEOPLE)]
    shared = set.intersection(*(set(_options(verb)) for verb in verbs.choices.values()))
    for name in names:
        verb = verbs.choices[name]
        page += [f"\n## `{name}`\n", f"{verb.description}\n"]
        page += _option_table([row for row in _options(verb) if row not in shared])
    page += ["\n## Options of every verb\n", *_option_table([r for r in _options(verb) if r in shared])]
    return "\n".join(page)


def _options(verb: argparse.ArgumentParser) -> list[tuple[str, str]]:
    shown = [a for a in verb._actions if a.dest != "help" and a.help != argparse.SUPPRESS]
    return [(_usage(action), (action.help or "").replace("|", "\\|")) for action in shown]


def _usage(action: argparse.Action) -> str:
    if not action.option_strings:
        return str(action.metavar or action.dest)
    if action.nargs == 0:
        return action.option_strings[0]
    value = action.metavar or (action.choices and ",".join(map(str, action.choices))) or action.dest.upper()
    return f"{action.option_strings[0]} {' '.join(value) if isinstance(value, tuple) else value}"


def _option_table(rows: list[tuple[str, str]]) -> list[str]:
    if not rows:
        return ["No further options.\n"]
    return [
        "| option | meaning |\n| --- | --- |",
        *(f"| `{option}` | {words} |" for option, words in rows),
        "",
    ]


def api_page(name: str) -> str:
    """The public names of a package or module, from its docstrings."""
    room = PACKAGE / name
    modules = [f"bigloop.{name}"] if not room.is_dir() else _modules(room)
    return "\n\n".join([f"# bigloop.{name}", *(f"::: {module}" for module in modules)]) + "\n"


def _modules(room: Path) -> list[str]:
    paths = sorted(room.rglob("*.py"), key=lambda p: (p.parent, p.name != "__init__.py", p.name))
    dotted = (".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts) for p in paths)
    return [name.removesuffix(".__init__") for name in dotted]


def _rooms() -> list[str]:
    entries = (p for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file())
    return sorted(p.stem for p in entries if not p.stem.startswith("__"))
