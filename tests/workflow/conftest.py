"""Snakemake on the real graph: the smoke experiment, run once to its end, and copies of it to play with."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from ..figures.explorer.conftest import browser, opened  # noqa: F401  # fixtures: a real browser
from . import forks
from .cluster import Cluster, missing

Once = Callable[[str, Callable[[Path], object]], Path]  # see tests/conftest.py

REPOSITORY = Path(__file__).parents[2]
SMOKE = REPOSITORY / "tests" / "smoke" / "config.yaml"
LOOPS = REPOSITORY / "tests" / "smoke" / "loops.yaml"
PRINTED = "printed.txt"  # what the run of the third experiment printed
KNOWN = REPOSITORY / "tests" / "smoke" / "known.yaml"
FIELD = REPOSITORY / "tests" / "smoke" / "field.yaml"


class Job(NamedTuple):
    """A planned job: its rule and its first output file."""

    rule: str
    output: str


class Workplace:
    """A working directory with finished results, and the config that made them, free to be changed."""

    def __init__(self, directory: Path, config: Path = SMOKE) -> None:
        self.directory = directory
        self.config: dict[str, Any] = yaml.safe_load(config.read_text())

    def snakemake(
        self,
        *arguments: str,
        fails: bool = False,
        repository: Path = REPOSITORY,
        environment: Mapping[str, str] | None = None,
        forked: bool = True,
    ) -> str:
        """Run Snakemake with the config as it is now; returns what it printed."""
        configfile = self.directory / "config-of-this-test.yaml"
        configfile.write_text(yaml.safe_dump(self.config, sort_keys=False))
        place = ("--configfile", str(configfile), "--directory", str(self.directory))
        how = {"repository": repository, "environment": environment, "forked": forked}
        return snakemake(*place, *arguments, fails=fails, **how)

    def plan(self, *targets: str, flags: Sequence[str] = (), repository: Path = REPOSITORY) -> list[Job]:
        """The jobs that a run would do now."""
        quiet = ("--dry-run", "--quiet", "host", "reason")
        return jobs(self.snakemake(*quiet, *flags, "--", *targets, repository=repository))

    def draw_only(self, figure: str) -> None:
        """Leave one figure in the config, and no page: what is said of the others' jobs is said of their plan."""
        self.config["figures"] = {figure: self.config["figures"][figure]}
        self.config["explorer"] = False

    def folders(self, kind: str = "runs") -> set[str]:
        return {path.name for path in (self.directory / "results" / kind).iterdir()}

    def generation(self, run: str, t: int, seed: int = 0) -> Path:
        """The folder of a generation, through the link that has the run's name."""
        experiment = self.config["experiment"]
        link = self.directory / "results" / experiment / "runs" / run
        return link.resolve() / f"seed-{seed}" / f"gen-{t}"

    def snapshot(self, *folders: str) -> dict[str, tuple[int, bytes]]:
        """Modification time and content of every file under these folders of results."""
        return {
            str(path.relative_to(self.directory)): (path.stat().st_mtime_ns, path.read_bytes())
            for folder in folders
            for path in sorted((self.directory / "results" / folder).rglob("*"))
            if path.is_file() and not path.is_symlink()
        }


def snakemake(
    *arguments: str,
    fails: bool = False,
    repository: Path = REPOSITORY,
    environment: Mapping[str, str] | None = None,
    forked: bool = True,
) -> str:
    """Call Snakemake in a checkout; returns what it printed. The test fails unless it ends well, or `fails`.

    forked: see forks.py; False where Snakemake and its jobs have to be started as by a user.
    """
    command = [forks.python() if forked else sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    options = {"cwd": repository, "env": environment, "capture_output": True, "text": True, "timeout": 3000}
    done = subprocess.run(command, **options)
    printed = done.stdout + done.stderr
    if bool(done.returncode) is not fails:
        pytest.fail(f"snakemake {' '.join(arguments)} ended with {done.returncode}:\n{printed[-6000:]}")
    return printed


def jobs(printed: str) -> list[Job]:
    """The jobs in the output of a dry run, without the target rules, which do nothing."""
    found = re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", printed, flags=re.MULTILINE)
    outputs = ((rule, re.search(r"^    output: ([^,\n]*)", body, flags=re.MULTILINE)) for rule, body in found)
    return [Job(rule, match.group(1)) for rule, match in outputs if match]


@pytest.fixture(scope="session")
def finished(mnist: Path, once: Once) -> Path:
    """A directory in which the smoke experiment has run to its end, on data that other tests fetched and verified."""

    def make(directory: Path) -> None:
        shutil.copytree(mnist, directory / "results" / "data" / "mnist")
        Workplace(directory).snakemake()

    return once("smoke", make)


def judged_alike(finished: Path, once: Once, name: str, config: Path) -> Path:
    """A directory in which another experiment has run to its end, with the data and the classifier of the first."""

    def make(directory: Path) -> None:
        for kind in ("data", "classifier"):
            shutil.copytree(finished / "results" / kind, directory / "results" / kind)
        Workplace(directory, config).snakemake()

    return once(name, make)


@pytest.fixture(scope="session")
def finished_loops(finished: Path, once: Once) -> Path:
    """A directory in which the second smoke experiment, the one with all loops, has run to its end."""
    return judged_alike(finished, once, "smoke-loops", LOOPS)


@pytest.fixture(scope="session")
def finished_field(finished: Path, once: Once) -> Path:
    """A directory in which the fourth smoke experiment, the one with loops of later papers, has run to its end."""
    return judged_alike(finished, once, "smoke-field", FIELD)


@pytest.fixture(scope="session")
def finished_known(once: Once) -> Path:
    """A directory in which the third smoke experiment, the one on known densities, has run to its end."""

    def run(directory: Path) -> None:
        (directory / PRINTED).write_text(Workplace(directory, KNOWN).snakemake("--verbose"))

    return once("smoke-known", run)


@pytest.fixture
def field(finished_field: Path, tmp_path: Path) -> Workplace:
    """A copy of that directory."""
    directory = tmp_path / "field"
    shutil.copytree(finished_field, directory, symlinks=True)
    return Workplace(directory, FIELD)


@pytest.fixture
def loops(finished_loops: Path, tmp_path: Path) -> Workplace:
    """A copy of that directory."""
    directory = tmp_path / "loops"
    shutil.copytree(finished_loops, directory, symlinks=True)
    return Workplace(directory, LOOPS)


@pytest.fixture
def workplace(finished: Path, tmp_path: Path) -> Workplace:
    """A copy of the finished directory, times of files included."""
    directory = tmp_path / "work"
    shutil.copytree(finished, directory, symlinks=True)
    return Workplace(directory)


@pytest.fixture
def long_training(finished: Path, tmp_path: Path) -> Workplace:
    """A directory with data and classifier, and a config whose one training takes some ten seconds."""
    place = Workplace(tmp_path)
    for folder in ("data", "classifier"):
        shutil.copytree(finished / "results" / folder, tmp_path / "results" / folder)
    place.config["storage"] = {"save_every": 0.3}
    place.config["loops"]["fully-synthetic"]["budget"]["initial"] = {"images": 64 * 10_000}
    place.config["runs"] = {"vae": {**place.config["runs"]["vae"], "generations": 1, "seeds": [0]}}
    place.config["measures"] = {"wasserstein1": {"n": 50}}
    place.config["figures"] = {"losses": None}
    return place


@pytest.fixture
def known(tmp_path: Path) -> Workplace:
    """A config with one simulated run, its tables and one figure: three kinds of jobs, each soon done."""
    directory = tmp_path / "work"
    directory.mkdir()
    place = Workplace(directory, KNOWN)
    place.config["runs"] = {"decay": place.config["runs"]["decay"] | {"seeds": 3, "generations": 2}}
    place.config["measures"] = {"moments": None}
    place.config["figures"] = {
        "decay": {"figure": "trajectories", "measures": ["sd"], "runs": ["decay"]},
        "same": {"figure": "trajectories", "measures": ["sd"], "runs": ["decay"]},
    }
    return place


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The workflow's sources in a new place, with new times, as after `git clone`."""
    clone = tmp_path / "checkout"
    for name in ("workflow", "profiles", "envs"):
        shutil.copytree(REPOSITORY / name, clone / name, copy_function=shutil.copy)
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(REPOSITORY / name, clone / name)
    return clone


@pytest.fixture(scope="session")
def call() -> Callable[..., str]:
    """Snakemake in the repository itself, for dry runs of the shipped configs."""
    return snakemake


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A real Slurm: two nodes, and one GPU in all."""
    if reason := missing():
        pytest.skip(f"no Slurm here: {reason}")
    with Cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster
