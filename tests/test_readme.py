"""What the README shows must work: its model family, copied as it stands, goes through the loop."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest
import torch

from bigloop.generation.store import new_model
from bigloop.models import FAMILIES, resolve
from bigloop.seeding import torch_generator
from bigloop.spec.options import SpecError
from bigloop.spec.runs import Budget

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def pca(monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(
        r"```python\n(# src/bigloop/models/pca\.py\n.*?)```", README.read_text(), flags=re.DOTALL
    )
    module = types.ModuleType("bigloop.models.pca")
    monkeypatch.setitem(sys.modules, "bigloop.models.pca", module)
    exec(compile(code, "README.md", "exec"), module.__dict__)
    monkeypatch.setitem(FAMILIES, "pca", "bigloop.models.pca:PCA")


@pytest.mark.usefixtures("pca")
def test_the_family_of_the_readme_learns_a_gaussian_and_restores_itself():
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
