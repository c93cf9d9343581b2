"""What prevents mode collapse within a training: what the papers say of their own remedies.

Each is held against the same GAN without it: every other option, the data and the budget are the same.
"""

from __future__ import annotations

from bigloop.analysis.claims.evidence import Claim, Mask, Run, Test, claims_of
from bigloop.analysis.claims.forms import lies
from bigloop.analysis.claims.runs import among, both

GAN = among(family=("mlp_gan", "dcgan"))
PLAIN_LOSS = among(loss=("gan", "bce"))
REMEDIES = (  # each by the option that turns it on
    *("label_smoothing", "r1", "r2", "spectral_norm", "minibatch_kernels", "minibatch_deviation", "pack"),
    *("unroll", "instance_noise", "diffusion_steps", "contrast", "codes", "generators", "critics"),
)


def has(*options: str) -> Mask:
    """Runs whose models have these options, which are left out where they change nothing."""
    return lambda run: all(f"model.{option}" in run for option in options)


def lacks(*options: str) -> Mask:
    """Runs whose models have none of these options."""
    return lambda run: not any(f"model.{option}" in run for option in options)


def helps(*options: str, measure: str = "modes_covered", besides: tuple[str, ...] = ()) -> Test:
    """A GAN with these options keeps more modes than the same GAN without; `besides`: options that come along."""
    left, right = (both(both(GAN, PLAIN_LOSS), of) for of in (has(*options), lacks(*options)))
    return lies(measure, "up", left, right, *(f"model.{option}" for option in (*options, *besides)))


def beats(losses: tuple[str, ...], *options: str, measure: str = "modes_covered") -> Test:
    """A GAN with one of these losses, and with these options, keeps more modes than one with cross entropy alone."""
    left = both(both(GAN, among(loss=losses)), has(*options))
    right = both(both(GAN, PLAIN_LOSS), lacks(*options))
    return lies(measure, "up", left, right, "model.loss", *(f"model.{option}" for option in options))


def faster_critic(run: Run) -> bool:
    """Whether the critic's learning rate is above the generator's."""
    return float(run.get("model.critic_learning_rate", 0)) > float(run.get("model.learning_rate", 0))


def slower_critic(run: Run) -> bool:
    """Whether the generator's learning rate is the higher one, or both are the same."""
    return not faster_critic(run)


# fmt: off
CLAIMS: list[Claim] = [
    *claims_of("Salimans et al. 2016", [
        ("minibatch-discrimination", "A discriminator that compares the rows of a batch keeps the generator from "
         "making one point over and over (§3.2).", helps("minibatch_kernels", besides=("kernel_dimensions",))),
    ]),
    *claims_of("Metz et al. 2017", [
        ("unrolled-modes", "A generator that looks some of the discriminator's steps ahead covers modes that it "
         "otherwise drops (§3.1).", helps("unroll")),
    ]),
    *claims_of("Lin et al. 2018", [
        ("packed-modes", "A discriminator that judges several rows as one makes the generator cover more modes (§4).",
         helps("pack")),
        ("packed-balance", "It makes it cover them more evenly, too.",
         lies("mode_kl", "down", both(both(GAN, PLAIN_LOSS), has("pack")), both(both(GAN, PLAIN_LOSS), lacks("pack")),
              "model.pack")),
    ]),
    *claims_of("Karras et al. 2018", [
        ("deviation-variety", "A discriminator that sees the standard deviation of a batch makes generated rows "
         "vary more (§3).", helps("minibatch_deviation")),
    ]),
    *claims_of("Huang et al. 2024", [
        ("paired-modes", "A relativistic loss of pairs, with R1 and R2, keeps modes that a GAN drops (R3GAN, §2).",
         beats(("relativistic",), "r1", "r2")),
    ]),
]
# fmt: on
