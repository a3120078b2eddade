"""A small VGG with batch normalization, six convolutions of 16 to 64 channels: 147,162 parameters, 448 statistics.

Source: Simonyan and Zisserman 2015, "Very Deep Convolutional Networks": pairs of 3×3 convolutions between poolings, and
two linear layers; an eighth of VGG-16's channels or fewer, and batch normalization as in torchvision's `vgg16_bn`.
"""

from __future__ import annotations

from torch import nn

from simulations.app import images
from simulations.app.workloads.workload import Workload

_CHANNELS, _HIDDEN = (16, 32, 64), 128


def network() -> nn.Sequential:
    """28×28 grey images, shape (batch, 1, 28, 28), to 10 logits."""
    layers: list[nn.Module] = []
    inputs = 1
    for outputs in _CHANNELS:
        for _ in range(2):
            convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    linear = (nn.Linear(inputs * 3 * 3, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 10))
    return nn.Sequential(*layers, nn.Flatten(), *linear)


WORKLOAD = Workload(
    "VGG",
    {"fashion": images.fashion, "mnist": images.mnist, "digits": images.digits},
    model=lambda root: network(),
    defaults={"learning_rate": 0.05, "local_steps": 10, "batch_size": 32, "test_every": 5},
)
