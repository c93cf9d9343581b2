"""Spectra of images whose spectra are known: noise, stripes, blur, blocks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bigloop.metrics.spectrum import block_lines, mean_power, radial, spectrum, spike, upper_share


def noise(n: int = 400, channels: int = 3, side: int = 32, sd: float = 0.2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.5, sd, (n, channels, side, side))


def stripes(side: int, down: int, across: int, amplitude: float) -> np.ndarray:
    """A wave of so many periods along each side."""
    y, x = np.mgrid[:side, :side]
    return amplitude * np.cos(2 * np.pi * (down * y + across * x) / side)


def test_the_power_is_the_mean_square_of_a_fourier_transform_written_out() -> None:
    images = noise(3, 2, 6)
    waves = np.exp(-2j * np.pi * np.outer(np.arange(6), np.arange(6)) / 6)
    slow = [abs(waves @ image @ waves.T) ** 2 / 36 for picture in images for image in picture]
    np.testing.assert_allclose(mean_power(images), np.mean(slow, axis=0), rtol=1e-10)


def test_white_noise_is_flat() -> None:
    power = mean_power(noise(2_000))
    _, means = radial(power)
    np.testing.assert_allclose(means, 0.04, rtol=0.05)
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32)))
    assert upper_share(power) == pytest.approx((radius > 1 / 3).sum() / (32 * 32 - 1), rel=0.01)


@pytest.mark.parametrize(("down", "across"), [(5, 0), (0, 12), (7, 9), (16, 16)])
def test_a_stripe_is_found_at_its_frequency_and_as_strong_as_it_is(down: int, across: int) -> None:
    side, amplitude, sd = 32, 0.1, 0.2
    real, plain = noise(4_000, 1, side, sd, 1), noise(4_000, 1, side, sd, 2)
    found, radius = spike(mean_power(plain + stripes(side, down, across, amplitude)), mean_power(real))
    assert radius == pytest.approx(np.hypot(down, across) / side)
    lone = (
        2 * down % side == 0 and 2 * across % side == 0
    )  # its own mirror image: both halves at one frequency
    expected = 1 + (amplitude * side / (1 if lone else 2)) ** 2 / sd**2
    assert found == pytest.approx(expected, rel=0.08)


def test_without_a_stripe_the_largest_spike_is_that_of_chance() -> None:
    found, _ = spike(mean_power(noise(4_000, 1, 32, 0.2, 1)), mean_power(noise(4_000, 1, 32, 0.2, 2)))
    assert 1 < found < 1.15  # the largest of 511 independent ratios, each 1 ± √(2/4 000)


def test_blur_takes_from_the_upper_third_as_its_own_transform_says() -> None:
    images = noise(1_000, 1)
    blurred = ndimage.gaussian_filter(images, (0, 0, 0.7, 0.7), mode="wrap")
    sharp, soft = (radial(mean_power(x))[1] for x in (images, blurred))
    frequencies = radial(mean_power(images))[0]
    assert (np.diff(soft / sharp) < 0).all()
    np.testing.assert_allclose(
        (soft / sharp)[:8], np.exp(-((2 * np.pi * 0.7 * frequencies[:8]) ** 2)), rtol=0.05
    )
    assert upper_share(mean_power(blurred)) < 0.25 * upper_share(mean_power(images))


def test_seams_between_blocks_of_eight_are_lines_and_noise_has_none() -> None:
    images = noise(500, 1, 64)
    assert block_lines(mean_power(images)) == pytest.approx(1, abs=0.02)
    seams = 0.2 * np.random.default_rng(4).normal(size=(500, 1, 64, 1)) * (np.arange(64) % 8 == 0)
    one_way = 1 + 0.04 * (8 / 64**0.5) ** 2 / 0.04  # eight ones a row, all in phase at multiples of 1/8
    assert block_lines(mean_power(images + seams)) == pytest.approx(
        one_way**0.5, rel=0.03
    )  # and none the other way
    with pytest.raises(ValueError, match="got 28"):
        block_lines(mean_power(noise(5, 1, 28)))


def test_pictures_of_other_shapes_have_rings_of_the_shorter_side() -> None:
    frequencies, means = radial(mean_power(noise(600, 1, 24)[..., :20]))
    np.testing.assert_allclose(frequencies, np.arange(1, 15) / 20)
    np.testing.assert_allclose(means, 0.04, rtol=0.15)


def test_the_measure_names_its_values_and_takes_what_is_known_of_real_images() -> None:
    generated, real = noise(50, seed=1), noise(50, seed=2)
    found = spectrum(generated, real)
    assert [name for name, _, detail in found if not detail] == [
        "upper_share",
        "spectral_spike",
        "spike_radius",
        "block_lines",
    ]
    assert [detail for name, _, detail in found if name == "power"] == [f"{k / 32:.6g}" for k in range(1, 24)]
    assert spectrum(generated, real, of_real=mean_power(real)) == found
    assert "block_lines" not in {name for name, *_ in spectrum(noise(5, 1, 28), noise(5, 1, 28, seed=1))}
    with pytest.raises(ValueError, match="flat"):
        spectrum(generated, np.ones_like(real))
