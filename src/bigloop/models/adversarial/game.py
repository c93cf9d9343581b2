"""The steps of a GAN's two networks, of images or of points, with the remedies that its options name.

    critic step      generated rows, real rows → what the critic sees of them → its loss and penalties
    generator step   generated rows → what the critic sees of them → what it says, some steps ahead → the loss

A family gives the networks `generator` and `critic`, `descend`, and `decode`; all options but its own are `Remedies`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from bigloop.models.adversarial.losses import contrast, information, objective
from bigloop.models.adversarial.networks import Critic, Said, Several, iterate
from bigloop.models.adversarial.penalties import gradient_penalty, zero_centred
from bigloop.models.adversarial.unrolled import Judge, unrolled

FIRST_BETA, LAST_BETA = 1e-4, 2e-2  # of the diffusion (Wang et al. 2023, as Ho et al. 2020)


class Draws(Protocol):
    """Random numbers: `models.points.stacked.Streams`, which puts replicates first, or `One`."""

    def normal(self, *shape: int) -> Tensor: ...

    def uniform(self, *shape: int) -> Tensor: ...

    def integers(self, high: int, *shape: int) -> Tensor: ...


class One:
    """Random numbers of one torch.Generator, on its device."""

    def __init__(self, generator: torch.Generator) -> None:
        self.how: dict[str, Any] = {"generator": generator, "device": generator.device}

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, **self.how)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, **self.how)

    def integers(self, high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, **self.how)


class Game:
    """What a family plays; `axis` is the dimension of its rows, 0 of images and 1 of stacked points."""

    axis: ClassVar[int]
    options: Any
    networks: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]

    def descend(self, name: str, loss: Tensor) -> Any:
        raise NotImplementedError

    def decode(self, latent: Tensor) -> Tensor:
        """Latents, with the one-hot source of each row at the end where there are several, to rows."""
        raise NotImplementedError

    def players(
        self, generator: Callable[[], nn.Module], critic: Callable[[], Critic]
    ) -> dict[str, nn.Module]:
        """The networks, of which each call makes one: as many generators and then critics as the options say."""
        o = self.options
        generators = [generator() for _ in range(o.generators)]
        critics = [critic() for _ in range(o.critics)]
        return {
            "generator": nn.ModuleList(generators) if o.generators > 1 else generators[0],
            "critic": Several(critics, self.axis) if o.critics > 1 else critics[0],
        }

    def latents(self, n: int, bias: float, draws: Draws) -> Tensor:
        """n latents (…, n, latent), N(0, λI) with λ = `bias`, and beside it a one-hot source if there are several."""
        o = self.options
        latent = draws.normal(n, o.latent) * bias**0.5
        if o.sources == 1:
            return latent
        source = draws.integers(o.sources, n)[..., None] == torch.arange(o.sources, device=latent.device)
        return torch.cat([latent, source.to(latent.dtype)], -1)

    def generated(self, latent: Tensor) -> Tensor:
        """What the generator makes of latents or, where there are several, each row's own one."""
        o, net = self.options, self.networks["generator"]
        if o.sources == 1:
            return net(latent)
        given, source = latent.split([o.latent, o.sources], -1)
        source = source.unflatten(-1, (o.generators, -1))
        if o.codes:
            given = torch.cat([given, source.sum(-2)], -1)
        if o.generators == 1:
            return net(given)
        assert isinstance(net, nn.ModuleList)
        made = torch.stack([one(given) for one in net])
        whose = source.sum(-1).movedim(-1, 0)
        return (made * whose[(..., *[None] * (made.dim() - whose.dim()))]).sum(0)

    def critic_step(self, real: Tensor, draws: Draws) -> tuple[dict[str, Tensor], Tensor]:
        """One step of the critic on a batch; its losses, and what it said of it, real rows and then generated ones."""
        o = self.options
        latent = self.latents(real.shape[self.axis], 1.0, draws)
        with torch.no_grad():
            fake = self.decode(latent)
        pair = self.seen(real, draws), self.seen(fake, draws)
        loss, told, scores = self._critic_loss(self.networks["critic"], *pair, latent, draws)
        self.descend("critic", loss)
        if o.loss == "wgan_clip":
            with torch.no_grad():
                for p in self.networks["critic"].parameters():
                    p.clamp_(-o.clip, o.clip)
        if o.spectral_norm:
            iterate(self.networks["critic"])
        return {"loss": loss.detach(), **told}, scores

    def generator_step(self, real: Tensor, draws: Draws) -> dict[str, Tensor]:
        """One step of the generator; real rows are looked at by a paired loss, and where the critic is unrolled."""
        o, two = self.options, objective(self.options)
        latent = self.latents(real.shape[self.axis], 1.0, draws)
        fake = self.seen(self.decode(latent), draws)
        shown = self.seen(real, draws) if two.paired or o.unroll else fake.detach()
        judge = unrolled(
            self.networks["critic"],
            self.optimizers["critic"],
            o.unroll,
            lambda at: self._critic_loss(at, shown, fake, latent, draws)[0].sum(),
            o.clip if o.loss == "wgan_clip" else None,
        )
        said: Said = judge(fake, True)
        on_real = judge(shown) if two.paired else said.scores
        loss, told = two.generator(said.scores, on_real).mean(-1), {}
        if said.codes is not None:
            told["information"] = information(said.codes, self._sources(latent))
            loss = loss - o.information * told["information"]
        self.descend("generator", loss)
        return {"loss": loss.detach(), **{name: value.detach() for name, value in told.items()}}

    def seen(self, rows: Tensor, draws: Draws) -> Tensor:
        """What the critic gets to see of rows: with noise on them, packed, and once for each critic."""
        o, axis, (n, *each) = self.options, self.axis, rows.shape[self.axis :]
        if o.instance_noise:
            rows = rows + o.instance_noise * draws.normal(n, *each)
        if o.diffusion_steps:
            betas = torch.linspace(FIRST_BETA, LAST_BETA, o.diffusion_steps, device=rows.device)
            kept = (1 - betas).cumprod(0).to(rows.dtype)
            at = draws.integers(o.diffusion_steps, n)
            share = kept[at].unflatten(-1, (n, *[1] * len(each)))
            rows = share.sqrt() * rows + (1 - share).sqrt() * o.diffusion_noise * draws.normal(n, *each)
            time = ((at + 1) / o.diffusion_steps).to(rows).unflatten(-1, (n, *[1] * len(each)))
            rows = torch.cat([rows, time.expand(*rows.shape[: axis + 1], 1, *each[1:])], axis + 1)
        return self._arranged(rows)

    def judged(self, rows: Tensor) -> Tensor:
        """The critics' mean score (…, n) of rows as they are; of a pack, that of all rows in it. n is whole packs."""
        o, axis = self.options, self.axis
        if o.diffusion_steps:
            shape = [*rows.shape[: axis + 1], 1, *rows.shape[axis + 2 :]]
            rows = torch.cat([rows, rows.new_zeros(shape)], axis + 1)
        scores = self.networks["critic"](self._arranged(rows))
        return scores.unflatten(-1, (o.critics, -1)).mean(-2).repeat_interleave(o.pack, -1)

    def _arranged(self, rows: Tensor) -> Tensor:
        o, axis = self.options, self.axis
        if o.pack > 1:
            n, channels = rows.shape[axis : axis + 2]
            rows = rows.reshape(*rows.shape[:axis], n // o.pack, o.pack * channels, *rows.shape[axis + 2 :])
        return torch.cat([rows] * o.critics, axis) if o.critics > 1 else rows

    def _sources(self, latent: Tensor) -> Tensor:
        """One-hot sources (…, n · critics, sources) of what the critic sees of rows from `latent`."""
        return torch.cat([latent[..., self.options.latent :]] * self.options.critics, -2)

    def _critic_loss(
        self, judge: Judge, real: Tensor, fake: Tensor, latent: Tensor, draws: Draws
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """The critic's loss (…), its parts, and its scores of what it sees, (…, 2n)."""
        o, n = self.options, real.shape[self.axis]
        on_real, on_fake = self._both(judge, real, fake)
        loss, told = objective(o).critic(on_real.scores, on_fake.scores).mean(-1), {}
        if o.loss == "wgan_gp":
            each = [1] * (real.dim() - self.axis - 1)
            between = torch.lerp(fake, real, draws.uniform(n, *each))
            told["gradient_penalty"] = gradient_penalty(judge, between)
            loss = loss + o.gradient_penalty * told["gradient_penalty"]
        for name, weight, rows in (("r1", o.r1, real), ("r2", o.r2, fake)):
            if weight:
                told[name] = zero_centred(judge, rows)
                loss = loss + weight * told[name]
        if on_fake.codes is not None:
            loss = loss - o.information * information(on_fake.codes, self._sources(latent))
        if o.contrast:
            told["contrast"] = self._contrast(judge, real, fake, draws)
            loss = loss + o.contrast * told["contrast"]
        told = {name: value.detach() for name, value in told.items()}
        return loss, told, torch.cat([on_real.scores, on_fake.scores], -1).detach()

    def _both(self, judge: Judge, real: Tensor, fake: Tensor) -> tuple[Said, Said]:
        """What a critic says of both: at once, unless it compares the rows of a batch or is several."""
        o, n = self.options, real.shape[self.axis]
        if o.batchwise or o.critics > 1:
            return judge(real, True), judge(fake, True)
        said: Said = judge(torch.cat([real, fake], self.axis), True)
        codes = said.codes
        parts = (None, None) if codes is None else codes.split(codes.shape[-2] // 2, -2)
        return (
            Said(said.scores[..., :n], said.features[..., :n, :], parts[0]),
            Said(said.scores[..., n:], said.features[..., n:, :], parts[1]),
        )

    def _contrast(self, judge: Judge, real: Tensor, fake: Tensor, draws: Draws) -> Tensor:
        """The contrastive loss of two views of all rows, the mean over critics."""
        o = self.options

        def view(rows: Tensor) -> Tensor:
            noise = draws.normal(*rows.shape[self.axis :])
            said: Said = judge(rows + o.contrast_noise * noise, True)
            return said.features.unflatten(-2, (o.critics, -1))

        first, second = (torch.cat([view(real), view(fake)], -2) for _ in range(2))
        return contrast(first, second, o.temperature).mean(-1)
