"""Options of a GAN: each remedy for mode collapse by itself, some together, and every f-divergence."""

from __future__ import annotations

from typing import Any

REMEDIES: dict[str, dict[str, Any]] = {
    "label smoothing": {"label_smoothing": 0.1},
    "R1 and R2": {"r1": 0.1, "r2": 0.2},
    "relativistic": {"loss": "relativistic"},
    "relativistic, R1 and R2": {"loss": "relativistic", "r1": 0.1, "r2": 0.1},
    "spectral normalisation": {"spectral_norm": True},
    "minibatch discrimination": {"minibatch_kernels": 4, "kernel_dimensions": 2},
    "minibatch deviation": {"minibatch_deviation": True},
    "packed": {"pack": 2},
    "unrolled": {"unroll": 2},
    "instance noise": {"instance_noise": 0.1},
    "diffusion": {"diffusion_steps": 20},
    "contrastive": {"contrast": 0.5},
    "codes": {"codes": 3},
    "two time scales": {"critic_learning_rate": 3e-3},
    "generators": {"generators": 2},
    "critics": {"critics": 2},
    "unrolled Wasserstein": {"loss": "wgan_clip", "unroll": 2},
    "unrolled with a penalty": {"loss": "wgan_gp", "unroll": 1},
    "nearly all": {
        "loss": "relativistic",
        "r1": 0.1,
        "spectral_norm": True,
        "minibatch_kernels": 4,
        "minibatch_deviation": True,
        "pack": 2,
        "unroll": 1,
        "instance_noise": 0.1,
        "diffusion_steps": 20,
        "contrast": 0.5,
        "codes": 3,
        "generators": 2,
        "critics": 2,
    },
}
DIVERGENCES = {
    name: {"loss": "f_gan", "divergence": name}
    for name in (
        "forward_kl",
        "reverse_kl",
        "jensen_shannon",
        "chi_squared",
        "hellinger",
        "total_variation",
    )
}
