"""Grey images of 28×28 with ten labels. MNIST where it can be had; never another dataset without saying so."""

from __future__ import annotations

import gzip
import socket
import struct
import sys
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self
from urllib.error import URLError

import numpy as np
import torch
from numpy.typing import NDArray

from simulations.app.datasets import DATA_ROOT_VARIABLE, DataMissing, Dataset

_DOWNLOAD_TIMEOUT = 10.0  # seconds without an answer
_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class Images:
    """Images and their labels.

    Attributes:
        images: uint8, shape (count, 28, 28).
        groups: the labels; int64, shape (count,).
        mean: of the training pixels, in units of 255.
        deviation: of the same.
    """

    images: NDArray[np.uint8]
    groups: NDArray[np.int64]
    mean: float
    deviation: float

    def batch(self, chosen: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised pixels, shape (batch, 1, 28, 28), and labels, shape (batch,)."""
        pixels = self.images[chosen].astype(np.float32) / np.float32(255)
        images = torch.from_numpy((pixels - np.float32(self.mean)) / np.float32(self.deviation)).unsqueeze(1)
        return images.contiguous(memory_format=torch.channels_last), torch.from_numpy(self.groups[chosen])

    def part(self, chosen: NDArray[np.int64]) -> Self:
        """Some of the images."""
        return replace(self, images=self.images[chosen], groups=self.groups[chosen])


def mnist(root: Path) -> Dataset[Images]:
    """MNIST, downloaded where it is missing."""
    return _downloaded("mnist", "MNIST", root, 0.1307, 0.3081)


def fashion(root: Path) -> Dataset[Images]:
    """Fashion-MNIST, downloaded where it is missing."""
    return _downloaded("fashion", "FashionMNIST", root, 0.2860, 0.3530)


def _downloaded(name: str, kind: str, root: Path, mean: float, deviation: float) -> Dataset[Images]:
    raw = root / kind / "raw"
    if not all(_file(raw, file) for file in _FILES):
        _download(kind, root)
    pixels, labels, test_pixels, test_labels = (_read(raw, file) for file in _FILES)
    train = Images(pixels, labels.astype(np.int64), mean, deviation)
    return Dataset(name, train, replace(train, images=test_pixels, groups=test_labels.astype(np.int64)))


def _download(kind: str, root: Path) -> None:
    import torchvision.datasets

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT)
    try:
        getattr(torchvision.datasets, kind)(root, download=True)
    except (RuntimeError, OSError, URLError) as fault:
        raise DataMissing(
            f"{kind} is not in {root} and cannot be downloaded ({fault}): put the four *-ubyte.gz files into "
            f"{root / kind / 'raw'}, or name another folder with --data-root or {DATA_ROOT_VARIABLE}"
        ) from fault
    finally:
        socket.setdefaulttimeout(before)


def _file(raw: Path, name: str) -> Path | None:
    """A file as torchvision names it, extracted or not."""
    return next((file for file in (raw / name, raw / f"{name}.gz") if file.is_file()), None)


def _read(raw: Path, name: str) -> NDArray[np.uint8]:
    """Read a file of the IDX format: bytes 0, 0, 8, the number of axes, their sizes, and the values.

    Raises:
        DataMissing: it is damaged.
    """
    file = _file(raw, name)
    assert file is not None
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        axes = content[3]
        shape = struct.unpack_from(f">{axes}I", content, 4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (OSError, EOFError, zlib.error, IndexError, ValueError, struct.error) as fault:
        raise DataMissing(f"{file} is damaged ({fault}): remove it, so that it is downloaded again") from fault


def digits(root: Path) -> Dataset[Images]:
    """scikit-learn's 1,797 handwritten digits of 8×8, enlarged to 24×24 and framed; one in five is for testing."""
    from sklearn.datasets import load_digits

    found = load_digits()
    enlarged = np.kron(found.images * (255 / 16), np.ones((1, 3, 3)))
    pixels = np.pad(enlarged, ((0, 0), (2, 2), (2, 2))).round().astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(pixels))
    test, train = order[: len(order) // 5], order[len(order) // 5 :]
    share = pixels[train] / 255
    images = Images(pixels, found.target.astype(np.int64), float(share.mean()), float(share.std()))
    return Dataset("digits", images.part(train), images.part(test))


def mnist_or_digits(root: Path) -> Dataset[Images]:
    """MNIST; scikit-learn's digits are the loud way out."""
    try:
        return mnist(root)
    except DataMissing as fault:
        bar = "!" * 100
        print(
            f"{bar}\n{fault}.\n\nGOING ON WITH scikit-learn's DIGITS, which is NOT MNIST: 1,437 training images. "
            f"Every output is labelled 'digits'.\n{bar}",
            file=sys.stderr,
            flush=True,
        )
        return digits(root)
