"""Bandyopadhyay 2025: what a Gaussian fitted by different divergences keeps of two modes, and what helps GANs.

The paper lists remedies for mode collapse in words (§6). Each is held against the same GAN without it.
"""

from __future__ import annotations

from bigloop.analysis.claims.evidence import claims_of
from bigloop.analysis.claims.forms import lies
from bigloop.analysis.claims.remedies import GAN, PLAIN_LOSS, beats, faster_critic, helps, slower_critic
from bigloop.analysis.claims.runs import among, both

FORWARD, REVERSE = (
    among(family=("projection",), divergence=(name,)) for name in ("forward_kl", "reverse_kl")
)
F_FORWARD, F_REVERSE = (
    both(GAN, among(loss=("f_gan",), divergence=(name,))) for name in ("forward_kl", "reverse_kl")
)
FASTER, SLOWER = (both(both(GAN, PLAIN_LOSS), of) for of in (faster_critic, slower_critic))

# fmt: off
CLAIMS = claims_of("Bandyopadhyay 2025", [
    ("forward-covers", "Forward KL covers both modes of a density: its Gaussian is the wider one.",
     lies("sd", "up", FORWARD, REVERSE, "model.")),
    ("reverse-seeks", "Reverse KL seeks one mode: more of its samples are good ones.",
     lies("good_share", "up", REVERSE, FORWARD, "model.")),
    ("f-gan-forward-covers", "An f-GAN of the forward KL covers more modes than one of the reverse KL.",
     lies("modes_covered", "up", F_FORWARD, F_REVERSE, "model.divergence")),
    ("minibatch", "Minibatch discrimination keeps modes that a GAN drops (§6.1).",
     helps("minibatch_kernels", besides=("kernel_dimensions",))),
    ("unrolled", "So does unrolling the discriminator (§6.1).", helps("unroll")),
    ("wasserstein", "So does a Wasserstein GAN with a gradient penalty (§6.2).", beats(("wgan_gp",))),
    ("spectral", "So does spectral normalisation (§6.3).", helps("spectral_norm")),
    ("smoothing", "So does label smoothing (§6.3).", helps("label_smoothing")),
    ("infogan", "So does InfoGAN's mutual information (§6.4).", helps("codes")),
    ("growing", "So does progressive growing, of images (§6.5).", helps("growth")),
    ("two-time-scales", "So do two time scales, the discriminator's the faster (§6.5).",
     lies("modes_covered", "up", FASTER, SLOWER, "model.critic_learning_rate")),
    ("generators", "So do several generators (§6.6).", helps("generators", besides=("information",))),
    ("discriminators", "So do several discriminators (§6.6).", helps("critics")),
    ("diffusion", "So does a diffusion of what the discriminator sees (§6).",
     helps("diffusion_steps", besides=("diffusion_noise",))),
    ("contrastive", "So does a contrastive loss of the discriminator (§6).",
     helps("contrast", besides=("contrast_noise", "temperature"))),
])
# fmt: on
