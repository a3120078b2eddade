"""Local work and evaluation. The same seed gives the same batches for every scheme, round and client."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from simulations.app.data import Dataset, Images
from simulations.app.models import LeNet5Caffe

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def batches(members: NDArray[np.int64], size: int, steps: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Draw `steps` batches of `size`: through the members in random order, again and again."""
    rounds = -(-steps * size // len(members))
    order = np.concatenate([rng.permutation(members) for _ in range(rounds)])
    return iter(order[: steps * size].reshape(steps, size))


def train(
    model: LeNet5Caffe,
    dataset: Dataset,
    members: NDArray[np.int64],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
    clipping: float,
    precision: str,
    rng: np.random.Generator,
) -> float:
    """Train in place with SGD for a number of steps; no step's gradient is longer than `clipping`, where that is not 0.

    Returns:
        The mean loss of the steps.

    Raises:
        ValueError: for a precision that is not known.
    """
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=momentum, weight_decay=weight_decay)
    losses = []
    for batch in batches(members, batch_size, steps, rng):
        images, labels = _tensors(dataset, dataset.train, batch)
        optimizer.zero_grad()
        with _products_in(precision):
            logits = model(images)
        loss = cross_entropy(logits.float(), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        if clipping:
            clip_grad_norm_(model.parameters(), clipping)
        optimizer.step()
        losses.append(loss.detach())
    return float(torch.stack(losses).mean())


@torch.no_grad()
def accuracy(
    model: LeNet5Caffe, dataset: Dataset, precision: str = "float32", members: NDArray[np.int64] | None = None
) -> float:
    """Share of the test images that the model labels correctly; of these training images, where they are given."""
    model.eval()
    right = 0
    part = dataset.test if members is None else dataset.train
    chosen = np.arange(len(part.labels)) if members is None else members
    for batch in np.array_split(chosen, max(1, len(chosen) // 250)):
        images, labels = _tensors(dataset, part, batch)
        with _products_in(precision):
            logits = model(images)
        right += int((logits.argmax(1) == labels).sum())
    return right / len(chosen)


def _products_in(precision: str) -> torch.autocast:
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
    return torch.autocast(device().type, PRECISIONS[precision], enabled=precision != "float32")


def _tensors(dataset: Dataset, part: Images, batch: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = part.images[batch].astype(np.float32) / np.float32(255)
    images = torch.from_numpy((pixels - np.float32(dataset.mean)) / np.float32(dataset.deviation)).unsqueeze(1)
    return (
        images.to(device=device(), memory_format=torch.channels_last),
        torch.from_numpy(part.labels[batch]).to(device()),
    )
