"""The models that are compressed: those that are pruned, and two of federated learning, trained in one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simulations.app.training import Score, arrays_of, initial_arrays, load, model_with, score, train
from simulations.app.workloads import WORKLOADS
from simulations.app.workloads.lora import pretrained
from simulations.app.workloads.workload import Hyperparameters
from simulations.pruning.networks import NETWORKS, Laboratory
from surp_fl.types import Arrays

_HELD_OUT = 5000  # training examples of Fashion-MNIST
_RATES = (0.05, 0.02, 0.005)  # learning rate of each epoch
_MOMENTUM, _WEIGHT_DECAY, _BATCH = 0.9, 5e-4, 64
_PASSAGES = 600  # of the transformer's test


@dataclass(frozen=True)
class Trained:
    """A trained model and its test.

    Attributes:
        arrays: float32 weights, statistics and counters by name.
        tested: what arrays with these names are worth.
    """

    arrays: Arrays
    tested: Callable[[Arrays], Score]


@dataclass(frozen=True)
class Kind:
    """A model.

    Attributes:
        title: in tables.
        ratios: the largest and the smallest number of times that files shall be smaller.
        train: makes it, from the folder of the datasets and a seed.
        seeds: it is trained with.
    """

    title: str
    ratios: tuple[float, float]
    train: Callable[[Path, int], Trained]
    seeds: Sequence[int] = (0,)


def _pruned(name: str) -> Callable[[Path, int], Trained]:
    def make(root: Path, seed: int) -> Trained:
        laboratory = Laboratory(NETWORKS[name], root, "bfloat16")
        return Trained(laboratory.dense(seed), laboratory.score)

    return make


def _normalised(root: Path, seed: int) -> Trained:
    """The CNN with batch normalization, trained on all but the examples that are held out."""
    workload = WORKLOADS["bn-cnn"]
    examples = load("bn-cnn", "fashion", root, _HELD_OUT).train
    model = model_with(workload, initial_arrays(workload, seed, root), root)
    rng = np.random.default_rng(seed)
    for rate in _RATES:
        train(
            workload, model, examples, np.arange(len(examples.groups)),
            Hyperparameters(rate, _MOMENTUM, _WEIGHT_DECAY), steps=0, batch_size=_BATCH, max_grad_norm=0.0,
            precision="float32", rng=rng,
        )  # fmt: skip
    test = load("bn-cnn", "fashion", root).test
    return Trained(arrays_of(model), lambda arrays: score(model_with(workload, arrays, root), test))


def _language(root: Path, seed: int) -> Trained:
    """The transformer that `workloads/lora.py` starts from, trained on other plays; tested on some passages."""
    workload, test = WORKLOADS["transformer"], load("transformer", "shakespeare", root).test
    members = np.arange(len(test.groups))[:_PASSAGES]
    return Trained(
        arrays_of(pretrained(root)), lambda arrays: score(model_with(workload, arrays, root), test, members=members)
    )


KINDS = {
    "lenet5": Kind("LeNet-5-Caffe, MNIST", (400, 5), _pruned("lenet5"), (0, 1, 2)),
    "resnet20": Kind("ResNet-20, Fashion-MNIST", (60, 4), _pruned("resnet20"), (0, 1, 2)),
    "vgg": Kind("small VGG, Fashion-MNIST", (60, 4), _pruned("vgg"), (0, 1, 2)),
    "bn-cnn": Kind("CNN with batch normalization, Fashion-MNIST", (300, 5), _normalised),
    "transformer": Kind("character transformer, Shakespeare", (25, 4), _language),
}
