"""Weights of published U-Nets under our names: a state dict goes in, tensors of a DeepUNet come out.

    google/ddpm-cifar10-32, as diffusers stores it              layout ho
    torchcfm's U-Net, which is that of guided-diffusion         layout adm
    a DDPM++ of EDM, of whose pickle the user saves the state dict       layout ddpmpp

Only tensors are read. Names and the order of rows differ, the networks do not: outputs agree up to rounding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from bigloop.models.images.deep_unet import Block, DeepUNet, Doubling, Halving

State = dict[str, Tensor]
Ours = tuple[str, ...]

WRAPPED = re.compile(r"^(module\.|model\.)+")  # by DataParallel and by EDM's preconditioning
PARTS = ("norm", "first", "code", "last.0", "last.3", "skip")  # of a Block, in this order below
ATTENTION = ("norm", "parts", "last")


class Place(NamedTuple):
    """Where a part of our network stands: side is "down", "middle" or "up"; number: of all parts on its side."""

    ours: str
    part: Block | Halving | Doubling
    side: str
    level: int  # resolutions from the image
    block: int  # of those at its level; -1 for what resizes
    number: int  # of the blocks, and on the way down the halvings, on its side


class Names(NamedTuple):
    """A published layout: the names of what stands once, and those of a part, for each of ours."""

    once: Mapping[str, str]
    block: Ours
    attention: Ours
    at: Callable[[Place], tuple[str, str]]  # prefix of a part, and of the attention in it


def renamed(state: State, net: DeepUNet, layout: str) -> State:
    """The tensors of a published state dict by the names of `net`, whose layout has this name.

    Raises ValueError, one line, where they are not those of such a network.
    """
    names = NAMES[layout](net)
    theirs = {
        WRAPPED.sub("", key): tensor.float() if tensor.dtype != torch.float64 else tensor
        for key, tensor in state.items()
        if isinstance(tensor, Tensor) and not key.endswith("resample_filter")
    }
    taken, found = set(), State()
    for ours, wanted in net.state_dict().items():
        source, rows = source_of(ours, net, names)
        parts = [first_of(options, theirs, ours) for options in source]
        taken |= set(parts)
        tensor = torch.cat([theirs[part] for part in parts])
        tensor = tensor.reshape(wanted.shape) if tensor.numel() == wanted.numel() else tensor
        if tensor.shape != wanted.shape:
            raise ValueError(f"{parts[0]} has shape {tuple(tensor.shape)}, expected {tuple(wanted.shape)}")
        found[ours] = rows(tensor) if rows else tensor
    if left := sorted(theirs.keys() - taken):
        raise ValueError(f"{left[0]} and {len(left) - 1} more belong to nothing in such a network")
    return found


def first_of(options: Ours, theirs: State, ours: str) -> str:
    """The first of these names that is there."""
    for name in options:
        if name in theirs:
            return name
    raise ValueError(f"{options[0]} is missing, which would be {ours}")


Rows = Callable[[Tensor], Tensor]
Source = tuple[list[Ours], Rows | None]


def source_of(ours: str, net: DeepUNet, names: Names) -> Source:
    """The tensors, one below another, that make one of ours, each by all its names; and the order of its rows."""
    kind = ours.rpartition(".")[2]
    for stands, theirs in names.once.items():
        if ours == f"{stands}.{kind}":
            swapped = stands == "time.0" and kind == "weight" and not net.layout.last
            return [(f"{theirs}.{kind}",)], halves_swapped if swapped else None
    place = next(place for place in places(net) if ours.startswith(f"{place.ours}."))
    inside = ours.removeprefix(f"{place.ours}.").rpartition(".")[0]
    prefix, attention = names.at(place)
    if inside == "convolution":
        return [(f"{prefix}.{kind}",)], None
    if not inside.startswith("attention."):
        return [(f"{prefix}.{names.block[PARTS.index(inside)]}.{kind}",)], None
    part = names.attention[ATTENTION.index(inside.removeprefix("attention."))]
    if inside == "attention.parts" and part == "qkv":
        heads = cast(Block, place.part).attention.heads  # type: ignore[union-attr]
        order = by_head if net.layout.often else interleaved
        return [(f"{attention}.qkv.{kind}",)], lambda rows: order(rows, heads)
    alternatives = [tuple(f"{attention}.{name}.{kind}" for name in one.split("|")) for one in part.split()]
    return alternatives, None


def places(net: DeepUNet) -> Iterator[Place]:
    """All blocks, halvings and doublings of a network."""
    level = index = 0
    for number, part in enumerate(parts(net.down), start=1):
        if isinstance(part, Halving) or (isinstance(part, Block) and part.shrinks):
            level, index = level + 1, 0
            yield Place(f"down.{number - 1}", part, "down", level, -1, number)
        else:
            yield Place(f"down.{number - 1}", part, "down", level, index, number)
            index += 1
    for number, part in enumerate(parts(net.middle)):
        yield Place(f"middle.{number}", part, "middle", level, number, number)
    index, blocks = 0, -1
    for number, part in enumerate(parts(net.up)):
        if not isinstance(part, Halving) and part.grows:
            level, index = level - 1, 0
            yield Place(f"up.{number}", part, "up", level, -1, blocks)
        else:
            blocks += 1
            yield Place(f"up.{number}", part, "up", level, index, blocks)
            index += 1


def parts(side: nn.ModuleList) -> list[Block | Halving | Doubling]:
    return cast(list[Block | Halving | Doubling], list(side))


def ho(net: DeepUNet) -> Names:
    """As diffusers names a UNet2DModel; its older files call the parts of attention by other names."""
    levels = len(net.sizes.multipliers)

    def at(place: Place) -> tuple[str, str]:
        if place.side == "middle":
            return f"mid_block.resnets.{place.block}", "mid_block.attentions.0"
        if place.block < 0:
            if place.side == "down":
                return f"down_blocks.{place.level - 1}.downsamplers.0.conv", ""
            return f"up_blocks.{levels - 2 - place.level}.upsamplers.0.conv", ""
        block = place.level if place.side == "down" else levels - 1 - place.level
        home = f"{place.side}_blocks.{block}"
        return f"{home}.resnets.{place.block}", f"{home}.attentions.{place.block}"

    once = {
        "time.0": "time_embedding.linear_1",
        "time.2": "time_embedding.linear_2",
        "enter": "conv_in",
        "leave.0": "conv_norm_out",
        "leave.2": "conv_out",
    }
    block = ("norm1", "conv1", "time_emb_proj", "norm2", "conv2", "conv_shortcut")
    return Names(once, block, ("group_norm", "to_q|query to_k|key to_v|value", "to_out.0|proj_attn"), at)


def adm(net: DeepUNet) -> Names:
    """As guided-diffusion names a UNetModel."""
    looks = {
        place.number: isinstance(place.part, Block) and place.part.attention is not None
        for place in places(net)
        if place.side == "up" and place.block >= 0
    }

    def at(place: Place) -> tuple[str, str]:
        if place.side == "middle":
            return f"middle_block.{2 * place.block}", "middle_block.1"
        if place.side == "down":
            home = f"input_blocks.{place.number}"
            return f"{home}.0" + (".op" if place.block < 0 else ""), f"{home}.1"
        home = f"output_blocks.{place.number}"
        return (
            (f"{home}.{1 + looks[place.number]}.conv", "") if place.block < 0 else (f"{home}.0", f"{home}.1")
        )

    once = {
        "time.0": "time_embed.0",
        "time.2": "time_embed.2",
        "enter": "input_blocks.0.0",
        "leave.0": "out.0",
        "leave.2": "out.2",
    }
    block = ("in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3", "skip_connection")
    return Names(once, block, ("norm", "qkv", "proj_out"), at)


def ddpmpp(net: DeepUNet) -> Names:
    """As EDM names a SongUNet."""
    full = net.side

    def at(place: Place) -> tuple[str, str]:
        side = full >> place.level
        home = f"{'enc' if place.side == 'down' else 'dec'}.{side}x{side}_"
        if place.side == "middle":
            prefix = f"{home}in{place.block}"
        elif place.block < 0:
            prefix = home + place.side
        else:
            prefix = f"{home}block{place.block}"
        return prefix, prefix

    once = {
        "time.0": "map_layer0",
        "time.2": "map_layer1",
        "augmentation": "map_augment",
        "enter": f"enc.{full}x{full}_conv",
        "leave.0": f"dec.{full}x{full}_aux_norm",
        "leave.2": f"dec.{full}x{full}_aux_conv",
    }
    block = ("norm0", "conv0", "affine", "norm1", "conv1", "skip")
    return Names(once, block, ("norm2", "qkv", "proj"), at)


NAMES = {"ho": ho, "adm": adm, "ddpmpp": ddpmpp}


def by_head(rows: Tensor, heads: int) -> Tensor:
    """Of queries, keys and values head by head, first all queries."""
    return rows.unflatten(0, (heads, 3, -1)).transpose(0, 1).flatten(0, 2)


def interleaved(rows: Tensor, heads: int) -> Tensor:
    """Of rows that are a query, a key and a value in turn, first all queries."""
    return rows.unflatten(0, (-1, 3)).transpose(0, 1).flatten(0, 1)


def halves_swapped(weight: Tensor) -> Tensor:
    """Weights of cosines and then sines, for sines and then cosines."""
    return torch.cat(list(weight.chunk(2, dim=1))[::-1], dim=1)
