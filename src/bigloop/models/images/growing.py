"""Networks of a GAN of images that grow from coarse to fine in the course of a training (Karras et al. 2018, §2).

The `level` of both networks is the resolution that they have reached, 0 the coarsest; between whole numbers one fades
into the next. Outside, images stay of full size: a generator enlarges coarse ones, and a critic that begins coarsely
sees means of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from bigloop.models.adversarial.networks import Critic

Size = tuple[int, int]


def level_at(progress: float, levels: int) -> float:
    """The level, 0 to `levels` − 1, at this share of the growth: each is kept as long as the next takes to fade in."""
    if progress >= 1:
        return levels - 1.0
    whole, part = divmod(progress * (levels - 1), 1)
    return whole + max(0.0, 2 * part - 1)


class GrowingGenerator(nn.Sequential):
    """A generator's layers, and for each level but the last a small head from its maps to an image.

    `ends`: after how many layers each level has its maps, the coarsest first; those of the last are the image itself.
    `widths`: channels of the maps of the others. `shape`: the image's.
    """

    def __init__(
        self, layers: Sequence[nn.Module], ends: Sequence[int], widths: Sequence[int], shape: tuple[int, ...]
    ) -> None:
        super().__init__(*layers)
        self.ends, self.size = list(ends), shape[1:]
        self.heads = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(w), nn.ReLU(inplace=True), nn.Conv2d(w, shape[0], 1), nn.Sigmoid())
            for w in widths
        )
        self.levels = len(ends)
        self.level = self.levels - 1.0

    def forward(self, latent: Tensor) -> Tensor:
        coarse, share = int(self.level), self.level % 1
        maps = self._through(latent, 0, self.ends[coarse])
        image = self._image(maps, coarse)
        if not share:
            return image
        finer = self._through(maps, self.ends[coarse], self.ends[coarse + 1])
        return torch.lerp(image, self._image(finer, coarse + 1), share)

    def _through(self, x: Tensor, start: int, end: int) -> Tensor:
        for layer in islice(self, start, end):
            x = layer(x)
        return x

    def _image(self, maps: Tensor, level: int) -> Tensor:
        if level == len(self.heads):
            return maps
        return interpolate(self.heads[level](maps.clone()), self.size)  # a copy: its ReLU works in place


class GrowingCritic(Critic):
    """A critic, and for each level but the last an entry from an image of its size to the maps of a hidden layer.

    `starts`: after how many hidden layers each level comes in, the coarsest, latest, first; 0 for the last. `widths`
    and `sizes`: channels and sizes of the maps there, of all but the last. `inputs`: channels of what it sees.
    """

    def __init__(
        self,
        hidden: Sequence[nn.Module],
        *,
        starts: Sequence[int],
        widths: Sequence[int],
        sizes: Sequence[Size],
        inputs: int,
        slope: float,
        **after: Any,
    ) -> None:
        super().__init__(hidden, **after)
        self.starts, self.sizes = list(starts), list(sizes)
        self.entries = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, w, 1), nn.LeakyReLU(slope, inplace=True)) for w in widths
        )
        self.levels = len(starts)
        self.level = self.levels - 1.0

    def features(self, rows: Tensor) -> Tensor:
        coarse, share = int(self.level), self.level % 1
        maps = self._entered(rows, coarse)
        if share:
            finer = self._entered(rows, coarse + 1)
            for layer in islice(self, self.starts[coarse + 1], self.starts[coarse]):
                finer = layer(finer)
            maps = torch.lerp(maps, finer, share)
        for layer in islice(self, self.starts[coarse], self.depth):
            maps = layer(maps)
        return maps

    def _entered(self, rows: Tensor, level: int) -> Tensor:
        if level == len(self.entries):
            return rows
        return self.entries[level](adaptive_avg_pool2d(rows, self.sizes[level]))


def grow(nets: Sequence[nn.Module], progress: float) -> None:
    """Bring all growing networks among these, and in them, to where they are at this share of their growth."""
    for net in nets:
        for part in net.modules():
            if isinstance(part, GrowingGenerator | GrowingCritic):
                part.level = level_at(progress, part.levels)
