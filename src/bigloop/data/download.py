"""Published files: the user's own or a download, checked against their MD5s."""

from __future__ import annotations

import hashlib
import logging
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from bigloop.data import DataError

DOWNLOAD_SECONDS = 15.0  # without a sign of life from the server

log = logging.getLogger("bigloop")

Provider = Callable[[Path], Path]  # puts the files somewhere under a scratch folder, or knows where they are
T = TypeVar("T")


def found(
    name: str, read: Callable[[Path], T], root: Path | None, providers: Mapping[str, Provider], remedy: str
) -> tuple[T, str]:
    """What `read` makes of the folder with the files, and where that is from.

    Raises DataError, in one line, naming all that was tried. With `root`, only the files under it are used: a damaged
    file there is an error, not a reason to look elsewhere.
    """
    if root is not None:
        return read(root), f"files under {root}"
    tried = []
    with tempfile.TemporaryDirectory(prefix="bigloop-") as scratch:
        for provider, provide in providers.items():
            log.info("trying %s", provider)
            try:
                return read(provide(Path(scratch))), provider
            except (DataError, OSError) as error:
                tried.append(f"{provider}: {' '.join(str(error).split())}")
    raise DataError(f"{name} could not be obtained. Tried: {'; '.join(tried)}. {remedy}")


def verified(path: Path, content: bytes, md5: str) -> bytes:
    """`content`, read from `path`; raises DataError where it is not what was published."""
    seen = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if seen != md5:
        raise DataError(
            f"{path}: not the published file (MD5 {seen}, expected {md5}); replace it with an intact copy"
        )
    return content


@contextmanager
def impatient() -> Iterator[None]:
    """Downloads inside give up on a silent server; what goes wrong becomes a DataError."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_SECONDS)
    try:
        yield
    except (RuntimeError, OSError) as error:
        raise DataError(f"no download ({error})") from None
    finally:
        socket.setdefaulttimeout(before)
