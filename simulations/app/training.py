"""Local work and evaluation of any workload. A seed gives the same batches for every scheme, round and client."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from simulations.app.datasets import Dataset, Examples, held_out_of
from simulations.app.workloads import WORKLOADS
from simulations.app.workloads.workload import Hyperparameters, Workload
from surp_fl.types import Arrays

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_TESTED_AT_A_TIME = 250  # examples


class Score(NamedTuple):
    """What a model was found to be worth: the share of right predictions, and the mean cross-entropy in nats."""

    accuracy: float
    loss: float


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@lru_cache(maxsize=4)
def load(workload: str, dataset: str, root: Path, held_out: int = 0) -> Dataset[Examples]:
    """Load a dataset of a workload.

    Args:
        workload: by its name.
        dataset: one of those that it can be trained with; `auto` for its own.
        root: folder of the datasets.
        held_out: training examples that nobody trains with and that take the place of the test examples: for tuning.

    Raises:
        DataMissing: it cannot be had.
        ValueError: the workload has no such dataset, or no examples are left to train with.
    """
    known = WORKLOADS[workload].datasets
    name = next(iter(known)) if dataset == "auto" else dataset
    if name not in known:
        raise ValueError(f"dataset '{dataset}'; {workload} has: {', '.join(known)}")
    if held_out:
        return held_out_of(load(workload, dataset, root), held_out)
    return known[name](root)


def initial_arrays(workload: Workload, seed: int, root: Path) -> Arrays:
    """The initial weights: the same for every scheme of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return arrays_of(workload.model(root))


def arrays_of(model: nn.Module) -> Arrays:
    """Copy the arrays out of a model, but for parameters that stay where they are."""
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    state = model.state_dict()
    return {name: value.detach().cpu().numpy().copy() for name, value in state.items() if name not in frozen}


def model_with(workload: Workload, arrays: Arrays, root: Path) -> nn.Module:
    """Make a model with these arrays, laid out as convolutions like it best.

    Raises:
        ValueError: they are not the arrays of this model.
    """
    with torch.random.fork_rng(devices=[]):
        model = workload.model(root)
    if arrays.keys() != arrays_of(model).keys():
        raise ValueError(f"arrays {sorted(arrays)}; {workload.title} has {sorted(arrays_of(model))}")
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}, strict=False)
    return model.to(device=device(), memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def batches(members: NDArray[np.int64], size: int, steps: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Draw `steps` batches of `size`: through the members in random order, again and again; once where steps is 0."""
    if not steps:
        return iter(np.split(rng.permutation(members), range(size, len(members), size)))
    rounds = -(-steps * size // len(members))
    order = np.concatenate([rng.permutation(members) for _ in range(rounds)])
    return iter(order[: steps * size].reshape(steps, size))


def train(
    workload: Workload,
    model: nn.Module,
    examples: Examples,
    members: NDArray[np.int64],
    given: Hyperparameters,
    *,
    steps: int,
    batch_size: int,
    max_grad_norm: float,
    precision: str,
    rng: np.random.Generator,
) -> float:
    """Train in place for a number of steps; gradients are clipped to `max_grad_norm`, where that is not 0.

    Returns:
        The mean loss of the steps.

    Raises:
        ValueError: for a precision that is not known.
    """
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = workload.optimizer(trained, given)
    losses = []
    for batch in batches(members, batch_size, steps, rng):
        optimizer.zero_grad()
        loss = cross_entropy(*predicted(model, examples, batch, precision))
        loss.backward()  # type: ignore[no-untyped-call]
        if max_grad_norm:
            clip_grad_norm_(trained, max_grad_norm)
        optimizer.step()
        losses.append(loss.detach())
    return float(torch.stack(losses).mean())


@torch.no_grad()
def score(
    model: nn.Module, examples: Examples, precision: str = "float32", members: NDArray[np.int64] | None = None
) -> Score:
    """Test a model on examples: on all of them, or on some members."""
    model.eval()
    chosen = np.arange(len(examples.groups)) if members is None else members
    right, loss, predictions = 0, 0.0, 0
    for batch in np.array_split(chosen, max(1, len(chosen) // _TESTED_AT_A_TIME)):
        logits, targets = predicted(model, examples, batch, precision)
        right += int((logits.argmax(1) == targets).sum())
        loss += float(cross_entropy(logits, targets, reduction="sum"))
        predictions += len(targets)
    return Score(right / predictions, loss / predictions)


def predicted(
    model: nn.Module, examples: Examples, batch: NDArray[np.int64], precision: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, shape (predictions, classes), and the class that each should be, shape (predictions,)."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
    inputs, targets = (tensor.to(device()) for tensor in examples.batch(batch))
    with torch.autocast(device().type, PRECISIONS[precision], enabled=precision != "float32"):
        logits = model(inputs)
    return logits.float().flatten(0, -2), targets.flatten()
