"""Training of a whole network in one place: epochs, a learning rate that falls as a cosine, and masks that stay."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from simulations.app.datasets import Examples
from simulations.app.training import predicted

Masks = Mapping[str, torch.Tensor]  # of weights by name, bool, shapes as the weights; True is kept
Rewire = Callable[[float, nn.Module], None]  # called between backward pass and step, with the share of steps done


@dataclass(frozen=True)
class Schedule:
    """SGD with Nesterov momentum 0.9; the learning rate rises linearly to its peak, and falls to zero as a cosine.

    Attributes:
        epochs: through all examples.
        learning_rate: the peak.
        batch_size: images of a step.
        weight_decay: of all parameters.
        warm_up: share of the steps in which the learning rate rises.
    """

    epochs: float
    learning_rate: float
    batch_size: int = 128
    weight_decay: float = 5e-4
    warm_up: float = 0.1

    def steps(self, examples: int) -> int:
        """Steps of this schedule."""
        return max(1, round(self.epochs * examples / self.batch_size))

    def rate(self, share: float) -> float:
        """The learning rate after a share of the steps, 0 to 1.

        >>> [round(Schedule(1, 0.1).rate(share), 3) for share in (0.05, 0.1, 0.55, 1)]
        [0.05, 0.1, 0.05, 0.0]
        """
        if share < self.warm_up:
            return self.learning_rate * share / self.warm_up
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (share - self.warm_up) / (1 - self.warm_up)))


def fit(
    model: nn.Module,
    examples: Examples,
    schedule: Schedule,
    rng: np.random.Generator,
    precision: str,
    masks: Masks | None = None,
    rewire: Rewire | None = None,
) -> None:
    """Train in place.

    Args:
        model: what is to be trained.
        examples: to train with.
        schedule: how long, how fast.
        rng: of the order of the examples.
        precision: float32 or bfloat16.
        masks: of weights that stay zero where the mask is False; looked at in every step, so `rewire` may change them.
        rewire: for training that moves the masks: gradients, also of masked weights, are there when it is called.
    """
    model.train()
    parameters = dict(model.named_parameters())
    optimizer = torch.optim.SGD(
        parameters.values(), lr=schedule.learning_rate, momentum=0.9, nesterov=True, weight_decay=schedule.weight_decay
    )
    count, size = len(examples.groups), schedule.batch_size
    steps = schedule.steps(count)
    order = np.concatenate([rng.permutation(count) for _ in range(-(-steps * size // count))])
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate((step + 1) / steps)
        optimizer.zero_grad()
        loss = cross_entropy(*predicted(model, examples, order[step * size : (step + 1) * size], precision))
        loss.backward()  # type: ignore[no-untyped-call]
        if rewire is not None:
            rewire(step / steps, model)
        with torch.no_grad():
            for name, mask in (masks or {}).items():
                gradient = parameters[name].grad
                if gradient is not None:
                    gradient.mul_(mask)
            optimizer.step()
            for name, mask in (masks or {}).items():  # momentum of what was dropped
                parameters[name].mul_(mask)
