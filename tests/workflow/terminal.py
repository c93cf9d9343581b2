"""A program on a terminal of its own: what it writes there, and the keys that are pressed."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """Run a command on a pseudo-terminal of 80 columns and 24 lines.

    with Terminal(command, cwd) as terminal:
        terminal.press("\\x03")    # Ctrl-C
    terminal.text                # all it ever wrote, without what moves the cursor and colours
    """

    def __init__(
        self, command: Sequence[str], cwd: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.own, self.other = os.openpty()
        fcntl.ioctl(self.other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.settings = termios.tcgetattr(self.other)
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**(environment or os.environ), "TERM": "xterm-256color"},
            stdin=self.other,
            stdout=self.other,
            stderr=self.other,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.written = b""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        while chunk := os.read(self.own, 65_536):
            self.written += chunk

    def press(self, keys: str) -> None:
        os.write(self.own, keys.encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self.process.kill()
        self.process.wait(timeout=600)

    @property
    def text(self) -> str:
        """What was written, line by line."""
        return ESCAPES.sub("", self.written.decode(errors="replace")).replace("\r", "")

    @property
    def is_clean(self) -> bool:
        """Whether the cursor can be seen, and keys do what they did before."""
        shown = re.findall(rb"\x1b\[\?25([hl])", self.written)
        return (not shown or shown[-1] == b"h") and termios.tcgetattr(self.other) == self.settings
