"""What generated images are good for: the accuracy on real images of a classifier that has seen no others."""

from __future__ import annotations

from dataclasses import dataclass

from bigloop.metrics import Measure, MeasureOptions
from bigloop.spec.options import option


def utility(accuracy: float, real_accuracy: float) -> list[tuple[str, float, str]]:
    """`utility`, in [0, 1]: share of the real test rows that a classifier trained on n generated rows and their labels
    alone names rightly (Ravuri & Vinyals 2019, classification accuracy score; of loops, Alemohammad et al. 2024, §6).
    `utility_lost`: what it lacks to one that was trained likewise on n real rows, in [−1, 1].
    """
    return [("utility", accuracy, ""), ("utility_lost", real_accuracy - accuracy, "")]


@dataclass(frozen=True)
class UtilityOptions(MeasureOptions):
    """Options of utility."""

    epochs: float = option(
        12.0, "passes over the n rows of the classifier's training", above=0, maximum=10_000
    )


UTILITY = Measure(
    utility, ("accuracy",), limit=10_000, Options=UtilityOptions, consumed=frozenset({"epochs"})
)
