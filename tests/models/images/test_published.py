"""Published U-Nets: the outputs of ours with their weights are theirs, and what does not belong is refused.

diffusers is at hand for Ho et al.'s layout. The other two are read here by slow functions that follow the published
definitions, straight from a state dict with the published names; nothing of ours is used in them.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from diffusers import UNet2DModel
from torch import Tensor, nn

from bigloop.models.images.deep_unet import LAYOUTS, DeepUNet, Sizes
from bigloop.models.images.published import NAMES, renamed, source_of

State = dict[str, Tensor]
SIZES = Sizes(32, (1, 2), 2, (8,))
SHAPE = (3, 16, 16)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 2) -> Tensor:
    return torch.randn(n, *SHAPE, generator=seeded(3), dtype=torch.float64)


def published(layout: str, sizes: Sizes, augmented: bool = False) -> tuple[DeepUNet, State]:
    """A network of ours, and random weights for it under the published names."""
    net = DeepUNet(SHAPE, 0, sizes, LAYOUTS[layout], augmented).double().eval()
    names, state, stream = NAMES[layout](net), State(), seeded(1)
    for ours, tensor in net.state_dict().items():
        source, _ = source_of(ours, net, names)
        shape = (len(tensor) // len(source), *tensor.shape[1:])
        for alternatives in source:
            state[alternatives[0]] = 0.3 * torch.randn(shape, generator=stream, dtype=torch.float64)
    return net, state


def diffusers_model() -> UNet2DModel:
    return UNet2DModel(
        sample_size=16,
        block_out_channels=(32, 64),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        freq_shift=1,
        flip_sin_to_cos=False,
        downsample_padding=0,
        attention_head_dim=None,
        norm_eps=1e-6,
        norm_num_groups=8,
    )


def test_ho_with_the_weights_of_diffusers_says_what_diffusers_says() -> None:
    theirs, ours = diffusers_model().double().eval(), DeepUNet(SHAPE, 0, SIZES, LAYOUTS["ho"]).double().eval()
    for p in theirs.parameters():
        nn.init.normal_(p, std=0.2, generator=seeded(p.numel()))
    for layer in ours.modules():
        if isinstance(layer, nn.GroupNorm):
            layer.num_groups = 8  # which diffusers has at all widths
    ours.load_state_dict(renamed(theirs.state_dict(), ours, "ho"))
    t = torch.tensor([3, 700])
    with torch.no_grad():
        # diffusers' embedding of times is float32
        torch.testing.assert_close(ours(images(), t), theirs(images(), t).sample, rtol=1e-5, atol=1e-5)


def test_the_network_of_google_ddpm_cifar10_has_32_groups_and_35_746_307_weights() -> None:
    with torch.device("meta"):
        net = DeepUNet((3, 32, 32), 0, Sizes(128, (1, 2, 2, 2), 2, (16,)), LAYOUTS["ho"])
    assert sum(p.numel() for p in net.parameters()) == 35_746_307
    assert {layer.num_groups for layer in net.modules() if isinstance(layer, nn.GroupNorm)} == {32}


def test_names_of_attention_in_older_files_of_diffusers_are_understood() -> None:
    net, state = published("ho", SIZES)
    older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed_state = {}
    for key, tensor in state.items():
        for new, old in older.items():
            key = key.replace(f".{new}.", f".{old}.")
        renamed_state[key] = tensor
    assert renamed_state.keys() != state.keys()
    one, other = renamed(state, net, "ho"), renamed(renamed_state, net, "ho")
    assert all(torch.equal(one[key], other[key]) for key in one)


# --- slow readers of the other two layouts ---


def conv(state: State, name: str, h: Tensor, stride: int = 1) -> Tensor:
    weight = state[f"{name}.weight"]
    return F.conv2d(h, weight, state[f"{name}.bias"], stride=stride, padding=weight.shape[2] // 2)


def linear(state: State, name: str, h: Tensor) -> Tensor:
    return h @ state[f"{name}.weight"].flatten(1).T + state[f"{name}.bias"]


def normed(state: State, name: str, h: Tensor, groups: int, eps: float) -> Tensor:
    grouped = h.unflatten(1, (groups, -1))
    mean, var = grouped.mean((2, 3, 4), keepdim=True), grouped.var((2, 3, 4), keepdim=True, unbiased=False)
    weight, bias = (state[f"{name}.{kind}"][:, None, None] for kind in ("weight", "bias"))
    return ((grouped - mean) / (var + eps).sqrt()).flatten(1, 2) * weight + bias


def silu(h: Tensor) -> Tensor:
    return h / (1 + torch.exp(-h))


def attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(channels, places) each, of one head of one image."""
    weights = (query.T @ key / math.sqrt(len(query))).exp()
    return value @ (weights / weights.sum(1, keepdim=True)).T


def twice(h: Tensor) -> Tensor:
    return h.repeat_interleave(2, 2).repeat_interleave(2, 3)


def guided_diffusion(state: State, x: Tensor, t: Tensor, heads_of: int) -> Tensor:
    """Dhariwal & Nichol's UNetModel without scales, its order of queries, keys and values the older one."""
    width = state["time_embed.0.weight"].shape[1]
    rates = torch.tensor([10_000 ** (-i / (width // 2)) for i in range(width // 2)], dtype=torch.float64)
    angles = t[:, None] * rates
    code = linear(state, "time_embed.0", torch.cat([angles.cos(), angles.sin()], 1))
    code = linear(state, "time_embed.2", silu(code))

    def groups(h: Tensor) -> int:
        return min(32, h.shape[1] // 4)

    def residual(name: str, h: Tensor) -> Tensor:
        inside = conv(
            state, f"{name}.in_layers.2", silu(normed(state, f"{name}.in_layers.0", h, groups(h), 1e-5))
        )
        inside = inside + linear(state, f"{name}.emb_layers.1", silu(code))[:, :, None, None]
        inside = silu(normed(state, f"{name}.out_layers.0", inside, groups(inside), 1e-5))
        skip = conv(state, f"{name}.skip_connection", h) if f"{name}.skip_connection.weight" in state else h
        return skip + conv(state, f"{name}.out_layers.3", inside)

    def attention(name: str, h: Tensor) -> Tensor:
        qkv = linear(
            state, f"{name}.qkv", normed(state, f"{name}.norm", h, groups(h), 1e-5).permute(0, 2, 3, 1)
        )
        flat = qkv.permute(0, 3, 1, 2).flatten(2)
        mixed = []
        for image in flat:
            by_head = image.split(3 * heads_of)
            mixed.append(torch.cat([attended(*head.split(heads_of)) for head in by_head]))
        out = linear(state, f"{name}.proj_out", torch.stack(mixed).transpose(1, 2)).transpose(1, 2)
        return h + out.reshape(h.shape)

    def through(name: str, h: Tensor) -> Tensor:
        k = 0
        while any(key.startswith(f"{name}.{k}.") for key in state):
            part = f"{name}.{k}"
            if f"{part}.in_layers.0.weight" in state:
                h = residual(part, h)
            elif f"{part}.qkv.weight" in state:
                h = attention(part, h)
            elif f"{part}.op.weight" in state:
                h = conv(state, f"{part}.op", h, stride=2)
            elif f"{part}.conv.weight" in state:
                h = conv(state, f"{part}.conv", twice(h))
            else:
                h = conv(state, part, h)
            k += 1
        return h

    def count(side: str) -> int:
        return len({key.split(".")[1] for key in state if key.startswith(f"{side}.")})

    h, skips = x, []
    for n in range(count("input_blocks")):
        h = through(f"input_blocks.{n}", h)
        skips.append(h)
    h = through("middle_block", h)
    for n in range(count("output_blocks")):
        h = through(f"output_blocks.{n}", torch.cat([h, skips.pop()], 1))
    return conv(state, "out.2", silu(normed(state, "out.0", h, groups(h), 1e-5)))


def song_unet(state: State, x: Tensor, t: Tensor, told: Tensor | None, levels: int, blocks: int) -> Tensor:
    """The DDPM++ of Karras et al.: blocks that resample themselves, sums scaled by √½."""
    width, side = state["map_layer0.weight"].shape[1], x.shape[3]
    rates = torch.tensor([10_000 ** (-i / (width // 2 - 1)) for i in range(width // 2)], dtype=torch.float64)
    angles = t[:, None] * rates
    code = torch.cat([angles.sin(), angles.cos()], 1)
    if told is not None:
        code = code + told @ state["map_augment.weight"].T
    code = silu(linear(state, "map_layer1", silu(linear(state, "map_layer0", code))))

    def block(name: str, h: Tensor) -> Tensor:
        def resized(h: Tensor) -> Tensor:
            if name.endswith("_up"):
                return twice(h)
            quads = h.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)) if name.endswith("_down") else None
            return h if quads is None else quads.mean((3, 5))

        inside = silu(normed(state, f"{name}.norm0", h, min(32, h.shape[1] // 4), 1e-6))
        inside = conv(state, f"{name}.conv0", resized(inside))
        inside = inside + linear(state, f"{name}.affine", code)[:, :, None, None]
        inside = silu(normed(state, f"{name}.norm1", inside, min(32, inside.shape[1] // 4), 1e-6))
        skip = conv(state, f"{name}.skip", resized(h)) if f"{name}.skip.weight" in state else h
        h = (skip + conv(state, f"{name}.conv1", inside)) * math.sqrt(0.5)
        if f"{name}.qkv.weight" not in state:
            return h
        flat = normed(state, f"{name}.norm2", h, min(32, h.shape[1] // 4), 1e-6).flatten(2)
        qkv = linear(state, f"{name}.qkv", flat.transpose(1, 2)).transpose(1, 2)
        mixed = torch.stack([attended(image[0::3], image[1::3], image[2::3]) for image in qkv])
        out = linear(state, f"{name}.proj", mixed.transpose(1, 2)).transpose(1, 2).reshape(h.shape)
        return (out + h) * math.sqrt(0.5)

    h = conv(state, f"enc.{side}x{side}_conv", x)
    skips = [h]
    for level in range(levels):
        names = ["down"] * (level > 0) + [f"block{k}" for k in range(blocks)]
        for name in names:
            h = block(f"enc.{side >> level}x{side >> level}_{name}", h)
            skips.append(h)
    for level in reversed(range(levels)):
        home = f"dec.{side >> level}x{side >> level}_"
        for name in ("in0", "in1") if level == levels - 1 else ("up",):
            h = block(home + name, h)
        for k in range(blocks + 1):
            h = block(f"{home}block{k}", torch.cat([h, skips.pop()], 1))
    home = f"dec.{side}x{side}_aux_"
    return conv(state, f"{home}conv", silu(normed(state, f"{home}norm", h, min(32, h.shape[1] // 4), 1e-6)))


def test_adm_with_published_weights_says_what_guided_diffusion_says() -> None:
    net, state = published("adm", Sizes(32, (1, 2), 2, (8,), head_width=16))
    t = torch.tensor([0.3, 0.9], dtype=torch.float64)
    net.load_state_dict(renamed(state, net, "adm"))
    with torch.no_grad():
        expected = guided_diffusion(state, images(), t, heads_of=16)
        torch.testing.assert_close(net(images(), t), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("augmented", [False, True])
def test_ddpmpp_with_published_weights_says_what_a_song_unet_says(augmented: bool) -> None:
    net, state = published("ddpmpp", Sizes(32, (2, 2), 2, (8,)), augmented)
    t = torch.tensor([-1.3, 0.9], dtype=torch.float64)
    told = torch.randn(2, 9, generator=seeded(5), dtype=torch.float64) if augmented else None
    buffers = {"enc.8x8_down.conv0.resample_filter": torch.ones(1, 1, 2, 2) / 4}
    net.load_state_dict(renamed(state | buffers, net, "ddpmpp"))
    with torch.no_grad():
        expected = song_unet(state, images(), t, told, levels=2, blocks=2)
        torch.testing.assert_close(net(images(), t, None, told), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("layout", ["ho", "adm", "ddpmpp"])
def test_what_does_not_belong_is_refused_by_name(layout: str) -> None:
    net, state = published(layout, SIZES)
    first = next(iter(state))
    with pytest.raises(ValueError, match=rf"^{first} is missing"):
        renamed({key: tensor for key, tensor in state.items() if key != first}, net, layout)
    with pytest.raises(ValueError, match=rf"^{first} has shape \(1,\), expected"):
        renamed(state | {first: torch.zeros(1)}, net, layout)
    with pytest.raises(ValueError, match=r"^map_label\.weight and 0 more belong to nothing"):
        renamed(state | {"map_label.weight": torch.zeros(1)}, net, layout)


def test_a_file_of_another_layout_is_refused(tmp_path: Path) -> None:
    net, _ = published("ho", SIZES)
    _, other = published("adm", SIZES)
    with pytest.raises(ValueError, match=r"is missing, which would be"):
        renamed(other, net, "ho")
