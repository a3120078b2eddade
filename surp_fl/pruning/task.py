"""What a pruning method is given, and what it gives back.

Knows layers. Does not know methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from surp_fl.pruning.layers import Layer, Mask
from surp_fl.types import Array


@dataclass(frozen=True)
class Task:
    """What to prune.

    Attributes:
        layers: the prunable arrays, in the model's order.
        keep: weights to keep in all; 1 up to those that are left.
        rng: every random choice is drawn from it.
        gradients: of the layers, by name, in their shapes; empty where the method needs none.
    """

    layers: Sequence[Layer]
    keep: int
    rng: np.random.Generator
    gradients: Mapping[str, Array] = field(default_factory=dict)

    @property
    def sizes(self) -> list[int]:
        """Weights of each layer, those that were pruned earlier included."""
        return [layer.size for layer in self.layers]

    @property
    def left(self) -> list[int]:
        """Weights of each layer that were not pruned earlier."""
        return [layer.left for layer in self.layers]


@dataclass(frozen=True)
class Selection:
    """What is kept.

    Attributes:
        masks: of each layer, shape (size,).
        values: of each layer's weights where they are not their own, shape (size,); None if they are.
    """

    masks: Sequence[Mask]
    values: Sequence[Array] | None = None
