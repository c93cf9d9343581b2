"""The U-Net: shapes of any size, each image by itself, what it depends on, and parts against other implementations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from diffusers.models.embeddings import get_timestep_embedding
from torch import nn

from bigloop.models.images.unet import Attention, ResidualBlock, UNet, norm, sinusoids
from bigloop.spec.options import SpecError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def alive(net: nn.Module) -> nn.Module:
    """`net` with every weight drawn anew, so that no layer is the zero it starts as."""
    generator = seeded(1)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.2, generator=generator)
    return net


def unet(shape: tuple[int, ...] = (1, 28, 28), width: int = 4, blocks: int = 1, patch: int = 2) -> UNet:
    return UNet(shape, classes=10, width=width, blocks=blocks, patch=patch)


def inputs(n: int = 3, shape: tuple[int, ...] = (1, 28, 28)) -> tuple[torch.Tensor, ...]:
    t, labels = (torch.randint(10, (n,), generator=seeded(s)) for s in (2, 3))
    return torch.randn(n, *shape, generator=seeded(4)), t, labels


@pytest.mark.parametrize(
    ("shape", "patch"),
    [((1, 28, 28), 1), ((1, 28, 28), 4), ((3, 32, 32), 2), ((1, 7, 5), 1), ((2, 9, 15), 3)],
)
@pytest.mark.parametrize("blocks", [1, 2])
def test_the_output_has_the_shape_of_the_image_odd_sizes_included(
    shape: tuple[int, ...], patch: int, blocks: int
) -> None:
    x, t, labels = inputs(2, shape)
    assert alive(unet(shape, blocks=blocks, patch=patch))(x, t, labels).shape == x.shape


def test_patches_that_do_not_tile_the_image_are_refused() -> None:
    with pytest.raises(SpecError, match=r"^patch: 3×3 pixels do not tile images of 28×28$"):
        unet(patch=3)


def test_before_training_the_output_is_0() -> None:
    assert not unet()(*inputs()).any()


def test_before_training_a_residual_block_and_the_attention_do_nothing() -> None:
    h, code = torch.randn(2, 8, 5, 5, generator=seeded()), torch.randn(2, 6, generator=seeded(1))
    assert torch.equal(ResidualBlock(8, 8, 6)(h, code), h)
    assert torch.equal(Attention(8)(h, code), h)


def test_each_image_is_treated_by_itself() -> None:
    net = alive(unet())
    x, t, labels = inputs(5)
    whole = net(x, t, labels)
    for i in range(5):
        alone = net(x[i : i + 1], t[i : i + 1], labels[i : i + 1])
        # float32 sums in another order
        torch.testing.assert_close(alone[0], whole[i], rtol=1e-4, atol=1e-4 * whole.abs().max().item())


def test_time_class_and_no_class_all_change_the_output() -> None:
    net = alive(unet())
    x, _, _ = inputs(1)

    def output(t: int, label: int) -> torch.Tensor:
        return net(x, torch.tensor([t]), torch.tensor([label]))

    outputs = [output(5, 1), output(6, 1), output(5, 2), output(5, net.nothing)]
    assert net.nothing == 10
    for i, one in enumerate(outputs):
        for other in outputs[:i]:
            assert (one - other).abs().max() > 0.01 * one.abs().max()


def test_every_pixel_can_depend_on_every_other() -> None:
    net = alive(unet())
    x, t, labels = inputs(1)
    x.requires_grad_()
    net(x, t, labels)[0, 0, 0, 0].backward()
    assert x.grad is not None
    assert x.grad.ne(0).all()


def test_gradients_reach_every_weight() -> None:
    net = alive(unet(blocks=2))
    net(*inputs(8)).square().sum().backward()
    assert not [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]


def test_patches_of_2_by_2_cost_about_a_quarter() -> None:
    def multiplications(patch: int) -> int:
        net, total = unet(width=16, patch=patch), 0

        def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
            nonlocal total
            assert isinstance(layer, nn.Conv2d)
            total += layer.weight[0].numel() * output.numel()

        for layer in net.modules():
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_hook(count)
        net(*inputs(1))
        return total

    # not exactly: 28 → 14 → 7 against 14 → 7 → 4, and patches have more channels where they enter and leave
    assert multiplications(1) / multiplications(2) == pytest.approx(4, rel=0.1)


def test_the_time_embedding_is_diffusers_own() -> None:
    t = torch.tensor([0, 1, 17, 499])
    expected = get_timestep_embedding(t, 64, downscale_freq_shift=0)
    # float32 angles up to 499 are known to 499 · 2⁻²⁴
    torch.testing.assert_close(sinusoids(t, 32), expected, rtol=0, atol=1e-4)


def test_the_attention_is_torchs_own_with_one_head() -> None:
    ours, h = alive(Attention(8)), torch.randn(2, 8, 3, 5, generator=seeded())
    assert isinstance(ours, Attention)
    theirs = nn.MultiheadAttention(8, 1, batch_first=True)
    with torch.no_grad():
        for mine, other in (
            (ours.parts.weight, theirs.in_proj_weight),
            (ours.parts.bias, theirs.in_proj_bias),
            (ours.last.weight, theirs.out_proj.weight),
            (ours.last.bias, theirs.out_proj.bias),
        ):
            other.copy_(mine.view_as(other))
    places = ours.norm(h).flatten(2).transpose(1, 2)
    mixed, _ = theirs(places, places, places)
    expected = h + mixed.transpose(1, 2).reshape(h.shape)
    torch.testing.assert_close(ours(h, torch.zeros(2, 1)), expected)


@pytest.mark.parametrize(("width", "groups"), [(4, 1), (8, 1), (24, 1), (36, 4), (64, 8), (128, 8), (256, 8)])
def test_normalised_groups_are_equal_and_not_below_8_channels(width: int, groups: int) -> None:
    assert norm(width).num_groups == groups


def test_a_residual_block_is_scaled_and_shifted_by_its_code() -> None:
    block, h = alive(ResidualBlock(8, 16, 6)), torch.randn(2, 8, 5, 5, generator=seeded())
    assert isinstance(block, ResidualBlock)
    code = torch.randn(2, 6, generator=seeded(1))
    parts = F.linear(code, block.code.weight, block.code.bias)
    scale, shift = parts[:, :16, None, None], parts[:, 16:, None, None]
    first = block.first[2](F.silu(F.group_norm(h, 1, block.first[0].weight, block.first[0].bias)))
    inside = F.group_norm(first, 2, block.norm.weight, block.norm.bias) * (1 + scale) + shift
    torch.testing.assert_close(block(h, code), block.skip(h) + block.last(F.silu(inside)))
