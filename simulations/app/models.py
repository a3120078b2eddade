"""LeNet-5 as Caffe defines it: 20 and 50 filters of 5×5, 500 and 10 units, 431,080 parameters.

Source: caffe/examples/mnist/lenet.prototxt. There is no activation after the convolutions, as there.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

PARAMETERS = 431_080


class LeNet5Caffe(nn.Module):
    """28×28 grey images, shape (batch, 1, 28, 28), to 10 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.fc1 = nn.Linear(800, 500)
        self.fc2 = nn.Linear(500, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Give the logits, shape (batch, 10)."""
        hidden = nn.functional.max_pool2d(self.conv1(images), 2)
        hidden = nn.functional.max_pool2d(self.conv2(hidden), 2)
        hidden = nn.functional.relu(self.fc1(hidden.flatten(1)))
        logits: torch.Tensor = self.fc2(hidden)
        return logits


def initial_arrays(seed: int) -> dict[str, NDArray[np.float32]]:
    """The initial weights: the same for every scheme of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return arrays_of(LeNet5Caffe())


def arrays_of(model: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Copy the weights out of a model."""
    return {name: value.detach().cpu().numpy().copy() for name, value in model.state_dict().items()}


def model_with(arrays: dict[str, NDArray[np.float32]], device: torch.device) -> LeNet5Caffe:
    """Make a model with these weights, laid out as convolutions like it best."""
    model = LeNet5Caffe()
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in arrays.items()})
    return model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
