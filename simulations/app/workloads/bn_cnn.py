"""Two convolutions with batch normalization, two linear layers: 421,834 parameters, 192 running statistics."""

from __future__ import annotations

from torch import nn

from simulations.app import images
from simulations.app.workloads.workload import Workload


def network() -> nn.Sequential:
    """28×28 grey images, shape (batch, 1, 28, 28), to 10 logits."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10)),
    )


WORKLOAD = Workload(
    "CNN with batch normalization",
    {"fashion": images.fashion, "mnist": images.mnist, "digits": images.digits},
    model=lambda root: network(),
    defaults={"learning_rate": 0.03, "local_steps": 20, "batch_size": 32},
)
