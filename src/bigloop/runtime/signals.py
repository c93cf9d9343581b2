"""How a training ends early: by a signal, once its state is saved, or by a loss that is not finite."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(RuntimeError):
    """The training was told to stop (SIGTERM, SIGINT). The message says where its state was saved."""


class DivergedError(RuntimeError):
    """A loss became NaN or infinite. The message names it and the step; nothing of the model is kept."""


class FinalError(RuntimeError):
    """A process of a team failed in a way that another attempt cannot mend. The message is its own."""


@contextmanager
def stop_signals(*, enabled: bool = True) -> Iterator[list[str]]:
    """A list that gets the names of SIGTERMs and SIGINTs that arrive in the block; they have no other effect there."""
    seen: list[str] = []
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield seen
        return

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(signal.Signals(number).name)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


SAVE_SECONDS = 120.0  # between two saves of a training's state, unless a config says otherwise
