"""bigloop from a wheel, in a folder that knows nothing of the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import bigloop
from bigloop.ops.project import init
from bigloop.spec.options import SpecError

from .conftest import KNOWN, REPOSITORY

pytestmark = pytest.mark.workflow

HEAVY = (
    "torch",
    "torchvision",
    "torch_fidelity",
    "matplotlib",
    "scipy",
    "sklearn",
    "ot",
    "rocrate",
)
# Stands in an environment for one in which these are not installed.
MISSING = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY}:
            raise ModuleNotFoundError(f"No module named {{name!r}}")
sys.meta_path.insert(0, Missing())
"""


class Installed:
    """An environment of its own with a wheel of bigloop in it; all else it takes from the one that runs the tests."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        venv.create(folder, with_pip=False)
        self.bin = folder / "bin"
        (site,) = (folder / "lib").glob("python*/site-packages")
        (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
        command = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-compile",
            "--disable-pip-version-check",
        ]
        self.call("python", *command, f"--target={site}", str(wheel))
        self.site = site

    def call(self, program: str, *words: str, folder: Path | None = None, fails: bool = False) -> str:
        """What a program of the environment prints."""
        own = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "BIGLOOP"))}
        environment = own | {"PATH": f"{self.bin}:{os.environ['PATH']}"}
        command = (
            [str(self.bin / "python"), *words] if program == "python" else [str(self.bin / program), *words]
        )
        done = subprocess.run(
            command, cwd=folder or "/", env=environment, capture_output=True, text=True, timeout=1200
        )
        printed = done.stdout + done.stderr
        assert bool(done.returncode) is fails, printed[-6000:]
        return printed


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("environment"), wheel)


def files_below(folder: str) -> list[Path]:
    """Files of the checkout, without what Python and Snakemake leave."""
    found = (REPOSITORY / folder).rglob("*")
    return [path for path in found if path.is_file() and not {"__pycache__", ".snakemake"} & set(path.parts)]


def test_the_wheel_holds_the_package_and_the_workflow_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    tops = {name.split("/")[0] for name in names}
    assert tops == {
        *("bigloop", "snakemake_logger_plugin_bigloop", f"bigloop-{bigloop.__version__}.dist-info")
    }
    sources = {path.relative_to(REPOSITORY / "src").as_posix() for path in files_below("src")}
    parts = ("workflow", "profiles", "envs")
    project = {path.relative_to(REPOSITORY).as_posix() for part in parts for path in files_below(part)}
    project |= {"Snakefile", "config.yaml"}
    assert {name for name in names if ".dist-info/" not in name} == {
        *sources,
        *(f"bigloop/project/{name}" for name in project),
    }


def test_a_study_is_made_planned_and_run(installed: Installed, tmp_path: Path) -> None:
    study = tmp_path / "my-study"
    printed = installed.call("python", "-m", "bigloop", "init", str(study))
    assert f"cd {study} && snakemake --cores 2" in printed
    plan = installed.call("python", "-m", "snakemake", "--cores", "2", "-n", "--quiet", "rules", folder=study)
    assert "Nothing to be done" not in plan
    jobs = installed.call("python", "-m", "snakemake", "--cores", "2", "-n", folder=study)
    assert re.search(r"^train +54$", jobs, flags=re.MULTILINE)
    config = yaml.safe_load(KNOWN.read_text())
    config["figures"] = {"trajectories": config["figures"]["trajectories"]}
    (study / "mine.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    run = ("python", "-m", "snakemake", "--cores", "2", "--configfile", "mine.yaml")
    installed.call(*run, folder=study)
    home = study / "results" / config["experiment"]
    assert (home / "figures" / "trajectories.png").is_file()
    assert (home / "explorer.html").is_file()
    assert str(REPOSITORY) not in (home / "tables" / "collect.log").read_text()
    again = installed.call(*run, "-n", folder=study)
    assert "Nothing to be done" in again
    out = installed.call("python", "-m", "bigloop", "export", config["experiment"], folder=study)
    assert f"{config['experiment']}.zip" in out


def test_planning_needs_none_of_what_only_jobs_need(installed: Installed, tmp_path: Path) -> None:
    init(tmp_path / "study")
    (installed.site / "missing.pth").write_text(f"import sys; exec({MISSING!r})\n")
    try:
        plan = ("python", "-m", "snakemake", "--cores", "2", "-n", "--quiet", "rules")
        for config in sorted((tmp_path / "study" / "workflow" / "experiments").glob("*-small.yaml"))[:3]:
            installed.call(*plan, "--configfile", str(config), folder=tmp_path / "study")
        installed.call("python", "-m", "bigloop", "status", folder=tmp_path / "study")
        assert "No module named 'torch'" in installed.call("python", "-c", "import torch", fails=True)
    finally:
        (installed.site / "missing.pth").unlink()


def test_what_planning_needs_is_part_of_what_the_package_needs() -> None:
    lines = (REPOSITORY / "envs" / "planning.txt").read_text().splitlines()
    planning = {line for line in lines if line and not line.startswith("#")}
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    assert planning < set(project["dependencies"])
    assert project["version"] == bigloop.__version__


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(SpecError, match="holds something already; name an empty folder"):
        init(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
