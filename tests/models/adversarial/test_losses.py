"""The losses of GANs and the penalties of their critics by closed forms."""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit
from torch import Tensor

from bigloop.models.adversarial.losses import (
    DIVERGENCES,
    contrast,
    cross_entropy,
    information,
    non_saturating,
    objective,
    relativistic,
    saturating,
)
from bigloop.models.adversarial.penalties import gradient_penalty, zero_centred
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


def options(**given: Any) -> Any:
    neutral = {"label_smoothing": 0.0, "generator_loss": "non_saturating", "divergence": "jensen_shannon"}
    return SimpleNamespace(**neutral | given)


def test_a_smoothed_label_is_a_probability_that_the_real_row_is_generated() -> None:
    s, other = (torch.randn(50, generator=seeded(k), dtype=torch.float64) * 5 for k in (0, 1))
    found = objective(options(loss="gan", label_smoothing=0.1)).critic(s, other)
    expected = -0.9 * log_expit(s.numpy()) - 0.1 * log_expit(-s.numpy()) - log_expit(-other.numpy())
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_a_relativistic_loss_is_of_differences_and_each_networks_is_the_others_with_rows_exchanged() -> None:
    real, fake = (torch.randn(50, generator=seeded(k), dtype=torch.float64) for k in (0, 1))
    two = objective(options(loss="relativistic"))
    assert two.paired
    np.testing.assert_allclose(two.critic(real, fake), -log_expit((real - fake).numpy()), atol=1e-12)
    torch.testing.assert_close(two.generator(fake, real), two.critic(fake, real))
    torch.testing.assert_close(relativistic(real + 3, fake + 3), relativistic(real, fake))


# --- f-GANs ---

GENERATORS = {  # f of D_f(p‖q) = ∫ q f(p/q), Nowozin et al. 2016, table 5; Jensen–Shannon's is twice the divergence
    "forward_kl": lambda u: u * np.log(u),
    "reverse_kl": lambda u: -np.log(u),
    "jensen_shannon": lambda u: u * np.log(u) - (u + 1) * np.log((u + 1) / 2),
    "chi_squared": lambda u: (u - 1) ** 2,
    "hellinger": lambda u: (np.sqrt(u) - 1) ** 2,
    "total_variation": lambda u: abs(u - 1) / 2,
}


def short(f: Any, t: float, log_u: float) -> float:
    """f(u) − u t, whose largest shortfall the conjugate is."""
    return f(np.exp(log_u)) - np.exp(log_u) * t


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_conjugate_is_the_supremum_that_defines_it(name: str) -> None:
    f, ours = GENERATORS[name], DIVERGENCES[name]
    for v in (-1.5, -0.2, 0.1, 0.9):
        output = torch.tensor(v, dtype=torch.float64)
        t, conjugate = ours.activation(output).item(), ours.conjugate(output).item()
        found = minimize_scalar(partial(short, f, t), bounds=(-12, 12), method="bounded")
        assert conjugate == pytest.approx(-found.fun, abs=2e-5)  # at the ends of (e⁻¹², e¹²), 6e-6 off


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_critics_best_loss_is_minus_the_divergence(name: str) -> None:
    p, q = (np.array(shares) for shares in ([0.5, 0.3, 0.2], [0.1, 0.3, 0.6]))
    two = objective(options(loss="f_gan", divergence=name))
    outputs = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    weights = torch.tensor(p), torch.tensor(q)

    def loss() -> Tensor:
        zero = torch.zeros_like(outputs)
        on_real = two.critic(outputs, zero) - two.critic(zero, zero)  # −T(v), but for a constant
        on_fake = two.critic(zero, outputs)
        return (weights[0] * on_real + weights[1] * on_fake).sum()

    search = torch.optim.LBFGS([outputs], max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-14)

    def closure() -> Tensor:
        search.zero_grad()
        found = loss()
        found.backward()
        return found

    search.step(closure)
    divergence = float((q * GENERATORS[name](p / q)).sum())
    # total variation's best output is infinite: tanh gets as near as the search goes
    assert -loss().item() == pytest.approx(divergence, abs=1e-4 if name == "total_variation" else 1e-7)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_generators_losses_are_the_games_and_the_alternative(name: str) -> None:
    fake = torch.randn(9, generator=seeded(), dtype=torch.float64)
    ours = DIVERGENCES[name]
    for how, expected in (("saturating", -ours.conjugate(fake)), ("non_saturating", -ours.activation(fake))):
        two = objective(options(loss="f_gan", divergence=name, generator_loss=how))
        torch.testing.assert_close(two.generator(fake, torch.zeros(9)), expected)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_losses_of_a_critic_that_is_sure_are_finite_in_float32(name: str) -> None:
    outputs = torch.tensor([-1e4, -50.0, 50.0, 1e4], requires_grad=True)
    two = objective(options(loss="f_gan", divergence=name))
    values = two.critic(outputs, outputs.flip(0)) + two.generator(outputs, outputs)
    values.sum().backward()
    assert outputs.grad is not None
    assert values.isfinite().all()
    assert outputs.grad.isfinite().all()


def test_jensen_shannons_is_goodfellows_loss_but_for_a_constant() -> None:
    real, fake = (torch.randn(50, generator=seeded(k), dtype=torch.float64) for k in (0, 1))
    found = objective(options(loss="f_gan")).critic(real, fake)
    torch.testing.assert_close(found + 2 * math.log(2), cross_entropy(real, fake))


# --- codes and views ---


def test_the_information_is_a_bound_that_is_exact_where_the_posterior_is_told() -> None:
    channel = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.25, 0.25, 0.5]])  # p(x|c), a row for each code
    joint = channel / 3
    exact = float((joint * np.log(joint / joint.sum(0) / joint.sum(1, keepdims=True))).sum())
    counts = (joint * 6000).round().astype(int)  # as often as their probability says, without sampling
    c, x = (torch.from_numpy(of) for of in np.nonzero(counts))
    times = torch.from_numpy(counts[np.nonzero(counts)])
    c, x = c.repeat_interleave(times), x.repeat_interleave(times)
    codes = torch.nn.functional.one_hot(c, 3).double()
    posterior = torch.from_numpy(np.log(joint / joint.sum(0)).T)
    assert information(posterior[x], codes).item() == pytest.approx(exact, abs=1e-3)  # counts are rounded
    for k in range(3):
        other = posterior + torch.randn(3, 3, generator=seeded(k), dtype=torch.float64)
        assert information(other[x], codes).item() < exact - 0.01
    assert information(torch.zeros(len(x), 3).double(), codes).item() == pytest.approx(0)


def test_the_contrastive_loss_is_simclrs() -> None:
    first, second = (torch.randn(5, 4, generator=seeded(k), dtype=torch.float64) for k in (0, 1))
    both = [*first.numpy(), *second.numpy()]

    def likeness(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) / 0.2

    losses = [
        math.log(sum(math.exp(likeness(both[i], both[j])) for j in range(10) if j != i))
        - likeness(both[i], both[(i + 5) % 10])
        for i in range(10)
    ]
    assert contrast(first, second, 0.2).item() == pytest.approx(np.mean(losses))
    stacked = contrast(torch.stack([first, second]), torch.stack([second, second]), 0.2)
    torch.testing.assert_close(stacked[0], contrast(first, second, 0.2))


# --- the penalties ---


def test_the_zero_centred_penalty_is_half_the_mean_square_of_the_slope() -> None:
    points = torch.randn(50, 3, 4, generator=seeded(), dtype=torch.float64)
    found = zero_centred(lambda x: x.square().flatten(1).sum(dim=1) / 2, points)  # ∇f(x) = x
    assert found.item() == pytest.approx(points.square().sum((1, 2)).mean().item() / 2)
    stacked = zero_centred(lambda x: x.square().sum(2) / 2, points)
    torch.testing.assert_close(stacked, points.square().sum(2).mean(1) / 2)
    assert zero_centred(lambda x: x[:, 0, 0] * 0 + 1, points).item() == 0


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
