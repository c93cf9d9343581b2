"""The deep U-Net: shapes of any size in every layout, what it depends on, and that it starts as 0."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bigloop.models.images.deep_unet import AUGMENTATION, LAYOUTS, DeepUNet, Sizes, norm

from .test_unet import alive, seeded


def inputs(shape: tuple[int, ...], n: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    told = torch.randn(n, AUGMENTATION, generator=seeded(3))
    return torch.randn(n, *shape, generator=seeded(2)), torch.rand(n), torch.arange(n) % 5, told


SMALL = Sizes(8, (1, 2, 2), 1, (7, 8))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 16, 24), (2, 19, 13), (1, 64, 64)])
def test_the_output_has_the_shape_of_the_image_odd_sizes_included(
    layout: str, shape: tuple[int, ...]
) -> None:
    x, t, labels, told = inputs(shape)
    net = alive(DeepUNet(shape, 5, SMALL, LAYOUTS[layout], augmented=True))
    assert net(x, t, labels, told).shape == x.shape


@pytest.mark.parametrize("layout", LAYOUTS)
def test_before_training_the_output_is_0(layout: str) -> None:
    x, t, labels, _ = inputs((3, 16, 16))
    assert not DeepUNet((3, 16, 16), 5, SMALL, LAYOUTS[layout])(x, t, labels).any()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_image_is_by_itself_and_depends_on_time_class_and_augmentation(layout: str) -> None:
    shape = (3, 16, 16)
    x, t, labels, told = inputs(shape)
    net = alive(DeepUNet(shape, 5, SMALL, LAYOUTS[layout], augmented=True)).double().eval()
    given = [x.double(), t.double(), labels, told.double()]
    whole = net(*given)
    torch.testing.assert_close(net(*(part[1:2] for part in given)), whole[1:2])
    for k, other in enumerate((x.double() + 1, t.double() + 1, labels + 1, told.double() + 1)):
        changed = net(*given[:k], other, *given[k + 1 :])
        assert not torch.isclose(changed, whole).all(dim=(1, 2, 3)).any() if k else True


def test_attention_is_where_it_is_asked_for() -> None:
    def places(layout: str) -> tuple[int, int]:
        net = DeepUNet((3, 16, 16), 0, Sizes(8, (1, 1), 2, (8,)), LAYOUTS[layout])
        return tuple(
            sum(getattr(part, "attention", None) is not None for part in side) for side in (net.down, net.up)
        )  # type: ignore[return-value]

    assert places("ho") == places("adm") == (2, 3)
    assert places("ddpmpp") == (2, 1)


def test_a_network_without_classes_has_no_weights_for_them() -> None:
    names = DeepUNet((3, 16, 16), 0, SMALL, LAYOUTS["ho"]).state_dict()
    assert not any(name.startswith(("label", "augmentation")) for name in names)


def test_groups_have_at_least_four_channels_where_there_are_four() -> None:
    assert [norm(width, 1e-5).num_groups for width in (4, 24, 32, 48, 128, 256)] == [1, 6, 8, 12, 32, 32]


def test_dropout_drops_in_training_alone() -> None:
    shape = (3, 16, 16)
    x, t, _, _ = inputs(shape)
    net = alive(DeepUNet(shape, 0, Sizes(8, (1, 2), 1, (), dropout=0.5), LAYOUTS["ho"]))
    assert not torch.equal(net(x, t), net(x, t))
    net.eval()
    assert torch.equal(net(x, t), net(x, t))
