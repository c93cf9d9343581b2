"""The rooms of the package lie on floors: a room imports from its own package or from a lower floor, never uphill."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "bigloop"
FLOORS = (
    {"spec", "artifacts", "seeding", "runtime"},
    {"data", "loops", "training", "metrics"},
    {"models", "analysis"},
    {"config", "generation"},
    {"measures"},
    {"simulation", "figures"},
    {"ops", "bench"},
    {"__main__"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST = 350
MOST_ENTRIES = 20


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The rooms that a module imports from, wherever in it the import stands, for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "bigloop":
            inner = node.module.split(".")[1:]
            found |= {inner[0]} if inner else {alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("bigloop.")}
    return found - {"__version__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_from_its_own_package_or_from_a_lower_floor(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        assert not imported(path)
        return
    uphill = {other for other in imported(path) - {room} if FLOOR[other] >= FLOOR[room]}
    level = {"artifacts", "runtime", "seeding", "spec"}  # the ground floor's own order is tested below
    assert not uphill - (level if room in level else set())


def test_no_two_rooms_import_each_other() -> None:
    arrows = {room: set().union(*map(imported, MODULES_OF[room])) - {room} for room in MODULES_OF}
    assert not {(a, b) for a in arrows for b in arrows[a] if a in arrows.get(b, set())}


MODULES_OF: dict[str, list[Path]] = {}
for module in MODULES:
    MODULES_OF.setdefault(room_of(module), []).append(module)


def test_every_room_has_a_floor_and_there_are_few() -> None:
    assert set(MODULES_OF) - {"__init__"} == set(FLOOR)
    assert len([entry for entry in PACKAGE.iterdir() if entry.name != "__pycache__"]) <= MOST_ENTRIES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST
