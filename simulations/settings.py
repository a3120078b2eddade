"""Everything one run depends on, as Flower's run config carries it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Settings:
    """One run: one scheme, one seed.

    Attributes:
        scheme: "dense", or a name and a budget in bytes: "surp:218".
        rounds: of federated training.
        clients: all take part in every round.
        dataset: "mnist", "digits" or "auto".
        data_root: folder of the datasets; empty for SURP_FL_DATA or data/.
        held_out: training images that are tested on in place of the test images, for tuning; 0 for none.
        partition: "iid" or "dirichlet:ALPHA".
        seed: of weights, partition, batches and messages.
        local_steps: of SGD, per client and round.
        batch_size: images a step.
        learning_rate: of the local SGD.
        momentum: of the local SGD; starts from zero in each round.
        out: file for the run's row, empty for none; only the server writes it.
    """

    scheme: str = "surp:218"
    rounds: int = 20
    clients: int = 10
    dataset: str = "auto"
    data_root: str = ""
    held_out: int = 0
    partition: str = "iid"
    seed: int = 0
    local_steps: int = 30
    batch_size: int = 64
    learning_rate: float = 0.015
    momentum: float = 0.9
    out: str = ""

    @classmethod
    def from_run_config(cls, config: Mapping[str, Any]) -> Settings:
        """Read Flower's run config; keys are spelled with hyphens there."""
        given = {field.name: config.get(field.name.replace("_", "-")) for field in fields(cls)}
        return cls(**{name: value for name, value in given.items() if value is not None})

    def to_run_config(self) -> dict[str, str | int | float | bool]:
        """Write Flower's run config."""
        return {field.name.replace("_", "-"): getattr(self, field.name) for field in fields(self)}
