"""Fashion-MNIST (Xiao, Rasul & Vollgraf 2017): 60 000 + 10 000 pictures of clothes, 28×28."""

from __future__ import annotations

from pathlib import Path

from bigloop.data import DataError
from bigloop.data.idx import IdxImages

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")


def debian_package(scratch: Path) -> Path:
    """The files of Debian's package dataset-fashion-mnist, where it is installed."""
    if not DEBIAN_FOLDER.is_dir():
        raise DataError("not installed (apt-get install dataset-fashion-mnist)")
    return DEBIAN_FOLDER


FASHION_MNIST = IdxImages(
    torchvision_name="FashionMNIST",
    md5={
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
    classes=(
        "T-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
    counts={"train": (6_000,) * 10, "test": (1_000,) * 10},
    about=__doc__ or "",
    packages={"Debian package dataset-fashion-mnist": debian_package},
)
