"""Steps recorded as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

WARM_UP = 3  # steps before one is recorded: libraries choose their kernels, optimisers make their state


# Environment variable: 0 takes every step on a GPU as it stands, kernel by kernel.
GRAPHS = "BIGLOOP_CUDA_GRAPHS"


class Recorded:
    """A body of work on a GPU, called as it stands for WARM_UP calls, then recorded as a CUDA graph and replayed.

    The body must do the same work on the same memory at every call, and never wait for the GPU. What it draws from
    `generator` is what it would draw unrecorded. Recording runs nothing by itself: every call is one call of the body.
    After each call the gradients of `parameters` are those that it made, whatever else was recorded meanwhile.
    """

    def __init__(
        self, body: Callable[[], None], generator: torch.Generator, parameters: Iterable[Tensor] = ()
    ) -> None:
        self.body, self.generator = body, generator
        self.parameters = list(parameters)
        self.gradients: list[Tensor | None] = []
        self.calls = 0
        self.side = torch.cuda.Stream(generator.device)
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        if self.graph is None and self.calls == WARM_UP:
            self.graph = self._record()
        self.calls += 1
        if self.graph is not None:
            self.graph.replay()
            for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
                parameter.grad = gradient
            return
        here = torch.cuda.current_stream(self.generator.device)
        self.side.wait_stream(here)
        # Recording needs what was first used on another than the default stream.
        with torch.cuda.stream(self.side):
            self.body()
        here.wait_stream(self.side)

    def _record(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        try:
            with torch.cuda.graph(graph, stream=self.side):
                self.body()
        except RuntimeError as error:
            raise RuntimeError(
                f"a training step cannot be recorded as a CUDA graph; {GRAPHS}=0 takes it as it stands ({error})"
            ) from error
        self.gradients = [parameter.grad for parameter in self.parameters]
        return graph
