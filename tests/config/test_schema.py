"""What is generated from the declarations is current, and says what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from bigloop.config.schema import config_schema
from bigloop.ops import schema as generated
from bigloop.spec.hints import schema_of
from bigloop.spec.options import SpecError, parse, to_dict
from bigloop.spec.registry import KINDS, Registry, declared

from ..shipped import SHIPPED

REPOSITORY = Path(__file__).parents[2]
SMALL = sorted((REPOSITORY / "tests" / "smoke").glob("*.yaml"))
THINGS = [
    (kind, name)
    for kind in KINDS
    for name, about in declared(kind).items()
    if about.options and kind != "claims"
]

NEEDED = {"torchvision": {"torchvision": "resnet18"}, "pool": {"n": 5}}  # of options that have no default


@pytest.fixture
def in_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


@pytest.mark.usefixtures("in_repository")
def test_the_generated_files_are_current() -> None:
    assert generated.generate(check=True) == []


@pytest.mark.usefixtures("in_repository")
@pytest.mark.parametrize("name", ["REGISTERED", "SCHEMA"])
def test_a_generated_file_that_is_not_current_is_named_and_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current: Path = getattr(generated, name)
    old = tmp_path / current.name
    old.write_text(current.read_text().replace("learning_rate", "rate_of_learning"))
    monkeypatch.setattr(generated, name, old)
    with pytest.raises(SpecError, match=r"is not what the code declares; run `make schema`$"):
        generated.generate(check=True)
    assert generated.generate(check=False) == [old]
    assert old.read_text() == current.read_text()


@pytest.mark.parametrize(("kind", "name"), THINGS)
def test_planning_has_the_options_that_a_thing_itself_declares(kind: str, name: str) -> None:
    own = Registry.all[kind][name].Options
    shipped = declared(kind)[name].Options
    assert schema_of(shipped) == schema_of(own)
    given = NEEDED.get(name, {})
    assert to_dict(parse(shipped, given, name)) == to_dict(parse(own, given, name))


@pytest.mark.parametrize("path", [*SHIPPED, *SMALL], ids=lambda path: path.stem)
def test_a_shipped_config_is_valid_and_leads_editors_to_the_schema(path: Path) -> None:
    text = path.read_text()
    key, _, place = text.splitlines()[0].partition("=")
    assert key == "# yaml-language-server: $schema"
    assert (path.parent / place).resolve() == REPOSITORY / "workflow" / "schemas" / "config.schema.yaml"
    jsonschema.Draft202012Validator(config_schema()).validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "change",
    [
        {"experimnt": "x"},
        {"models": {"vae": {"family": "vae", "laten": 3}}},
        {"models": {"vae": {"family": "vae", "latent": 0}}},
        {"loops": {"a/b": {}}},
        {"measures": {"fidd": None}},
        {"measures": {"fid": {"n": 1}}},
        {"figures": {"samples": {"sid": 3}}},
    ],
    ids=json.dumps,
)
def test_editors_see_the_faults_that_planning_finds(change: dict[str, Any], config: dict[str, Any]) -> None:
    errors = jsonschema.Draft202012Validator(config_schema()).iter_errors(config | change)
    assert any(
        set(error.absolute_path) >= {next(iter(change))} or not error.absolute_path for error in errors
    )
