"""A training's history becomes records by name."""

from __future__ import annotations

from bigloop.metrics.histories import training_statistics


def test_a_history_is_listed_in_alphabetical_order_whatever_is_real() -> None:
    history = {"loss": 0.5, "gradient_norm": 2, "critic_loss": -1.0}
    assert training_statistics(history, None) == [
        ("critic_loss", -1.0, ""),
        ("gradient_norm", 2.0, ""),
        ("loss", 0.5, ""),
    ]
