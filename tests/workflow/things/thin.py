"""Fewer synthetic rows."""

from dataclasses import dataclass

from bigloop.loops import Composition, Rule
from bigloop.spec.options import option


@dataclass(frozen=True)
class Options:
    share: float = option(0.5, "part of the synthetic rows that is kept", above=0, maximum=1)


def thin(composition, options, seed, generation, generator):
    """Keep a share of each generation's rows, drawn at random."""
    kept = {
        g: generator.permutation(rows)[: round(options.share * len(rows))]
        for g, rows in composition.synthetic.items()
    }
    return Composition(composition.real, kept)


THIN = Rule(thin, Options)
