"""The networks that are pruned, how they are trained first, and how they are retrained after each cycle.

All are narrow and their schedules short, so that every table takes hours of two cores: the paper has VGG-16 and
ResNet-20 on CIFAR-10 for hundreds of epochs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from simulations.app.datasets import Dataset, Examples
from simulations.app.kept_arrays import kept_arrays
from simulations.app.training import Score, arrays_of, initial_arrays, load, model_with, predicted, score
from simulations.app.workloads import WORKLOADS
from simulations.pruning.training import Masks, Schedule, fit
from surp_fl.types import Arrays

_BATCHES, _BATCH_SIZE = 10, 128  # of images whose activations give new statistics


@dataclass(frozen=True)
class Network:
    """A network, its data and its schedules.

    Attributes:
        workload: model, by its name among the workloads.
        dataset: by its name there.
        dense: how it is trained before it is pruned.
        retraining: after each cycle of pruning.
        sparse: of training that is sparse from the first step on.
    """

    workload: str
    dataset: str
    dense: Schedule
    retraining: Schedule
    sparse: Schedule


NETWORKS = {
    "lenet5": Network("lenet5", "mnist", Schedule(8, 0.05), Schedule(1, 0.05), Schedule(12, 0.05)),
    "resnet20": Network("resnet20", "fashion", Schedule(12, 0.2), Schedule(1, 0.1), Schedule(16, 0.2)),
    "vgg": Network("vgg", "fashion", Schedule(10, 0.1), Schedule(1, 0.05), Schedule(14, 0.1)),
}


@dataclass(frozen=True)
class Laboratory:
    """A network with its data, in one precision.

    Attributes:
        network: what is trained.
        root: of the datasets.
        precision: float32 or bfloat16.
        held_out: training examples that stand for the test examples, while something is chosen; 0 for the test.
    """

    network: Network
    root: Path
    precision: str
    held_out: int = 0

    @property
    def data(self) -> Dataset[Examples]:
        """Training and test examples."""
        return load(self.network.workload, self.network.dataset, self.root, self.held_out)

    def model(self, arrays: Arrays) -> nn.Module:
        """The network with these arrays."""
        return model_with(WORKLOADS[self.network.workload], arrays, self.root)

    def initial(self, seed: int) -> Arrays:
        """The network before training."""
        return initial_arrays(WORKLOADS[self.network.workload], seed, self.root)

    def example(self) -> torch.Tensor:
        """One input."""
        return self.data.train.batch(np.zeros(1, np.int64))[0]

    def score(self, arrays: Arrays) -> Score:
        """Test."""
        return score(self.model(arrays), self.data.test, self.precision)

    def trained(
        self,
        arrays: Arrays,
        schedule: Schedule,
        rng: np.random.Generator,
        masks: Masks | None = None,
        rewire: Any = None,
    ) -> Arrays:
        """Train, with masks or without."""
        model = self.model(arrays)
        fit(model, self.data.train, schedule, rng, self.precision, masks, rewire)
        return arrays_of(model)

    def with_statistics(self, arrays: Arrays) -> Arrays:
        """The network with running statistics of its own activations, from some training images without their labels.

        What batch normalisation subtracts and divides by belongs to the activations of the weights before pruning.
        """
        model = self.model(arrays)
        normalisations = [each for each in model.modules() if isinstance(each, _BatchNorm)]
        for each in normalisations:
            each.reset_running_stats()
            each.momentum = None  # so that statistics are plain means of the batches
        if normalisations:
            model.train()
            with torch.no_grad():
                for batch in np.arange(_BATCHES * _BATCH_SIZE).reshape(_BATCHES, _BATCH_SIZE):
                    predicted(model, self.data.train, batch, self.precision)
        return arrays_of(model)

    def dense(self, seed: int) -> Arrays:
        """The trained network: kept in a folder of the user's, made the first time."""
        recipe = (
            f"1 {self.network.workload} {self.data.name} {self.network.dense} {self.precision} {self.held_out} {seed}"
        )

        def make() -> Arrays:
            return self.trained(self.initial(seed), self.network.dense, np.random.default_rng([seed, 0]))

        return kept_arrays(self.network.workload, recipe, make)


def as_tensors(masks: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Masks as tensors."""
    return {name: torch.from_numpy(np.array(mask)) for name, mask in masks.items()}
