"""The runs of a config, and the blocks of jobs of simulated runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, product
from pathlib import Path

from bigloop.config.datasets import Images
from bigloop.data.densities import Density, known_density
from bigloop.spec.options import SpecError, option
from bigloop.spec.registry import declared
from bigloop.spec.runs import RunSpec


@dataclass(frozen=True)
class Span:
    """So many seeds and generations of a simulated run: one job."""

    seeds: tuple[int, ...]
    first: int
    last: int

    @property
    def folder(self) -> str:
        """Where the block's results lie in its run's folder."""
        return f"seeds-{self.seeds[0]}-{self.seeds[-1]}/gens-{self.first}-{self.last}"


@dataclass(frozen=True)
class Simulation:
    """How a simulated run is cut into jobs, and how often it is measured. None of it changes a generation."""

    block_seeds: int = option(100, "seeds that one job simulates together", minimum=1)
    block_generations: int = option(1_000, "generations of one job", minimum=1)
    measure_every: int = option(
        1, "measure every k-th generation, counted from the first: 1, 1 + k, …", minimum=1
    )


@dataclass(frozen=True)
class Run:
    """One run of a config: its name and label, its spec, and how far and how often it goes.

    sweep: the label of the config's entry that it belongs to. dataset: the name that the config gives to its data.
    """

    name: str
    label: str
    sweep: str
    dataset: str
    loop: str
    spec: RunSpec
    generations: int
    seeds: tuple[int, ...]
    weights: Path | None = None  # of its first generation, where they are imported
    images: Images | None = None  # the dataset, of a run that is not simulated
    simulation: Simulation = Simulation()
    faithful: tuple[str, ...] = ()  # the papers whose experiment it is at full scale
    published: str = ""  # the paper and run whose published values it is held against
    sizes: Mapping[str, int] = field(
        default_factory=dict
    )  # bytes of each file of all lineages from elsewhere
    rows: int = 0  # of a lineage from elsewhere: those of each generation
    of_selected: bool = False  # measure the samples that are selected, and not all
    siblings: tuple[str, ...] = ()  # the runs of all members of its ecosystem

    @property
    def has_critic(self) -> bool:
        return self.spec.has_model and declared("families")[self.spec.model.family].has_critic

    @property
    def samples(self) -> int:
        """Rows of each generation that are measured; where only scores tell how many are selected, those generated."""
        loop = self.spec.loop
        if loop and self.of_selected:
            return loop.most
        return loop.samples if loop else self.rows

    def file(self, seed: int, generation: int) -> str | None:
        """The file that a generation is imported from; None where it is trained."""
        if self.spec.elsewhere:
            return self.spec.elsewhere.file(seed, generation)
        return str(self.weights) if self.weights and generation == 1 else None

    def file_bytes(self, seed: int, generation: int) -> int | None:
        """The size of a generation's file, of a lineage from elsewhere; raises SpecError where it has no such one."""
        if self.spec.elsewhere is None:
            return None
        name = self.spec.elsewhere.file(seed, generation)
        if name not in self.sizes:
            raise SpecError(f"runs.{self.name}: has no seed {seed}, generation {generation} ({name})")
        return self.sizes[name]

    @property
    def density(self) -> Density | None:
        """The known density of a simulated run."""
        about = self.spec.density
        return known_density(about.name, about.options) if about else None

    @property
    def simulated(self) -> bool:
        """Whether blocks of it are simulated in one job each, instead of every generation being trained in its own."""
        return self.spec.density is not None

    def jobs(self) -> Iterator[tuple[int, int]]:
        """(seed, generation) of everything that is sampled and measured."""
        return product(self.seeds, range(1, self.generations + 1))

    @property
    def block_count(self) -> int:
        """How many blocks there are, without listing them."""
        by, long = self.simulation.block_seeds, self.simulation.block_generations
        return len({seed // by for seed in self.seeds}) * -(-self.generations // long)

    def blocks(self) -> list[Span]:
        """The jobs of a simulated run. Their bounds are multiples of the block's size: more seeds or generations
        leave all full blocks as they are."""
        by, long = self.simulation.block_seeds, self.simulation.block_generations
        groups = [tuple(group) for _, group in groupby(sorted(self.seeds), key=lambda seed: seed // by)]
        starts = range(1, self.generations + 1, long)
        return [Span(g, t, min(t + long - 1, self.generations)) for g, t in product(groups, starts)]


def by_moments(run: Run) -> bool:
    return run.spec.model.options.get("draws") == "moments"
