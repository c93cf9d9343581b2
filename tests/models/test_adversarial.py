"""The losses of GANs and the gradient penalty by closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import expit, log_expit
from torch import Tensor

from bigloop.models.adversarial import cross_entropy, gradient_penalty, non_saturating, saturating
from bigloop.models.points.stacked import Streams

LOGITS = {0.0: -800.0, 0.5: 0.0, 1.0: 800.0}  # by D: exp(−800) is 0 in float64


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def streams(*seeds: int) -> Streams:
    return Streams([np.random.default_rng(seed) for seed in seeds])


def slope(loss: Tensor, logit: Tensor) -> float:
    return torch.autograd.grad(loss.sum(), logit)[0].item()


# --- the losses ---


def test_the_losses_are_the_logarithms_of_the_discriminators_probabilities() -> None:
    s = torch.randn(200, generator=seeded(), dtype=torch.float64) * 10
    other = s.flip(0)
    log_d, log_not_d = log_expit(s.numpy()), log_expit(-s.numpy())
    # softplus is linear above 20, which leaves out exp(−20) = 2e-9
    np.testing.assert_allclose(saturating(s), log_not_d, atol=3e-9)
    np.testing.assert_allclose(non_saturating(s), -log_d, atol=3e-9)
    np.testing.assert_allclose(cross_entropy(other, s), -log_expit(other.numpy()) - log_not_d, atol=6e-9)


@pytest.mark.parametrize(
    ("d", "vanishing", "strong"), [(0.0, 0.0, -1.0), (0.5, -0.5, -0.5), (1.0, -1.0, 0.0)]
)
def test_the_saturating_gradient_vanishes_where_the_discriminator_is_sure_and_the_other_does_not(
    d: float, vanishing: float, strong: float
) -> None:
    logit = torch.tensor(LOGITS[d], dtype=torch.float64, requires_grad=True)
    assert logit.sigmoid().item() == d
    assert slope(saturating(logit), logit) == vanishing  # d/ds log(1 − D) = −D
    assert slope(non_saturating(logit), logit) == strong  # d/ds (−log D) = D − 1


@pytest.mark.parametrize("d", LOGITS)
def test_the_discriminators_gradients_are_its_errors(d: float) -> None:
    real, fake = (torch.tensor(LOGITS[d], dtype=torch.float64, requires_grad=True) for _ in range(2))
    loss = cross_entropy(real, fake)
    assert torch.autograd.grad(loss, (real, fake)) == (d - 1, d)


@pytest.mark.parametrize("loss", [saturating, non_saturating, lambda s: cross_entropy(s, s)])
def test_losses_and_gradients_are_finite_in_float32_where_probabilities_are_0_or_1(loss: object) -> None:
    s = torch.tensor([-1e4, -100.0, 100.0, 1e4], requires_grad=True)
    assert set(expit(s.detach().numpy())) == {0.0, expit(np.float32(-100)), 1.0}
    values = loss(s)  # type: ignore[operator]
    values.sum().backward()
    assert s.grad is not None
    assert values.isfinite().all()
    assert s.grad.isfinite().all()


def test_the_two_generators_losses_have_the_same_gradient_up_to_the_odds() -> None:
    s = torch.linspace(-6, 6, 13, dtype=torch.float64, requires_grad=True)
    one, other = (torch.autograd.grad(loss(s).sum(), s)[0].detach() for loss in (saturating, non_saturating))
    torch.testing.assert_close(one / other, s.detach().exp())  # D / (1 − D)


# --- the gradient penalty ---


def test_a_critic_of_slope_1_pays_no_penalty() -> None:
    assert gradient_penalty(lambda x: x[:, 0], torch.randn(8, 5, generator=seeded())).item() == 0
    assert gradient_penalty(lambda x: x[:, :, 0], streams(0, 1).normal(8, 5)).tolist() == [0, 0]


def test_the_penalty_of_a_linear_critic_is_its_slopes_distance_to_1_squared() -> None:
    weight = torch.randn(1, 6, 6, generator=seeded(), dtype=torch.float64, requires_grad=True)
    points = torch.randn(9, 1, 6, 6, generator=seeded(1), dtype=torch.float64)
    penalty = gradient_penalty(lambda x: (x * weight).sum(dim=(1, 2, 3)), points)
    norm = weight.norm().item()
    assert penalty.item() == pytest.approx((norm - 1) ** 2)
    penalty.backward()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, 2 * (norm - 1) / norm * weight.detach())


def test_each_of_many_replicates_has_the_penalty_of_its_own_slope() -> None:
    slopes = streams(2, 3).normal(1, 5, dtype=torch.float64).requires_grad_()
    penalty = gradient_penalty(lambda x: (x * slopes).sum(2), streams(0, 1).normal(8, 5, dtype=torch.float64))
    norms = slopes.detach().norm(dim=2)[:, 0]
    torch.testing.assert_close(penalty.detach(), (norms - 1) ** 2)
    penalty.sum().backward()
    factor = (2 * (norms - 1) / norms)[:, None, None]
    torch.testing.assert_close(slopes.grad, factor * slopes.detach())


def test_the_penalty_is_a_mean_over_points_each_with_its_own_slope() -> None:
    points = torch.randn(50, 3, 4, generator=seeded(), dtype=torch.float64)
    penalty = gradient_penalty(lambda x: x.square().flatten(1).sum(dim=1) / 2, points)  # ∇f(x) = x
    assert penalty.item() == pytest.approx(((points.flatten(1).norm(dim=1) - 1) ** 2).mean().item())
    penalty = gradient_penalty(lambda x: x.square().sum(2) / 2, points)
    torch.testing.assert_close(penalty, ((points.norm(dim=2) - 1) ** 2).mean(1))


def test_the_penalty_of_points_is_that_of_images_with_the_same_numbers() -> None:
    points = torch.randn(1, 20, 6, generator=seeded())
    net = torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.Tanh(), torch.nn.Linear(9, 1))
    stacked = gradient_penalty(lambda x: net(x).squeeze(2), points)
    alone = gradient_penalty(lambda x: net(x.flatten(1)).squeeze(1), points[0].reshape(20, 1, 2, 3))
    assert math.isclose(stacked.item(), alone.item(), rel_tol=1e-6)
