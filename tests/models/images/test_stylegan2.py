"""StyleGAN2: its lazy steps against slow versions, truncation, the average, and that it learns."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from bigloop.models.images import stylegan2
from bigloop.models.images.stylegan2 import StyleGAN2, path_lengths
from bigloop.spec.loops import Budget
from bigloop.spec.options import SpecError

SMALL: dict[str, Any] = {
    "latent": 8,
    "mapping_layers": 2,
    "width_base": 64,
    "width_most": 8,
    "batch_size": 8,
    "average_halflife": 100.0,
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(shape: tuple[int, ...] = (1, 16, 16), seed: int = 0, **options: Any) -> StyleGAN2:
    return StyleGAN2.fresh(StyleGAN2.Options(**(SMALL | options)), shape, seeded(seed))


def rows(n: int = 64, side: int = 16) -> Tensor:
    """Discs of random place, size and grey: (n, 1, side, side)."""
    stream = seeded(5)
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    cx, cy, radius, grey = (torch.rand(n, 1, 1, generator=stream) for _ in range(4))
    apart = (x - side * (0.3 + 0.4 * cx)) ** 2 + (y - side * (0.3 + 0.4 * cy)) ** 2
    inside = apart < (side * (0.1 + 0.2 * radius)) ** 2
    return (inside * (0.4 + 0.6 * grey))[:, None].float()


def test_second_steps_come_lazily_and_never_where_they_have_no_weight() -> None:
    made = model(r1_every=4, path_every=2)
    assert [made.kind(done) for done in range(5)] == [
        (True, True),
        (False, False),
        (False, True),
        (False, False),
        (True, True),
    ]
    assert model(r1=0.0, path_length=0.0).kind(0) == (False, False)
    assert model(loss="relativistic").kind(0) == (False, False)
    made.prepare()
    for done, extra in ((0, {"r1", "path_length"}), (1, set()), (2, {"path_length"})):
        made.advance(done, 10)
        losses = made.step(rows(8), seeded())
        assert losses.keys() == {"loss_generator", "loss_critic", "critic_on_real", "critic_on_fake"} | extra


def test_rates_and_decays_of_adam_are_those_of_lazy_regularisation() -> None:
    made = model(learning_rate=0.01, beta1=0.5, beta2=0.99, r1_every=16, path_every=4)
    made.prepare()
    for name, every in (("generator", 4), ("critic", 16)):
        share = every / (every + 1)
        (group,) = made.optimizers[name].param_groups
        assert made.learning_rate(0, 10, name) == pytest.approx(0.01 * share)
        assert group["betas"] == pytest.approx((0.5**share, 0.99**share))
    plain = model(loss="relativistic", learning_rate=0.01)
    assert plain.learning_rate(0, 10, "critic") == 0.01


def test_r1_is_half_the_mean_square_of_the_critics_slopes_by_finite_differences() -> None:
    made = model((1, 8, 8), deviation_group=2)
    critic, images = made.critic.double(), (2 * rows(4, 8) - 1).double()
    noise = torch.randn(images.shape, generator=seeded(1), dtype=torch.float64)
    images = images + 0.1 * noise
    total, step = 0.0, 1e-6
    for pixel in range(images[0].numel()):  # each image's score depends on the others of its group as well
        moved = torch.zeros_like(images).flatten(1)
        moved[:, pixel] = step
        moved = moved.reshape(images.shape)
        for place in range(len(images)):
            one = torch.zeros(len(images), 1, 1, 1, dtype=torch.float64)
            one[place] = 1
            slope = (critic(images + one * moved) - critic(images - one * moved)).sum() / (2 * step)
            total += float(slope.detach()) ** 2
    made.optimizers = {"critic": torch.optim.SGD(made.critic.parameters(), lr=0.0)}
    told = made._r1_step(images)
    assert told["r1"].item() == pytest.approx(16 * total / 2 / len(images), rel=1e-4)  # one step for sixteen


def test_path_lengths_are_those_of_finite_differences() -> None:
    net = model().averaged.net.double()
    for layer in net.styled:
        torch.nn.init.normal_(layer.strength, generator=seeded(2))
    styles = torch.randn(2, net.layers, 8, generator=seeded(3), dtype=torch.float64)
    fixed = {
        side: torch.randn(2, 1, side, side, generator=seeded(side), dtype=torch.float64)
        for side in (4, 8, 16)
    }
    noise = fixed.__getitem__
    found = path_lengths(net, styles.requires_grad_(), noise, seeded(7))
    y = torch.randn(2, 1, 16, 16, generator=seeded(7)).double() / 16
    slow = torch.zeros(2, net.layers, 8, dtype=torch.float64)
    with torch.no_grad():
        for layer in range(net.layers):
            for place in range(8):
                moved = torch.zeros(net.layers, 8, dtype=torch.float64)
                moved[layer, place] = 1e-6
                change = net(styles + moved, noise) - net(styles - moved, noise)
                slow[:, layer, place] = (change * y).sum((1, 2, 3)) / 2e-6
    expected = [math.sqrt(sum(float(v) ** 2 for v in one.flatten()) / net.layers) for one in slow]
    torch.testing.assert_close(found.detach(), torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=0)


def test_the_running_mean_of_path_lengths_moves_by_a_hundredth(monkeypatch: pytest.MonkeyPatch) -> None:
    made, lengths = model(), torch.tensor([1.0, 3.0], requires_grad=True)
    made.prepare()
    made.averaged.net.path_length.fill_(5.0)
    monkeypatch.setattr(stylegan2, "path_lengths", lambda net, styles, *_: lengths + 0 * styles.sum())
    told = made._path_step(seeded(4))
    mean = 5.0 + 0.01 * (2.0 - 5.0)
    assert float(made.averaged.net.path_length) == pytest.approx(mean)
    penalty = ((1 - mean) ** 2 + (3 - mean) ** 2) / 2
    assert told["path_length"].item() == pytest.approx(4 * penalty)  # one step for four


def test_mixed_images_have_two_latents_each_for_a_part_of_the_layers() -> None:
    made = model(mixing=1.0)
    styles = made._styles(200, seeded(6))
    changes = (styles[:, 1:] != styles[:, :-1]).any(2).sum(1)
    assert (changes == 1).all()
    assert (
        model(mixing=0.0)._styles(50, seeded(6))[:, 1:] == model(mixing=0.0)._styles(50, seeded(6))[:, :1]
    ).all()
    some = model(mixing=0.5)._styles(2_000, seeded(6))
    share = (some[:, 1:] != some[:, :-1]).any(2).any(1).float().mean()
    assert float(share) == pytest.approx(0.5, abs=4 * math.sqrt(0.25 / 2_000))


def test_truncation_0_gives_one_image_up_to_noise_and_less_than_1_less_variety() -> None:
    made = model(average_halflife=50.0)
    made.fit(rows(), Budget(images=800), seeded(1), lambda line: None)
    spread = {
        bias: made.sample(100, bias, seeded(2)).float().var(0).mean().item() for bias in (0.0, 0.5, 1.0)
    }
    assert spread[0.0] < spread[0.5] < spread[1.0]
    for layer in made.averaged.average.styled:
        torch.nn.init.zeros_(layer.strength)
    one = made.sample(20, 0.0, seeded(2)).float()
    assert float((one - one[:1]).abs().max()) < 2e-3


def test_samples_are_those_of_the_average_and_lie_in_the_unit_range() -> None:
    made = model()
    made.fit(rows(), Budget(images=160), seeded(1), lambda line: None)
    before = made.sample(30, 1.0, seeded(3))
    assert 0 <= before.min() <= before.max() <= 1
    with torch.no_grad():
        for p in made.averaged.net.parameters():
            p.add_(1.0)
    assert torch.equal(made.sample(30, 1.0, seeded(3)), before)


@pytest.mark.parametrize(
    "options",
    [{"learning_rate": 5e-3}, {"loss": "relativistic", "r1": 0.1, "r2": 0.1}],
    ids=["logistic", "r3gan"],
)
def test_it_learns_discs(options: dict[str, Any]) -> None:
    made = model((1, 8, 8), average_halflife=500.0, width_base=128, width_most=16, **({"r1": 0.1} | options))
    real = rows(512, 8)

    def distance() -> float:
        drawn = made.sample(512, 1.0, seeded(3)).float()
        moments = (drawn.mean(0) - real.mean(0)).square() + (drawn.var(0) - real.var(0)).square()
        return float(moments.sum())

    before = distance()
    history = made.fit(real, Budget(images=4_000), seeded(1), lambda line: None)
    assert distance() < before / 4
    assert all(math.isfinite(value) for value in history[-1].values())


def test_images_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(SpecError, match="square"):
        model((1, 16, 32))
    with pytest.raises(SpecError, match="got 27"):
        model((1, 27, 27))


def test_scores_do_not_depend_on_a_group_that_is_not_full() -> None:
    made = model(deviation_group=4)
    images = rows(10)
    assert made.scores(images).shape == (10,)
    torch.testing.assert_close(made.scores(images)[:8], made.scores(torch.cat([images, images[:2]]))[:8])
    assert ((made.scores(images) > 0) & (made.scores(images) < 1)).all()
