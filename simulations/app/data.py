"""Images, and which client holds which. MNIST where it can be had; never another dataset without saying so."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
from numpy.typing import NDArray

DATA_ROOT_VARIABLE = "SURP_FL_DATA"
_DOWNLOAD_TIMEOUT = 10.0  # seconds without an answer


@dataclass(frozen=True)
class Images:
    """Grey images, uint8 of shape (count, 28, 28), and their labels, int64 of shape (count,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """Training and test images; mean and deviation of the training pixels, in units of 255."""

    name: str
    train: Images
    test: Images
    mean: float
    deviation: float


class DataMissing(RuntimeError):  # noqa: N818
    """A dataset is neither on disk nor to be downloaded."""


def data_root(given: str = "") -> Path:
    """Where datasets lie: what was given, or the environment variable SURP_FL_DATA, or data/."""
    return Path(given or os.environ.get(DATA_ROOT_VARIABLE, "") or "data").expanduser().resolve()


@lru_cache(maxsize=4)
def load(name: str, root: Path, held_out: int = 0) -> Dataset:
    """Load a dataset: `mnist`, `fashion`, `digits`, or `auto` for MNIST with digits as the loud way out.

    Args:
        name: of the dataset.
        root: folder of the datasets.
        held_out: training images that nobody trains with and that take the place of the test images: for tuning.

    Raises:
        DataMissing: it was asked for by name and cannot be had.
        ValueError: no dataset of this name, or no images left to train with.
    """
    if name not in LOADERS:
        raise ValueError(f"dataset '{name}'; there are: {', '.join(LOADERS)}")
    if held_out == 0:
        return LOADERS[name](root)
    whole = load(name, root)
    if not 0 < held_out < len(whole.train.labels):
        raise ValueError(f"{held_out} held-out images of {len(whole.train.labels)} training images")
    order = np.random.default_rng(0).permutation(len(whole.train.labels))
    test, train = (
        Images(whole.train.images[part], whole.train.labels[part])
        for part in (np.sort(order[:held_out]), np.sort(order[held_out:]))
    )
    return replace(whole, train=train, test=test)


def _mnist(root: Path) -> Dataset:
    return _downloaded("mnist", "MNIST", root, 0.1307, 0.3081)


def _fashion(root: Path) -> Dataset:
    return _downloaded("fashion", "FashionMNIST", root, 0.2860, 0.3530)


def _downloaded(name: str, kind: str, root: Path, mean: float, deviation: float) -> Dataset:
    import torchvision.datasets

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT)
    try:
        train, test = (getattr(torchvision.datasets, kind)(root, train=part, download=True) for part in (True, False))
    except (RuntimeError, OSError, URLError) as fault:
        raise DataMissing(
            f"{kind} is not in {root} and cannot be downloaded ({fault}): put the four *-ubyte.gz files into "
            f"{root / kind / 'raw'}, or name another folder with --data-root or {DATA_ROOT_VARIABLE}"
        ) from fault
    finally:
        socket.setdefaulttimeout(before)
    return Dataset(name, _images(train), _images(test), mean, deviation)


def _images(dataset: Any) -> Images:
    return Images(dataset.data.numpy(), dataset.targets.numpy().astype(np.int64))


def _digits(root: Path) -> Dataset:
    """scikit-learn's 1,797 handwritten digits of 8×8, enlarged to 24×24 and framed; one in five is for testing."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    enlarged = np.kron(digits.images * (255 / 16), np.ones((1, 3, 3)))
    images = np.pad(enlarged, ((0, 0), (2, 2), (2, 2))).round().astype(np.uint8)
    labels = digits.target.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(labels))
    test, train = order[: len(order) // 5], order[len(order) // 5 :]
    pixels = images[train] / 255
    return Dataset(
        "digits",
        Images(images[train], labels[train]),
        Images(images[test], labels[test]),
        float(pixels.mean()),
        float(pixels.std()),
    )


def _auto(root: Path) -> Dataset:
    try:
        return _mnist(root)
    except DataMissing as fault:
        bar = "!" * 100
        print(
            f"{bar}\n{fault}.\n\nGOING ON WITH scikit-learn's DIGITS, which is NOT MNIST: 1,437 training images. "
            f"Every output is labelled 'digits'.\n{bar}",
            file=sys.stderr,
            flush=True,
        )
        return _digits(root)


LOADERS = {"mnist": _mnist, "fashion": _fashion, "digits": _digits, "auto": _auto}


def partition(labels: NDArray[np.int64], clients: int, how: str, seed: int) -> list[NDArray[np.int64]]:
    """Divide the training images among clients.

    Args:
        labels: of the training images, shape (count,).
        clients: number of parts.
        how: `iid`, equal parts at random, or `dirichlet:ALPHA`, each class by shares drawn from Dirichlet(ALPHA).
        seed: of the division.

    Returns:
        The indices of each client's images.

    Raises:
        ValueError: no such division, or more clients than images.
    """
    if clients < 1 or clients > len(labels):
        raise ValueError(f"{clients} clients for {len(labels)} images")
    rng = np.random.default_rng([seed, 1])
    if how == "iid":
        return [np.sort(part) for part in np.array_split(rng.permutation(len(labels)), clients)]
    kind, _, alpha = how.partition(":")
    if kind != "dirichlet" or not alpha:
        raise ValueError(f"partition '{how}'; expected iid or dirichlet:ALPHA, such as dirichlet:0.5")
    while True:  # until no client is left without images
        parts: list[list[NDArray[np.int64]]] = [[] for _ in range(clients)]
        for label in np.unique(labels):
            members = rng.permutation(np.flatnonzero(labels == label))
            shares = rng.dirichlet(np.full(clients, float(alpha)))
            cuts = (np.cumsum(shares)[:-1] * len(members)).astype(np.int64)
            for part, piece in zip(parts, np.split(members, cuts), strict=True):
                part.append(piece)
        divided = [np.sort(np.concatenate(part)) for part in parts]
        if min(len(part) for part in divided) > 0:
            return divided
