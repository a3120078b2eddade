"""LeNet-5 as Caffe defines it: 20 and 50 filters of 5×5, 500 and 10 units, 431,080 parameters.

Source: caffe/examples/mnist/lenet.prototxt. There is no activation after the convolutions, as there.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import max_pool2d, relu

from simulations.app import images
from simulations.app.workloads.workload import Workload

PARAMETERS = 431_080


class LeNet5Caffe(nn.Module):
    """28×28 grey images, shape (batch, 1, 28, 28), to 10 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.fc1 = nn.Linear(800, 500)
        self.fc2 = nn.Linear(500, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Give the logits, shape (batch, 10)."""
        hidden = max_pool2d(self.conv1(pixels), 2)
        hidden = max_pool2d(self.conv2(hidden), 2)
        hidden = relu(self.fc1(hidden.flatten(1)))
        logits: torch.Tensor = self.fc2(hidden)
        return logits


WORKLOAD = Workload(
    "LeNet-5-Caffe",
    {"auto": images.mnist_or_digits, "mnist": images.mnist, "fashion": images.fashion, "digits": images.digits},
    model=lambda root: LeNet5Caffe(),
)
