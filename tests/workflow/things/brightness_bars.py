"""Brightness as bars."""

from dataclasses import dataclass

from bigloop.figures import Plot
from bigloop.spec.options import option


@dataclass(frozen=True)
class Options:
    colour: str = option("grey", "of the bars")


def draw(material, options):
    from matplotlib.figure import Figure

    rows = material.measures[material.measures["measure"] == "brightness"]
    figure = Figure()
    figure.subplots().bar(range(len(rows)), rows["value"], color=options.colour)
    return figure


PLOT = Plot(draw, Options, frozenset({"brightness"}), caption="How bright everything is, a bar each.")
