"""Records what `sizes.csv` is made of: `python -m tests.codecs.record_updates`, which needs torch and scikit-learn.

A convolutional network of 9,470 parameters learns scikit-learn's handwritten digits, over four clients with SuRP at 100
bytes and error feedback; kept are what one client wanted to send in two rounds, early and late, and the models that
both ends held then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from surp_fl import CompressUpdates, Layout, SuRP
from surp_fl.codecs import Codec
from surp_fl.memory import ErrorFeedback, Memory
from surp_fl.strategies import DecodeUpdates
from surp_fl.types import Arrays, Reference, Vector
from tests.flower_app import app_with, fedavg, run

FILE = Path(__file__).parent / "recorded_updates.npz"
ROUNDS = {"early": 2, "late": 15}
CLIENTS = 4


def network() -> nn.Sequential:
    layers = (nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 60), nn.ReLU())
    return nn.Sequential(*layers, nn.Linear(60, 10))


def learn(arrays: Arrays, node: int, server_round: int) -> Arrays:
    torch.set_num_threads(1)
    digits = load_digits()
    images = torch.from_numpy((digits.images[node::CLIENTS] / 16).astype(np.float32))[:, None]
    labels = torch.from_numpy(digits.target[node::CLIENTS])
    model = network()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    rng = np.random.default_rng([node, server_round])
    for _ in range(10):
        batch = torch.from_numpy(rng.integers(0, len(labels), 32))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}


@dataclass(frozen=True)
class Recording:
    """SuRP that notes what it encodes."""

    noted: list[tuple[Vector, Any]] = field(default_factory=list)
    memory: Memory = field(default_factory=ErrorFeedback)

    @property
    def codec(self) -> Codec:
        inner = SuRP(100).codec

        def write(vector: Any, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
            self.noted.append((vector.copy(), reference))
            return inner.write(vector=vector, layout=layout, rng=rng, reference=reference)

        return Codec(inner.reader, write)


def main() -> None:
    torch.manual_seed(0)
    start = {name: tensor.detach().numpy().copy() for name, tensor in network().state_dict().items()}
    recording = Recording()
    run(app_with([CompressUpdates(recording)], learn), DecodeUpdates(fedavg(CLIENTS)), max(ROUNDS.values()), CLIENTS,
        start=lambda: start)  # fmt: skip
    kept: dict[str, Any] = {}
    for name, server_round in ROUNDS.items():
        wanted, reference = recording.noted[(server_round - 1) * CLIENTS]
        kept |= {f"{name} wanted": wanted, f"{name} model": reference[0], f"{name} before": reference[1]}
    np.savez_compressed(FILE, **kept)
    print({name: array.shape for name, array in kept.items()}, FILE.stat().st_size)


if __name__ == "__main__":
    main()
