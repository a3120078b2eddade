"""A perceptron with one hidden layer of 128 units, 101,770 parameters, as in the experiments of FedSLoP.

Source: "FedSLoP: Memory-Efficient Federated Learning with Low-Rank Gradient Projection", arXiv 2604.24012, and its
published code (github.com/pkumelon/FedSLoP): one pass over a client's images in batches of 32, plain SGD.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import relu

from simulations.app import images
from simulations.app.workloads.workload import Workload


class Perceptron(nn.Module):
    """28×28 grey images, shape (batch, 1, 28, 28), to 10 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Give the logits, shape (batch, 10)."""
        logits: torch.Tensor = self.fc2(relu(self.fc1(pixels.flatten(1))))
        return logits


WORKLOAD = Workload(
    "perceptron",
    {"mnist": images.mnist, "fashion": images.fashion, "digits": images.digits},
    model=lambda root: Perceptron(),
    defaults={"learning_rate": 0.018, "momentum": 0.0, "local_steps": 0, "batch_size": 32},
)
