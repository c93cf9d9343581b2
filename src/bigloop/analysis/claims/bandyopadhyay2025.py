"""Bandyopadhyay 2025: what a Gaussian fitted by different divergences keeps of two modes."""

from __future__ import annotations

from bigloop.analysis.claims.evidence import claims_of
from bigloop.analysis.claims.forms import lies
from bigloop.analysis.claims.runs import among

FORWARD, REVERSE = (
    among(family=("projection",), divergence=(name,)) for name in ("forward_kl", "reverse_kl")
)

# fmt: off
CLAIMS = claims_of("Bandyopadhyay 2025", [
    ("forward-covers", "Forward KL covers both modes of a density: its Gaussian is the wider one.",
     lies("sd", "up", FORWARD, REVERSE, "model.")),
    ("reverse-seeks", "Reverse KL seeks one mode: more of its samples are good ones.",
     lies("good_share", "up", REVERSE, FORWARD, "model.")),
])
# fmt: on
