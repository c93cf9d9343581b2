"""A score: how dark a sample is."""

import numpy as np

from bigloop.loops.scores import Score


def darkness(rows: np.ndarray) -> np.ndarray:
    """Minus the mean of pixels or coordinates."""
    return -rows.reshape(len(rows), -1).mean(axis=1)


DARK = Score(darkness, ("rows",))
