"""Kullback–Leibler divergences of a model that knows its own density from a known one, in any dimension, without cells.

likelihood_divergences((log_q_at_generated, log_q_at_real), (log_p_at_generated, log_p_at_real))
"""

from __future__ import annotations

import numpy as np

from bigloop.metrics import Measure

LogDensities = tuple[
    np.ndarray | None, np.ndarray
]  # at the generated and at the real points, (n,) each, in nats


def likelihood_divergences(generated: LogDensities, real: LogDensities) -> list[tuple[str, float, str]]:
    """`forward_kl_likelihood` D(p‖q) and `reverse_kl_likelihood` D(q‖p) from log-densities, in nats.

    generated: ln q at points drawn from q and at points drawn from p; the first is None where points were drawn with
    a sampling bias, and so not from q. real: ln p at the same points. The means of ln p − ln q over p and of
    ln q − ln p over q: unbiased, unlike `divergences`, and below 0 by chance where q is near p. Biased points give no
    reverse one.
    """
    (own, q), (at_own, p) = generated, real
    found = [("forward_kl_likelihood", float(np.mean(p - q)), "")]
    if own is not None:
        assert at_own is not None
        found.append(("reverse_kl_likelihood", float(np.mean(own - at_own)), ""))
    return found


LIKELIHOODS = Measure(likelihood_divergences, ("log_densities",), limit=10_000)
