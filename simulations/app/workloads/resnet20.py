"""ResNet-20 with batch normalization, 16 to 64 channels: 272,186 parameters, 1,568 running statistics.

Source: He et al. 2016, "Deep Residual Learning", section 4.2, and projections (their option B) where the shape changes;
its first convolution has a stride of 2, which leaves a quarter of the work.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import relu

from simulations.app import images
from simulations.app.workloads.workload import Workload

_CHANNELS, _BLOCKS = (16, 32, 64), 3


class Block(nn.Module):
    """Two convolutions of 3×3 beside the identity, or beside a projection where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        projection = (nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Sequential(*(projection if (inputs, 1) != (outputs, stride) else ()))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Shape (batch, inputs, h, w) to (batch, outputs, h / stride, w / stride)."""
        change = self.bn2(self.conv2(relu(self.bn1(self.conv1(hidden)))))
        return relu(change + self.shortcut(hidden))


class ResNet20(nn.Module):
    """28×28 grey images, shape (batch, 1, 28, 28), to 10 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, _CHANNELS[0], 3, 2, 1, bias=False)
        self.bn = nn.BatchNorm2d(_CHANNELS[0])
        blocks, inputs = [], _CHANNELS[0]
        for outputs in _CHANNELS:
            for _ in range(_BLOCKS):
                blocks.append(Block(inputs, outputs, 1 if inputs == outputs else 2))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(inputs, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Give the logits, shape (batch, 10)."""
        hidden = self.blocks(relu(self.bn(self.conv(pixels))))
        logits: torch.Tensor = self.fc(hidden.mean((2, 3)))
        return logits


WORKLOAD = Workload(
    "ResNet-20",
    {"fashion": images.fashion, "mnist": images.mnist, "digits": images.digits},
    model=lambda root: ResNet20(),
    defaults={"learning_rate": 0.05, "local_steps": 10, "batch_size": 32, "test_every": 5},
)
