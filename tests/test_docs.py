"""What the documentation shows works: its model family goes through the loop, its links lead somewhere, its YAML and
its commands use keys and options that exist."""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
import yaml

from bigloop.__main__ import _parser
from bigloop.generation.store import new_model
from bigloop.models import FAMILIES, resolve
from bigloop.seeding import torch_generator
from bigloop.spec.loops import Budget
from bigloop.spec.options import SpecError

ROOT = Path(__file__).parents[1]
EXTENDING = ROOT / "docs" / "extending"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def plugins() -> dict[str, str]:
    """The modules that the pages on extending show, by name."""
    found = re.findall(
        r"```python\n# (\w+)\.py\n(.*?)```",
        "".join(page.read_text() for page in sorted(EXTENDING.glob("*.md"))),
        flags=re.DOTALL,
    )
    return dict(found)


PLANS = """
import json, sys
from bigloop.config.experiment import Experiment
print(Experiment.from_config(json.loads(sys.argv[1])).plugins)
"""


@pytest.fixture
def pca(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("pca")
    monkeypatch.setitem(sys.modules, "pca", module)
    exec(compile(plugins()["pca"], "pca.py", "exec"), module.__dict__)
    monkeypatch.setitem(FAMILIES, "pca", module.FAMILIES["pca"])


@pytest.mark.usefixtures("pca")
def test_the_family_of_the_documentation_learns_a_gaussian_and_restores_itself():
    draw = torch.Generator().manual_seed(0)
    mixing = torch.randn(3, 36, generator=draw)
    rows = (torch.randn(4_000, 3, generator=draw) @ mixing + 2).reshape(-1, 1, 6, 6)
    spec = resolve("pca", {"components": 3}, "models.pca")
    model = new_model(spec, (1, 6, 6), seed=0, generation=1, device=torch.device("cpu"))
    (row,) = model.fit(rows, Budget(epochs=1), torch_generator(0, 1, "training"), lambda line: None)
    assert row["loss"] == pytest.approx(0, abs=1e-2)  # three components carry all the variance

    images = model.sample(4_000, 1.0, torch_generator(0, 1, "sampling"))
    covariance = torch.cov(images.float().flatten(1).T)
    # Standard error of a covariance of 4 000 rows is about 2.2 % of the variances; two samples, four of them.
    assert (covariance - torch.cov(rows.flatten(1).T)).abs().max() < 0.13 * covariance.diag().max()

    tensors, facts = model.state()
    other = new_model(spec, (1, 6, 6), seed=5, generation=1, device=torch.device("cpu"))
    other.restore(tensors, facts)
    assert torch.equal(other.sample(4_000, 1.0, torch_generator(0, 1, "sampling")), images)


@pytest.mark.usefixtures("pca")
def test_an_unknown_option_of_the_familys_own_is_named():
    with pytest.raises(SpecError, match=r"models\.mine\.component: unknown key"):
        resolve("pca", {"component": 3}, "models.mine")


@pytest.mark.parametrize("name", plugins())
def test_a_plugin_of_the_documentation_is_found_and_its_config_is_accepted(name: str, tmp_path: Path):
    (tmp_path / f"{name}.py").write_text(plugins()[name])
    config = yaml.safe_load((ROOT / "tests/smoke/config.yaml").read_text())
    shown = [
        yaml.safe_load(block)
        for page in sorted(EXTENDING.glob("*.md"))
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), flags=re.DOTALL)
    ]
    (given,) = (block for block in shown if block.get("plugins") == [name])
    for key, value in given.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    command = [sys.executable, "-c", PLANS, json.dumps(config)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert name in done.stdout


def test_the_readme_fits_on_three_screens():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page: Path):
    generated = {"reference/config.md", "reference/cli.md", "experiments/claims.md", "experiments/gallery.md"}
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" in target:
            continue
        path = (page.parent / target).resolve()
        known = path.is_relative_to(ROOT / "docs") and str(path.relative_to(ROOT / "docs")) in generated
        assert known or path.exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_of_the_repository_that_a_page_names_exist(page: Path):
    for name in re.findall(r"`((?:src|tests|workflow|profiles|envs)/[\w./-]+)`", page.read_text()):
        assert "pca.py" in name or (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_of_bigloop_and_profiles_that_a_page_names_exist(page: Path):
    """In commands: every `python -m bigloop VERB --option` and every profile and config file."""
    (verbs,) = (a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    for line in re.findall(r"(?:python -m )?bigloop (\w+ [^`#\n]*)", page.read_text()):
        verb, *words = line.split()
        if verb in verbs.choices:
            options = [word for word in words if re.fullmatch(r"--[a-z-]+", word)]
            assert set(options) <= {o for a in verbs.choices[verb]._actions for o in a.option_strings}, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_yaml_on_a_page_has_keys_that_a_config_knows(page: Path):
    known = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())["properties"]
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), flags=re.DOTALL):
        assert set(yaml.safe_load(block)) <= set(known), block


def test_the_gallery_has_a_card_for_each_config_and_pictures_of_those_that_were_run():
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    index = (ROOT / "docs" / "experiments" / "index.md").read_text()
    page = hooks.gallery_page(index)
    shipped = {path.stem for path in (ROOT / "workflow" / "experiments").glob("*.yaml")} | {"config.yaml"}
    assert set(re.findall(r"^-   \*\*(.+)\*\*$", page, flags=re.MULTILINE)) == shipped
    for name, picture in hooks.PICTURES.items():
        (row,) = [line for line in index.splitlines() if line.startswith(f"| `{name}` |")]
        assert not row.endswith("| never run |")
        assert (ROOT / "docs" / "experiments" / picture).is_file()
