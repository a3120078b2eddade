"""The model, its data and its training."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

TEST_IMAGES = 360  # of 1,797; the server tests with them, and no client sees them


class Net(nn.Module):
    """Two convolutions with batch normalization and two linear layers: 53,194 trained parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, images: Tensor) -> Tensor:
        """Give the logits, shape (batch, 10), of images of shape (batch, 1, 8, 8)."""
        logits: Tensor = self.head(self.features(images))
        return logits


def load_data(partition_id: int, num_partitions: int, batch_size: int) -> DataLoader[tuple[Tensor, ...]]:
    """The training images of one client."""
    images, labels = _digits()
    own = slice(TEST_IMAGES + partition_id, None, num_partitions)
    return DataLoader(TensorDataset(images[own], labels[own]), batch_size=batch_size, shuffle=True)


def load_test_data() -> DataLoader[tuple[Tensor, ...]]:
    """The test images of the server."""
    images, labels = _digits()
    return DataLoader(TensorDataset(images[:TEST_IMAGES], labels[:TEST_IMAGES]), batch_size=TEST_IMAGES)


def _digits() -> tuple[Tensor, Tensor]:
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8)[order] / 16, torch.tensor(labels)[order]


def train(net: Net, loader: DataLoader[tuple[Tensor, ...]], epochs: int, learning_rate: float) -> float:
    """Train the model in place; give the mean loss."""
    torch.set_num_threads(1)  # clients run side by side
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=learning_rate, momentum=0.9)
    total = 0.0
    for _ in range(epochs):
        for images, labels in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item()
    return total / (epochs * len(loader))


def test(net: Net, loader: DataLoader[tuple[Tensor, ...]]) -> tuple[float, float]:
    """Give the mean loss and the accuracy of the model."""
    net.eval()
    loss, correct, count = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            logits = net(images)
            loss += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
            correct += int((logits.argmax(1) == labels).sum())
            count += len(labels)
    return loss / count, correct / count
