"""Everything one run depends on: the one place that lists it.

From this dataclass follow the command lines of the experiments, Flower's run config, and what a row of results says
about its run. A new setting is a new line here, beside the code that uses it (and the default that `flwr run` requires
in pyproject.toml, which a test compares).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from simulations.app.schemes import parse
from simulations.app.training import PRECISIONS
from simulations.app.workloads import WORKLOADS
from simulations.app.workloads.workload import Hyperparameters, Workload

_COLD = 0.3  # of the learning rate, in the first round of a warm-up
_NOT_OF_THE_RUN = ("data_root", "out")  # where things are on one machine


def _setting(default: Any, help: str, choices: tuple[str, ...] | None = None) -> Any:
    return field(default=default, metadata={"help": help, "choices": choices})


@dataclass(frozen=True)
class Settings:
    """One run: one scheme, one seed."""

    scheme: str = _setting(
        "surp:218", "dense, or a name, a budget and options, as in surp:218, surp:ratio=1000, rtop-k:2050:ratio=2"
    )
    downlink: str = _setting(
        "",
        "scheme for the model's deltas to the clients, as surp:2000, surp:250:to=710 for a budget that grows, or "
        "lossless; empty for whole models",
    )
    workload: str = _setting("lenet5", "what is trained, and how clients train it", tuple(WORKLOADS))
    rounds: int = _setting(20, "of federated training")
    clients: int = _setting(10, "that hold examples")
    clients_per_round: int = _setting(0, "clients that take part in a round; 0 for all")
    dataset: str = _setting(
        "auto",
        "that is trained on and tested with; auto for the workload's own",
        tuple(sorted({"auto"}.union(*(workload.datasets for workload in WORKLOADS.values())))),
    )
    data_root: str = _setting("", "folder of the datasets; empty for SURP_FL_DATA, or data/")
    held_out: int = _setting(0, "to tune: training examples that take the place of the test examples; 0 for none")
    partition: str = _setting(
        "iid",
        "of the examples: iid, dirichlet:ALPHA, label-skew:ALPHA, or groups (a client for each role of the plays)",
    )
    seed: int = _setting(0, "of weights, partition, batches and messages")
    local_steps: int = _setting(30, "of training, for each client and round; 0 for one pass over its examples")
    batch_size: int = _setting(64, "examples a step")
    learning_rate: float = _setting(0.015, "of the local training")
    momentum: float = _setting(0.9, "of the local training (β1 of AdamW); starts from zero in each round")
    fading: bool = _setting(False, "scale what clients owe down as the learning rate falls")
    weight_decay: float = _setting(0.0, "of the local training")
    max_grad_norm: float = _setting(0.0, "largest L2 norm of a step's gradient, all arrays together; 0 for any")
    precision: str = _setting(
        "float32",
        "of the products in the local training; bfloat16 takes half the time where the processor has it",
        tuple(sorted(PRECISIONS)),
    )
    warm_up: int = _setting(0, "rounds in which the learning rate rises to its full value, from three tenths of it")
    final_rate: float = _setting(1.0, "share of the learning rate that is left in the last round, on a cosine")
    server_learning_rate: float = _setting(1.0, "of FedAvgM: times the mean update")
    server_momentum: float = _setting(0.0, "of FedAvgM: of the mean updates")
    fraction_evaluate: float = _setting(0.0, "share of the clients that evaluate each model, on images of their own")
    evaluate_with_train: bool = _setting(False, "evaluate a model in the exchange that trains it")
    known_initial: bool = _setting(False, "clients make the initial model themselves, so that it is not sent")
    ema_decay: float = _setting(0.0, "decay of the moving average of the models, which is tested; 0 tests the last one")
    equal_weights: bool = _setting(False, "average clients as equals, not by how many examples they hold")
    test_every: int = _setting(1, "rounds from one test to the next; the last model is tested in any case")
    out: str = _setting("", "file for the run's row, written by the server; empty for none")

    @property
    def taking_part(self) -> int:
        """How many clients take part in a round."""
        return self.clients_per_round or self.clients

    @property
    def kind(self) -> Workload:
        """What the name of the workload stands for."""
        return WORKLOADS[self.workload]

    def tested(self, server_round: int) -> bool:
        """Whether the model of a round is tested; that of round 0 is the initial one."""
        return server_round % self.test_every == 0 or server_round == self.rounds

    def hyperparameters_in(self, server_round: int) -> Hyperparameters:
        """Of the local training in a round, counted from 1."""
        return Hyperparameters(self.rate_in(server_round), self.momentum, self.weight_decay)

    def rate_in(self, server_round: int) -> float:
        """The learning rate of a round, counted from 1."""
        if server_round <= self.warm_up:
            return self.learning_rate * (_COLD + (1 - _COLD) * (server_round - 1) / self.warm_up)
        done = (server_round - self.warm_up - 1) / max(1, self.rounds - self.warm_up - 1)
        left = (1 + math.cos(math.pi * min(done, 1.0))) / 2
        return self.learning_rate * (self.final_rate + (1 - self.final_rate) * left)

    def keep_in(self, server_round: int, last: int) -> float:
        """Share of its residual that a client carries into a round, if it took part in round `last` before."""
        if not self.fading:
            return 1.0
        passed = range(max(1, last), server_round)
        return math.prod(min(1.0, self.rate_in(each + 1) / self.rate_in(each)) for each in passed)

    def same_run(self, other: Settings) -> bool:
        """Whether both give the same row: all is alike but folders, and how a scheme's options are spelled."""
        alike = [getattr(self, name) == getattr(other, name) for name in self.of_the_run() if name != "scheme"]
        return all(alike) and parse(self.scheme) == parse(other.scheme)

    @classmethod
    def of_the_run(cls) -> tuple[str, ...]:
        """The names of the settings that a row keeps."""
        return tuple(each.name for each in fields(cls) if each.name not in _NOT_OF_THE_RUN)

    @classmethod
    def from_run_config(cls, config: Mapping[str, Any]) -> Settings:
        """Read Flower's run config; keys are spelled with hyphens there."""
        given = {each.name: config.get(each.name.replace("_", "-")) for each in fields(cls)}
        return cls(**{name: value for name, value in given.items() if value is not None})

    def to_run_config(self) -> dict[str, str | int | float | bool]:
        """Write Flower's run config."""
        return {each.name.replace("_", "-"): getattr(self, each.name) for each in fields(self)}
