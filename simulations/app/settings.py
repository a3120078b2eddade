"""Everything one run depends on, as Flower's run config carries it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

_COLD = 0.3  # of the learning rate, in the first round of a warm-up


@dataclass(frozen=True)
class Settings:
    """One run: one scheme, one seed.

    Attributes:
        scheme: "dense", or a name, a budget in bytes, and options: "surp:218", "rtop-k:2050:ratio=2".
        downlink: how the model's changes go down, as "surp:2000"; empty for the whole model each time.
        rounds: of federated training.
        clients: that hold images.
        sampled: clients that take part in a round; 0 for all.
        dataset: "mnist", "fashion", "digits" or "auto".
        data_root: folder of the datasets; empty for SURP_FL_DATA or data/.
        held_out: training images that are tested on in place of the test images, for tuning; 0 for none.
        partition: "iid" or "dirichlet:ALPHA".
        seed: of weights, partition, batches and messages.
        local_steps: of SGD, per client and round.
        batch_size: images a step.
        learning_rate: of the local SGD.
        momentum: of the local SGD; starts from zero in each round.
        fading: whether what clients owe fades as the learning rate falls, as if it were owed in gradients.
        weight_decay: of the local SGD.
        clipping: largest norm of a step's gradient, all arrays together; 0 for any.
        precision: of the local SGD's products, "float32" or "bfloat16"; weights are float32 in both.
        warm_up: rounds in which the learning rate rises to what it is given as, from three tenths of it.
        final_rate: share of the learning rate that is left in the last round, on a cosine.
        server_learning_rate: times the mean update; FedAvgM.
        server_momentum: of the mean updates; FedAvgM.
        evaluation: share of the clients that evaluate the model in each round, on images of their own.
        averaging: share of the running average of the models that each round leaves; it is what is tested. Clients
            go on from the last model. 0 tests that.
        out: file for the run's row, empty for none; only the server writes it.
    """

    scheme: str = "surp:218"
    downlink: str = ""
    rounds: int = 20
    clients: int = 10
    sampled: int = 0
    dataset: str = "auto"
    data_root: str = ""
    held_out: int = 0
    partition: str = "iid"
    seed: int = 0
    local_steps: int = 30
    batch_size: int = 64
    learning_rate: float = 0.015
    momentum: float = 0.9
    fading: bool = False
    weight_decay: float = 0.0
    clipping: float = 0.0
    precision: str = "float32"
    warm_up: int = 0
    final_rate: float = 1.0
    server_learning_rate: float = 1.0
    server_momentum: float = 0.0
    evaluation: float = 0.0
    averaging: float = 0.0
    out: str = ""

    def rate_in(self, server_round: int) -> float:
        """The learning rate of a round, counted from 1."""
        if server_round <= self.warm_up:
            return self.learning_rate * (_COLD + (1 - _COLD) * (server_round - 1) / self.warm_up)
        done = (server_round - self.warm_up - 1) / max(1, self.rounds - self.warm_up - 1)
        left = (1 + math.cos(math.pi * min(done, 1.0))) / 2
        return self.learning_rate * (self.final_rate + (1 - self.final_rate) * left)

    def keep_in(self, server_round: int, last: int) -> float:
        """Share of its debts that a client carries into a round, which took part in round `last` before it."""
        if not self.fading:
            return 1.0
        passed = range(max(1, last), server_round)
        return math.prod(min(1.0, self.rate_in(each + 1) / self.rate_in(each)) for each in passed)

    @classmethod
    def from_run_config(cls, config: Mapping[str, Any]) -> Settings:
        """Read Flower's run config; keys are spelled with hyphens there."""
        given = {field.name: config.get(field.name.replace("_", "-")) for field in fields(cls)}
        return cls(**{name: value for name, value in given.items() if value is not None})

    def to_run_config(self) -> dict[str, str | int | float | bool]:
        """Write Flower's run config."""
        return {field.name.replace("_", "-"): getattr(self, field.name) for field in fields(self)}
