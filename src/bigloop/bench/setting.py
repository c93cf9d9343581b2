"""What all sections of the benchmark share: the machine, the digits, a clock, fresh processes, calls of Snakemake."""

from __future__ import annotations

import copy
import multiprocessing
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from bigloop.data import load
from bigloop.data.store import fetch
from bigloop.models import family
from bigloop.runtime.provenance import cores, machine
from bigloop.spec.loops import Budget
from bigloop.spec.options import SpecError
from bigloop.training.devices import describe, versions

CHECKOUT = ("Snakefile", "config.yaml")
CPU = torch.device("cpu")

Needs = Mapping[str, Sequence[str]]
Config = dict[str, Any]


@dataclass
class Setting:
    """Where the benchmark runs: `rounds` is how often it times what it compares, `scratch` an empty folder.

    quick: everything at small sizes. given: folder of the stored MNIST, or None. needs: modules, by verb.
    """

    device: torch.device
    rounds: int
    quick: bool
    scratch: Path
    given: Path | None
    needs: Needs

    @cached_property
    def data(self) -> Path:
        """The folder of MNIST, from where the workflow stored it, or fetched for the occasion."""
        folder = self.given or Path("results/data/mnist")
        if all((folder / f"{split}.safetensors").is_file() for split in ("train", "test")):
            return folder.resolve()
        fetched = self.scratch / "data" / "mnist"
        fetch("mnist", fetched, None)
        return fetched

    @cached_property
    def digits(self) -> tuple[np.ndarray, np.ndarray]:
        """MNIST's training images, uint8 (60000, 1, 28, 28), and labels (60000,)."""
        return load(self.data, "train")

    def pixels(self, rows: int) -> torch.Tensor:
        """The first rows of the training images on the device, float32 in [0, 1]."""
        return torch.from_numpy(self.digits[0][:rows]).to(self.device).float() / 255

    def facts(self) -> dict[str, Any]:
        """The machine and the versions."""
        return {
            "device": describe(self.device),
            **machine(),
            "threads": torch.get_num_threads(),
            "versions": versions(),
            "rounds": self.rounds,
            "quick": self.quick,
        }


def image_model(
    name: str,
    options: Mapping[str, Any],
    device: torch.device,
    classes: int | None = None,
    shape: tuple[int, ...] = (1, 28, 28),
) -> tuple[Any, torch.Generator]:
    """An untrained model of a family, for images of a shape, and the generator that it was made with."""
    cls: Any = family(name)
    generator = torch.Generator(device).manual_seed(0)
    return cls.fresh(cls.Options(**options), shape, generator, classes), generator


def trainer(
    model: Any, rows: torch.Tensor, generator: Any, batches: int = 1, **given: Any
) -> Callable[[int], None]:
    """A call that trains a model for so many steps, each on so many batches of `rows`.

    Without what a family does once after its steps: a GAN samples thousands of images for its threshold.
    """
    model.finish = lambda rows, generator: None

    def train(steps: int) -> None:
        budget = Budget(images=steps * batches * model.options.batch_size)
        model.fit(rows, budget, generator, lambda line: None, **given)

    return train


def seconds(call: Callable[[], object], device: torch.device = CPU) -> float:
    """Wall time of a call, until the device has done its work."""
    begun = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun


def median_seconds(call: Callable[[], object], rounds: int, device: torch.device = CPU) -> float:
    """Median wall time of so many calls."""
    return statistics.median(seconds(call, device) for _ in range(rounds))


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of a module returns in a process of its own, which knows nothing of this one."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def peak_gib() -> float:
    """The most memory that this process held until now, in GiB.

    From the kernel's status file: `ru_maxrss` of a process begins at that of the one that started it.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 2**20
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def require_checkout(sections: Sequence[str]) -> None:
    """Raises SpecError where the working directory is not the project's root."""
    missing = [name for name in CHECKOUT if not Path(name).is_file()]
    if missing:
        raise SpecError(
            f"bench: no {' and no '.join(missing)} here; run it in the project's root for {', '.join(sections)}"
        )


def read_config(path: str) -> Config:
    """A config of the checkout."""
    return yaml.safe_load(Path(path).read_text())


def only(config: Config, name: str, **changes: Any) -> Config:
    """A copy of a config with one of its runs alone, which it changes, and its model and loop; named bench."""
    run = config["runs"][name] | changes
    used = {part: {run[part[:-1]]: config[part][run[part[:-1]]]} for part in ("models", "loops")}
    return copy.deepcopy(config | used | {"experiment": "bench", "runs": {name: run}})


def snakemake(config: Config, directory: Path, *arguments: str) -> float:
    """Seconds of a call of Snakemake with a config, in a directory of its own, on all cores.

    Raises SpecError with the end of what it printed where it fails.
    """
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "bench.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    place = ("--configfile", str(file), "--directory", str(directory), "--cores", str(cores()))
    command = [sys.executable, "-m", "snakemake", *place, "--quiet=all", *arguments]
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SpecError(
            f"bench: snakemake ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}"
        )
    return time.perf_counter() - begun
