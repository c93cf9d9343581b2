"""The classifier that judges: its layers, its shifts, and that it is trained reproducibly and well enough."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bigloop.data import load
from bigloop.metrics.classes import effective_classes
from bigloop.models.classifier import (
    Classifier,
    Judgement,
    accuracy,
    pixels,
    shifted,
    train_classifier,
)
from bigloop.models.images.augmentation import mirrored
from bigloop.spec.jobs import ClassifierSpec

CPU = torch.device("cpu")
TINY = ClassifierSpec("mnist", width=2, features=16, epochs=1, batch_size=128, learning_rate=1e-2)
RESNET = replace(TINY, network="resnet")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_stored_bytes_become_shares_of_255_and_floats_keep_their_values() -> None:
    assert pixels(np.array([[0, 51, 255]], np.uint8)).tolist() == [[0, pytest.approx(0.2), 1]]
    assert pixels(np.array([-0.5, 1.5], np.float16)).tolist() == [-0.5, 1.5]


def test_shifting_moves_each_image_by_whole_pixels_within_the_limit() -> None:
    images = torch.zeros(500, 1, 9, 9)
    images[:, 0, 4, 4] = 1
    moved = shifted(images, 2, seeded())
    offsets = {(int(row) - 4, int(column) - 4) for _, _, row, column in moved.nonzero().tolist()}
    assert moved.sum() == 500
    assert offsets == {(row, column) for row in range(-2, 3) for column in range(-2, 3)}


def test_shifting_lets_zeros_in_and_keeps_channels_together() -> None:
    images = torch.rand(20, 3, 6, 6, generator=seeded()) + 1
    moved = shifted(images, 1, seeded(1))
    for before, after in zip(images, moved, strict=True):
        candidates = [
            torch.nn.functional.pad(before, [1, 1, 1, 1])[:, i : i + 6, j : j + 6]
            for i in range(3)
            for j in range(3)
        ]
        assert sum(torch.equal(after, candidate) for candidate in candidates) == 1


def test_without_a_limit_nothing_is_shifted() -> None:
    images = torch.rand(3, 1, 5, 5, generator=seeded())
    assert shifted(images, 0, seeded()) is images


def test_mirroring_turns_about_half_of_the_images_and_each_as_a_whole() -> None:
    images = torch.rand(400, 3, 4, 5, generator=seeded())
    after = mirrored(images, seeded(1))
    same, turned = ((after == other).flatten(1).all(1) for other in (images, images.flip(3)))
    assert (same ^ turned).all()
    assert 150 < turned.sum() < 250


@pytest.mark.parametrize("side", [4, 8, 16, 28, 32, 64, 128])
def test_a_resnet_ends_at_four_pixels_or_fewer_whatever_the_size(side: int) -> None:
    net = Classifier(RESNET, (3, side, side), 10).eval()
    maps = net.body[:-2](torch.rand(1, 3, side, side, generator=seeded()))  # before the highest is taken
    assert maps.shape[1] == RESNET.features
    assert maps.shape[2] <= 4


def test_a_resnets_features_are_the_highest_activations_and_never_below_zero() -> None:
    net = Classifier(RESNET, (3, 32, 32), 10)
    images = np.random.default_rng(0).integers(0, 256, size=(5, 3, 32, 32), dtype=np.uint8)
    judgement = net.judge(images)
    assert judgement.features.shape == (5, 16)
    assert (judgement.features >= 0).all()
    maps = net.body[:-2](pixels(images)).detach().numpy()
    np.testing.assert_allclose(judgement.features, maps.max(axis=(2, 3)), rtol=1e-5)


def test_a_resnet_does_not_depend_on_brightness_and_contrast_of_a_whole_dataset() -> None:
    images = torch.rand(64, 3, 16, 16, generator=seeded())
    net = Classifier(RESNET, (3, 16, 16), 10).train()
    torch.testing.assert_close(net.body(images), net.body(0.1 + 0.3 * images), atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("side", "most", "adapting"),
    [(28, 167, 1_000), (32, 128, 1_000), (64, 32, 256), (128, 8, 100), (512, 1, 100)],
)
def test_larger_images_are_judged_fewer_at_a_time(
    side: int, most: int, adapting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = replace(RESNET, width=1, features=1)
    net, seen = Classifier(spec, (1, side, side), 2), []
    monkeypatch.setattr(
        net.body, "forward", lambda images: seen.append(len(images)) or torch.zeros(len(images), 1)
    )
    images = np.zeros((1_050, 1, side, side), np.uint8)
    net.judge(images)
    assert max(seen) == most
    assert sum(seen) == 1_050
    seen.clear()
    net.adapted(images)
    assert net.chunk == adapting
    assert adapting <= min(seen) <= max(seen) < 2 * adapting
    assert sum(seen) == 1_050


def test_a_smoothed_label_asks_for_less_than_certainty() -> None:
    images = np.zeros((32, 1, 8, 8), np.uint8)
    labels = np.zeros(32, np.int64)
    sure, unsure = (
        train_classifier(
            replace(RESNET, epochs=120, learning_rate=0.2, shift=0, dropout=0.0, label_smoothing=smoothing),
            *(images, labels, 2, CPU, lambda line: None),
        )[1][-1]["loss"]
        for smoothing in (0.0, 0.4)
    )
    assert sure < 0.1
    assert 0.5004 <= unsure < 0.55  # the entropy of 0.8 and 0.2, the shares of the label, is the least


def test_features_and_classes_are_as_many_as_asked_for() -> None:
    net = Classifier(ClassifierSpec("mnist"), (1, 28, 28), 10)
    judgement = net.judge(np.zeros((3, 1, 28, 28), np.uint8))
    assert judgement.features.shape == (3, 84)
    assert judgement.probabilities.shape == (3, 10)
    np.testing.assert_allclose(judgement.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (judgement.features >= 0).all()


def test_judging_does_not_depend_on_the_other_images_nor_on_training_mode() -> None:
    net = Classifier(TINY, (1, 28, 28), 10).train()
    images = np.random.default_rng(0).integers(0, 256, size=(1_100, 1, 28, 28), dtype=np.uint8)
    together, alone = net.judge(images), net.judge(images[1_050:1_060])
    np.testing.assert_allclose(together.features[1_050:1_060], alone.features, atol=1e-5)
    np.testing.assert_array_equal(net.judge(images).features, together.features)


def test_accuracy_is_the_share_of_labels_that_are_most_probable() -> None:
    probabilities = np.array([[0.6, 0.4], [0.2, 0.8], [0.9, 0.1], [0.1, 0.9]])
    assert accuracy(Judgement(probabilities, probabilities), np.array([0, 1, 1, 1])) == 0.75


@pytest.mark.long
@pytest.mark.parametrize(
    "kind", [TINY, replace(RESNET, width=8, features=32, epochs=2)], ids=["cnn", "resnet"]
)
def test_one_seed_trains_one_classifier_that_knows_digits(kind: ClassifierSpec, small_mnist: Path) -> None:
    images, labels = load(small_mnist, "train")
    test_images, test_labels = load(small_mnist, "test")

    def weights(spec: ClassifierSpec) -> tuple[float, list[torch.Tensor]]:
        net, _ = train_classifier(spec, images, labels, 10, CPU, lambda line: None)
        assert not net.training
        return accuracy(net.judge(test_images), test_labels), list(net.state_dict().values())

    first_accuracy, first = weights(kind)
    _, again = weights(kind)
    _, other = weights(replace(kind, seed=1))
    assert first_accuracy > 0.5  # chance is 0.1; a pass over 4 000 rows gave 0.8
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_adapted_to_dim_images_a_classifier_reads_them_and_is_left_as_it_was(small_mnist: Path) -> None:
    images, labels = load(small_mnist, "train")
    net, _ = train_classifier(replace(TINY, width=4), images, labels, 10, CPU, lambda line: None)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    test, truth = load(small_mnist, "test")
    dim = pixels(test).numpy() * 0.15

    def read(probabilities: np.ndarray) -> float:
        return float((probabilities.argmax(axis=1) == truth).mean())

    assert read(net.adapted(dim)) > read(net.judge(dim).probabilities) + 0.1
    assert read(net.adapted(dim)) == pytest.approx(read(net.adapted(test)), abs=0.02)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert not net.training


def test_images_of_one_class_are_read_as_one_class_when_adapted_to(small_mnist: Path) -> None:
    images, labels = load(small_mnist, "train")
    net, _ = train_classifier(replace(TINY, width=4), images, labels, 10, CPU, lambda line: None)
    ones = net.adapted(images[labels == 1][:300]).argmax(axis=1)
    assert (ones == 1).mean() > 0.8


def test_a_resnet_reads_them_so_too_for_its_deep_normalisations_are_not_adapted(small_mnist: Path) -> None:
    images, labels = load(small_mnist, "train")
    net, _ = train_classifier(replace(RESNET, width=8, epochs=4), images, labels, 10, CPU, lambda line: None)
    seen = [net.adapted(images[labels == digit][:300]) for digit in range(10)]
    assert np.mean([(one.argmax(axis=1) == digit).mean() for digit, one in enumerate(seen)]) > 0.8
    assert np.mean([effective_classes(one, one) for one in seen]) < 4
