"""Khelifa & Rossa: GANs and Wasserstein GANs, on a ring of Gaussians and on pictures of horses."""

from __future__ import annotations

from bigloop.analysis.claims.evidence import claims_of
from bigloop.analysis.claims.forms import goes, lies, tells
from bigloop.analysis.claims.remedies import REMEDIES, lacks
from bigloop.analysis.claims.runs import among, both, loop

GAN, CLIPPED, PENALISED = (
    both(among(family=("mlp_gan",), loss=(loss,)), lacks(*REMEDIES))
    for loss in ("gan", "wgan_clip", "wgan_gp")
)
TRAINING = loop("real data only", start="continue")
DCGAN = both(TRAINING, among(family=("dcgan",), loss=("bce",), generator_loss=("saturating",)))
DCWGAN = both(TRAINING, among(family=("dcgan",), loss=("wgan_gp",)))
NORM = "gradient_norm_generator"

# fmt: off
CLAIMS = claims_of("Khelifa & Rossa", [
    ("gan-clip-modes", "On a ring of 8 Gaussians a GAN ends on fewer modes than a WGAN with weight clipping "
     "(fig. 7).", lies("modes_covered", "down", GAN, CLIPPED, "model.", "loop.budget")),
    ("gan-gp-modes", "It ends on fewer modes than a WGAN-GP, too (fig. 7).",
     lies("modes_covered", "down", GAN, PENALISED, "model.", "loop.budget")),
    ("gan-gradients-vanish", "On pictures, the gradients of a GAN's generator become ever smaller as its "
     "discriminator gets better (fig. 6).", goes(NORM, "down", DCGAN)),
    ("gan-gradients-small", "They end up smaller than those of the same networks as a WGAN-GP (fig. 6).",
     lies(NORM, "down", DCGAN, DCWGAN, "model.", "loop.budget")),
    ("gan-loss-silent", "A GAN's pictures do not get better as its generator's loss falls (fig. 3a).",
     tells("loss_generator", "fid", DCGAN, does=False)),
    ("wgan-loss-tells", "Those of a WGAN-GP do (fig. 3b).", tells("loss_generator", "fid", DCWGAN)),
])
# fmt: on
