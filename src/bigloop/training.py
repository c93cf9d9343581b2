"""The step loop that gradient-trained families share: rows in memory, history, progress, and no silent NaN.

    history = run(step, rows, batch_size=64, steps=9_380, generator=generator, report=log_line)

`step(batch, generator)` makes one optimiser step and returns its losses as tensors. Nothing here waits for
the device within a step: losses are added up where they are and read once an epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor

Step = Callable[[Tensor, torch.Generator], dict[str, Tensor]]
Report = Callable[[str], None]
History = list[dict[str, float]]

REPORT_SECONDS = 10.0
NORM_EVERY = 10


class DivergedError(RuntimeError):
    """A loss became NaN or infinite. The message names it and the step; nothing of the model is kept."""


def batches(rows: Tensor, batch_size: int, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    """`steps` batches of `batch_size` rows, cut from an endless stream of shuffled passes over `rows`.

    Every batch is full (the last rows of one pass stand with the first of the next), so that shapes never
    change and every row is seen equally often. rows: Tensor, shape (n, …); float16 comes out as float32.
    """
    n = len(rows)
    order = torch.randperm(n, generator=generator, device=generator.device)
    for _ in range(steps):
        while len(order) < batch_size:
            order = torch.cat([order, torch.randperm(n, generator=generator, device=generator.device)])
        batch = rows[order[:batch_size]]
        yield batch.float() if batch.dtype == torch.float16 else batch
        order = order[batch_size:]


def run(
    step: Step,
    rows: Tensor,
    *,
    batch_size: int,
    steps: int,
    generator: torch.Generator,
    parameters: Mapping[str, Iterable[Tensor]] | None = None,
    report: Report = lambda line: None,
) -> History:
    """Train for `steps` steps; returns one row an epoch (the last may be part of one).

    A row holds `epoch`, `step`, the mean of each loss, `gradient_norm_{name}` for each entry of `parameters`
    (L2, mean over every tenth step) and `seconds`. `report` gets a line of progress every ten seconds.
    Raises DivergedError when a loss is no longer finite.
    """
    rows = rows.to(generator.device)
    epoch_steps = max(1, round(len(rows) / batch_size))
    watched = {name: list(tensors) for name, tensors in (parameters or {}).items()}
    history: History = []
    sums: dict[str, Tensor] = {}
    norms: dict[str, Tensor] = {}
    counted = 0
    started = spoken = epoch_started = time.monotonic()
    for done, batch in enumerate(batches(rows, batch_size, steps, generator), start=1):
        losses = step(batch, generator)
        for name, loss in losses.items():
            sums[name] = sums[name] + loss if name in sums else loss
        counted += 1
        if (done - 1) % NORM_EVERY == 0:
            for name, tensors in watched.items():
                norm = gradient_norm(tensors)
                norms[name] = norms[name] + norm if name in norms else norm
            norms["n"] = norms.get("n", torch.zeros(())) + 1
        now = time.monotonic()
        if now - spoken > REPORT_SECONDS:
            spoken = now
            report(_progress(done, steps, epoch_steps, batch_size, losses, now - started))
        if done % epoch_steps == 0 or done == steps:
            row = {"epoch": done / epoch_steps, "step": float(done)}
            row |= {name: float(total) / counted for name, total in sums.items()}
            if "n" in norms:
                row |= {f"gradient_norm_{name}": float(norms[name] / norms["n"]) for name in watched}
            row["seconds"] = now - epoch_started
            _check_finite(row, done)
            history.append(row)
            sums, norms, counted, epoch_started = {}, {}, 0, now
    report(_progress(steps, steps, epoch_steps, batch_size, losses, time.monotonic() - started))
    return history


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """L2 norm of all gradients together, shape ()."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))


def _check_finite(row: dict[str, float], step: int) -> None:
    for name, value in row.items():
        if not torch.isfinite(torch.tensor(value)):
            raise DivergedError(f"{name} became {value} by step {step}: training diverged")


def _progress(
    done: int, steps: int, epoch_steps: int, batch_size: int, losses: dict[str, Tensor], seconds: float
) -> str:
    shown = ", ".join(f"{name} {float(loss):.4g}" for name, loss in losses.items())
    rate = done * batch_size / seconds
    left = (steps - done) * seconds / done
    return (
        f"epoch {done / epoch_steps:.1f}/{steps / epoch_steps:.1f}  {shown}  "
        f"{rate:,.0f} images/s  {duration(left) + ' left' if left else 'done in ' + duration(seconds)}"
    )


def duration(seconds: float) -> str:
    """Seconds as people read them: 42 s, 3 min 05 s, 2 h 10 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
