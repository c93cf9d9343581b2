"""Khelifa & Rossa: GANs and Wasserstein GANs on a ring of Gaussians."""

from __future__ import annotations

from bigloop.analysis.claims.evidence import claims_of
from bigloop.analysis.claims.forms import lies
from bigloop.analysis.claims.runs import among

GAN, CLIPPED, PENALISED = (
    among(family=("mlp_gan",), loss=(loss,)) for loss in ("gan", "wgan_clip", "wgan_gp")
)

# fmt: off
CLAIMS = claims_of("Khelifa & Rossa", [
    ("gan-clip-modes", "On a ring of 8 Gaussians a GAN ends on fewer modes than a WGAN with weight clipping "
     "(fig. 7).", lies("modes_covered", "down", GAN, CLIPPED, "model.", "loop.budget")),
    ("gan-gp-modes", "It ends on fewer modes than a WGAN-GP, too (fig. 7).",
     lies("modes_covered", "down", GAN, PENALISED, "model.", "loop.budget")),
])
# fmt: on
