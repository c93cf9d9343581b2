"""What selection between two generations did: how many samples it left, and how much better they score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bigloop.metrics import Measure, NoOptions


@dataclass(frozen=True)
class Selection:
    """The scores of all samples of a generation, float64 (scores, n), and which were selected, bool (n,)."""

    scores: np.ndarray
    selected: np.ndarray

    def __len__(self) -> int:
        return len(self.selected)


def selection_statistics(selection: Selection, of_real: object = None) -> list[tuple[str, float, str]]:
    """`selected_share`, in (0, 1]: of the samples. `score` and `score_selected`: mean of each score over all samples
    and over the selected ones, in its own unit; where there are several, `detail` is its number, from 1 on.
    """
    found = [("selected_share", float(selection.selected.mean()), "")]
    for i, values in enumerate(selection.scores, start=1):
        detail = str(i) if len(selection.scores) > 1 else ""
        found.append(("score", float(values.mean()), detail))
        found.append(("score_selected", float(values[selection.selected].mean()), detail))
    return found


SELECTION = Measure(selection_statistics, ("selection",), Options=NoOptions)
