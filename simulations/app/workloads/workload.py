"""The interface of a workload: a model, its data, how clients train it, and what it is judged by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from simulations.app.datasets import Dataset, Examples

Metric = Literal["accuracy", "loss"]  # on the test examples: share of right predictions; mean cross-entropy in nats


@dataclass(frozen=True)
class Hyperparameters:
    """Of one client's local training in one round; see `Settings`."""

    learning_rate: float
    momentum: float
    weight_decay: float


def sgd(parameters: Iterable[nn.Parameter], given: Hyperparameters) -> Optimizer:
    """SGD, whose momentum starts from zero in each round."""
    return SGD(parameters, lr=given.learning_rate, momentum=given.momentum, weight_decay=given.weight_decay)


def adamw(parameters: Iterable[nn.Parameter], given: Hyperparameters) -> Optimizer:
    """AdamW, whose moments start from zero in each round; `momentum` is its β1."""
    betas = (given.momentum, 0.99)
    return AdamW(parameters, lr=given.learning_rate, betas=betas, weight_decay=given.weight_decay, fused=True)


@dataclass(frozen=True)
class Workload:
    """A model, its data, and how clients train it.

    Attributes:
        title: of the model, for tables.
        datasets: what gives its data from the data root, by name; the first one is its own.
        model: makes one with random weights, from torch's generator. It takes the inputs of a batch and gives logits,
            the classes last. Parameters that need no gradient stay where they are: neither trained nor sent.
        optimizer: of the local training.
        metric: what it is judged by.
        unit: what its examples are, for tables.
        defaults: of settings, where they differ from those of `Settings`.
    """

    title: str
    datasets: Mapping[str, Callable[[Path], Dataset[Examples]]]
    model: Callable[[Path], nn.Module]
    optimizer: Callable[[Iterable[nn.Parameter], Hyperparameters], Optimizer] = sgd
    metric: Metric = "accuracy"
    unit: str = "images"
    defaults: Mapping[str, Any] = field(default_factory=dict)
