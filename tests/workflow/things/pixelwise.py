"""A Gaussian for each pixel on its own."""

from dataclasses import dataclass

import torch

from bigloop.spec.options import option


class Pixelwise:
    """Images whose pixels are independent. Sampling bias λ multiplies their variances."""

    revision = 1

    @dataclass(frozen=True)
    class Options:
        floor: float = option(1e-3, "least standard deviation", above=0)

    def __init__(self, options, shape):
        self.options, self.shape = options, shape

    @classmethod
    def fresh(cls, options, shape, generator):
        return cls(options, shape)

    def fit(self, rows, budget, generator, report):
        self.mean, self.sd = rows.float().mean(0), rows.float().std(0).clamp(min=self.options.floor)
        return [{"epoch": 1.0, "loss": float(self.sd.log().sum())}]

    def sample(self, n, bias, generator):
        noise = torch.randn(n, *self.shape, generator=generator)
        return (self.mean + bias**0.5 * self.sd * noise).clamp(0, 1).half()

    def state(self):
        return {"mean": self.mean.numpy(), "sd": self.sd.numpy()}, {}

    def restore(self, tensors, facts):
        self.mean, self.sd = (torch.from_numpy(tensors[name].copy()) for name in ("mean", "sd"))
