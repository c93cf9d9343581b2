"""What is registered is found by its name; plugins add to it, and what is wrong with one is said in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bigloop.spec.options import SpecError
from bigloop.spec.registry import PLUGINS, Registry, declared, load_plugins

MINE = '''
from dataclasses import dataclass
from bigloop.spec.options import option

class Mine:
    """A family of my own."""

    revision = 3
    conditional = True

    @dataclass(frozen=True)
    class Options:
        width: int = option(3, "a width", minimum=1)

FAMILIES = {"mine": Mine}
DENSITIES = {"unwritten": "no_such_module:Density"}
'''
ASK = """
from bigloop.spec.registry import declared, load_plugins
print(load_plugins())
about = declared("families")["mine"]
print(about.about, about.revision, about.conditional, about.continues, about.options["width"]["default"])
from bigloop.models import FAMILIES, resolve
print(FAMILIES["mine"].__name__, resolve("mine", {}, "models.mine").options)
"""


def test_a_thing_is_imported_when_it_is_asked_for() -> None:
    found = Registry("tests", {"path": "pathlib:Path", "itself": 3})
    assert found["path"] is Path
    assert dict(found.items()) == {"path": Path, "itself": 3}
    del Registry.all["tests"]


def test_an_unknown_name_is_one_line_with_the_known_ones() -> None:
    with pytest.raises(
        SpecError, match=r"\Adensity: unknown density 'cauchy' \(known: gaussian, grid, [^\n]*\)\Z"
    ):
        declared("densities")["cauchy"]


@pytest.mark.parametrize("way", ["environment", "entry point"])
def test_a_job_has_what_plugins_add(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_things.py").write_text(MINE)
    if way == "environment":
        monkeypatch.setenv(PLUGINS, "my_things")
    else:
        monkeypatch.delenv(PLUGINS, raising=False)
        about = tmp_path / "my_things-1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-things\nVersion: 1\n")
        (about / "entry_points.txt").write_text("[bigloop.plugins]\nmine = my_things\n")
    command = [sys.executable, "-c", ASK]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "('my_things',)",
        "A family of my own. 3 True False 3",
        "Mine {'width': 3}",
    ]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        (
            "broken_plugin",
            "1 / 0",
            "plugins: broken_plugin: cannot be imported (ZeroDivisionError: division by zero)",
        ),
        (
            "leaving_plugin",
            "raise SystemExit(3)",
            "plugins: leaving_plugin: cannot be imported (SystemExit: 3)",
        ),
        ("second_vae", "FAMILIES = {'vae': 'a:b'}", "plugins: second_vae: there is a family 'vae' already"),
    ],
)
def test_what_is_wrong_with_a_plugin_is_one_line(
    name: str, text: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SpecError) as raised:
        load_plugins([name])
    assert str(raised.value) == line
