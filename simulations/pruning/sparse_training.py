"""Networks that are sparse from the first step on: which weights exist changes while they are trained.

Every rule moves masks in place: it is called between backward pass and step, when gradients of all weights are there,
those of masked ones included.

Sources: RigL: Evci et al. 2020, "Rigging the Lottery", algorithm 1. SNFS: Dettmers and Zettlemoyer 2019, "Sparse
Networks from Scratch". DSR: Mostafa and Wang 2019, "Parameter Efficient Training of Deep Convolutional Neural Networks
by Dynamic Sparse Reparameterization", algorithm 1. SNIP (Lee et al. 2019) leaves its masks as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import nn

LAST = 0.75  # share of the steps after which RigL and SNFS leave the masks as they are


def cosine(share: float, first: float) -> float:
    """A share that falls from `first` to zero as a cosine, when `LAST` of the steps are done."""
    return first / 2 * (1 + math.cos(math.pi * min(share / LAST, 1)))


def drop_smallest(weight: torch.Tensor, mask: torch.Tensor, count: int) -> None:
    """Mask the `count` smallest weights of those that are kept."""
    size = torch.where(mask, weight.detach().abs(), math.inf).flatten()
    mask.view(-1)[size.topk(count, largest=False).indices] = False


def grow_largest(score: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor, count: int) -> None:
    """Keep, from zero on, the `count` masked weights with the largest scores."""
    grown = torch.zeros_like(mask)
    grown.view(-1)[torch.where(mask, -math.inf, score).flatten().topk(count).indices] = True
    mask.logical_or_(grown)
    weight.detach().masked_fill_(grown, 0)


def gradient_of(parameter: nn.Parameter) -> torch.Tensor:
    """The gradient of the last backward pass.

    Raises:
        RuntimeError: there is none.
    """
    if parameter.grad is None:
        raise RuntimeError("a masked weight has no gradient; expected one of each backward pass")
    return parameter.grad


@dataclass
class RigL:
    """Every `every` steps, drop the smallest weights of each layer and grow those of the largest gradients.

    Attributes:
        masks: of the weights by name; changed in place.
        every: steps between two changes.
        share: of a layer's weights that are dropped at first; it falls to zero as a cosine.
    """

    masks: dict[str, torch.Tensor]
    every: int = 100
    share: float = 0.3
    _steps: int = 0

    def __call__(self, done: float, model: nn.Module) -> None:
        """Count a step, and change the masks if it is time to."""
        self._steps += 1
        if self._steps % self.every or done >= LAST:
            return
        parameters = dict(model.named_parameters())
        for name, mask in self.masks.items():
            free = mask.numel() - int(mask.sum())
            count = min(int(cosine(done, self.share) * int(mask.sum())), free)
            drop_smallest(parameters[name], mask, count)
            grow_largest(gradient_of(parameters[name]).abs(), mask, parameters[name], count)


@dataclass
class SNFS:
    """Drop the smallest weights of each layer; grow as many in all, where and in layers in which momentum is large.

    Attributes:
        masks: of the weights by name; changed in place.
        every: steps between two changes; an epoch in the source.
        share: of a layer's weights that are dropped at first; it falls to zero as a cosine.
        smoothing: of the momentum, an exponential moving average of the gradients of all weights.
    """

    masks: dict[str, torch.Tensor]
    every: int = 100
    share: float = 0.5
    smoothing: float = 0.9
    _steps: int = 0
    _momentum: dict[str, torch.Tensor] = field(default_factory=dict)

    def __call__(self, done: float, model: nn.Module) -> None:
        """Follow the momentum, and change the masks if it is time to."""
        parameters = dict(model.named_parameters())
        for name in self.masks:
            gradient = gradient_of(parameters[name])
            known = self._momentum.setdefault(name, torch.zeros_like(gradient))
            known.mul_(self.smoothing).add_(gradient, alpha=1 - self.smoothing)
        self._steps += 1
        if self._steps % self.every or done >= LAST:
            return
        strength = {name: float(self._momentum[name][mask].abs().mean()) for name, mask in self.masks.items()}
        dropped = 0
        for name, mask in self.masks.items():
            count = int(cosine(done, self.share) * int(mask.sum()))
            drop_smallest(parameters[name], mask, count)
            dropped += count
        free = {name: mask.numel() - int(mask.sum()) for name, mask in self.masks.items()}
        for name, count in divided(dropped, strength, free).items():
            grow_largest(self._momentum[name].abs(), self.masks[name], parameters[name], count)


@dataclass
class DSR:
    """Drop all weights below one threshold for all layers; grow as many at random, where most have survived.

    Attributes:
        masks: of the weights by name; changed in place.
        generator: of the random places.
        every: steps between two changes.
        target: share of all kept weights that shall be dropped each time; the threshold follows it.
        threshold: at first.
        tolerance: by which the dropped share may differ from the target before the threshold is halved or doubled.
    """

    masks: dict[str, torch.Tensor]
    generator: torch.Generator
    every: int = 100
    target: float = 0.01
    threshold: float = 1e-3
    tolerance: float = 0.1
    _steps: int = 0

    def __call__(self, done: float, model: nn.Module) -> None:
        """Count a step, and change the masks if it is time to."""
        self._steps += 1
        if self._steps % self.every:
            return
        parameters = dict(model.named_parameters())
        before = sum(int(mask.sum()) for mask in self.masks.values())
        for name, mask in self.masks.items():
            mask.logical_and_(parameters[name].detach().abs() >= self.threshold)
        left = {name: int(mask.sum()) for name, mask in self.masks.items()}
        dropped = before - sum(left.values())
        if dropped < (1 - self.tolerance) * self.target * before:
            self.threshold *= 2
        elif dropped > (1 + self.tolerance) * self.target * before:
            self.threshold /= 2
        free = {name: mask.numel() - left[name] for name, mask in self.masks.items()}
        for name, count in divided(dropped, {name: float(kept) for name, kept in left.items()}, free).items():
            score = torch.rand(self.masks[name].shape, generator=self.generator).to(self.masks[name].device)
            grow_largest(score, self.masks[name], parameters[name], count)


def divided(count: int, weights: dict[str, float], capacity: dict[str, int]) -> dict[str, int]:
    """Divide a count among layers in proportion to weights; what does not fit into one goes to the others.

    Args:
        count: at most the sum of the capacities.
        weights: not negative, of each layer; where all with room weigh nothing or are not finite, all weigh the same.
        capacity: of each layer.

    Returns:
        Parts whose sum is the count.

    >>> divided(10, {"a": 3.0, "b": 1.0, "c": 1.0}, {"a": 4, "b": 9, "c": 9})
    {'a': 4, 'b': 3, 'c': 3}
    """
    parts = dict.fromkeys(weights, 0)
    while left := count - sum(parts.values()):
        room = {name: capacity[name] - parts[name] for name in parts if capacity[name] > parts[name]}
        weigh = {name: weights[name] if math.isfinite(weights[name]) else 0.0 for name in room}
        whole = sum(weigh.values())
        shares = {name: left * (weigh[name] / whole if whole else 1 / len(room)) for name in room}
        given = {name: min(int(share), room[name]) for name, share in shares.items()}
        if not any(given.values()):  # less than one each: the largest first
            given = dict.fromkeys(sorted(room, key=lambda name: -shares[name])[:left], 1)
        for name, part in given.items():
            parts[name] += part
    return parts
