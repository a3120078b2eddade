"""Comparisons beside the protocol of LeNet-5 on MNIST: other models, and many clients that keep nothing.

Each scheme is tuned at one budget over one small grid, the same for all, on examples held out of the training ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from simulations.app.schemes import parse
from simulations.app.settings import Settings
from simulations.experiments.protocol import AVERAGED, FASTER, HELD_OUT, RAMP, Grid, trial

_STATELESS = ":stateless=1"
_WITHOUT_MEMORY = ("surp-unbiased", "eden")  # as they are
_WITHOUT_BUDGET = ("dense", "qsgd")
_ADAMW: Grid = (
    {"learning_rate": 0.001} | RAMP,
    {"learning_rate": 0.003} | RAMP,
    {"learning_rate": 0.01} | RAMP,
    AVERAGED | {"learning_rate": 0.003, "weight_decay": 0.0},
    AVERAGED | {"learning_rate": 0.003, "weight_decay": 0.0} | FASTER,
)
_SGD: Grid = (
    {"learning_rate": 0.03} | RAMP,
    {"learning_rate": 0.05, "weight_decay": 0.001} | RAMP,
    {"learning_rate": 0.1, "weight_decay": 0.001} | RAMP,
    AVERAGED,
    AVERAGED | FASTER,
)


@dataclass(frozen=True)
class Comparison:
    """Schemes at equal budgets, on one model and one way to share the work.

    Attributes:
        settings: of all its runs.
        budgets: bytes of a message; schemes are tuned with the second.
        grid: the trials of each scheme's tuning.
        held_out: training examples that stand for the test examples while schemes are tuned.
        names: of the schemes.
        more_seeds: seeds of dense, and of some schemes at some budgets; all others are run once.
        schemes_with_more_seeds: their names.
        budgets_with_more_seeds: of these.
        like_dense: the budgets that get dense's hyperparameters: messages that hold most of an update.
        stateless: whether clients of all schemes keep nothing between rounds.
        both_ways: schemes that are run once more, with this going down for models and the first model known.
    """

    settings: Mapping[str, Any]
    budgets: tuple[int, ...]
    grid: Grid
    held_out: int = HELD_OUT
    names: tuple[str, ...] = ("dense", "qsgd", "surp", "stc", "top-k")
    more_seeds: int = 3
    schemes_with_more_seeds: tuple[str, ...] = ("surp", "stc")
    budgets_with_more_seeds: tuple[int, ...] = ()
    like_dense: tuple[int, ...] = ()
    stateless: bool = False
    both_ways: Mapping[str, str] = field(default_factory=dict)

    @property
    def tuned(self) -> list[str]:
        """The schemes that are tuned: dense, whose choice QSGD gets too, and others at the second budget."""
        return ["dense", *(self._at(name, self.budgets[1]) for name in self.names if name not in _WITHOUT_BUDGET)]

    @property
    def schemes(self) -> dict[str, str]:
        """What is run, and whose tuning it gets."""
        found: dict[str, str] = {}
        for name in self.names:
            if name in _WITHOUT_BUDGET:
                found[name] = "dense"
            else:
                tuned = self._at(name, self.budgets[1])
                for budget in self.budgets:
                    found[self._at(name, budget)] = "dense" if budget in self.like_dense else tuned
        return found

    def seeds_of(self, scheme: str) -> int:
        """How many seeds a scheme is run with."""
        name, budget, _ = parse(scheme)
        more = name == "dense" or (name in self.schemes_with_more_seeds and budget in self.budgets_with_more_seeds)
        return self.more_seeds if more else 1

    def only(self, names: list[str] | None) -> Comparison:
        """The same with some of the schemes; None for all."""
        return self if names is None else replace(self, names=tuple(names))

    def runs(self, base: Settings, chosen: Mapping[str, Mapping[str, float]], most_seeds: int) -> Iterator[Settings]:
        """What is run, with the hyperparameters that were chosen for tuned schemes; first seeds first."""
        for seed in range(min(most_seeds, max(map(self.seeds_of, self.schemes)))):
            for scheme, tuned in self.schemes.items():
                if seed < self.seeds_of(scheme):
                    run = trial(replace(base, scheme=scheme, seed=seed), chosen[tuned])
                    yield run
                    if scheme in self.both_ways:
                        yield replace(run, downlink=self.both_ways[scheme], known_initial=True)

    def _at(self, name: str, budget: int) -> str:
        return f"{name}:{budget}" + (_STATELESS if self.stateless and name not in _WITHOUT_MEMORY else "")


def _at_shares(
    settings: Mapping[str, Any], budgets: tuple[int, ...], grid: Grid, held_out: int = HELD_OUT
) -> Comparison:
    """A model at about 1/8,000, 1/2,000, 1/1,000 and 1/100 of its bytes.

    The largest get dense's hyperparameters: what speeds up small messages makes these diverge.
    """
    return Comparison(settings, budgets, grid, held_out, budgets_with_more_seeds=budgets[1:3], like_dense=budgets[3:])


_LENET = {"workload": "lenet5", "dataset": "fashion", "local_steps": 20, "batch_size": 32, "test_every": 5}
OTHER_MODELS = {
    "lenet5-fashion": _at_shares(_LENET, (218, 862, 2000, 17243), _SGD),
    "resnet20-fashion": _at_shares({"workload": "resnet20"}, (136, 544, 1089, 10887), _SGD),
    "transformer-shakespeare": _at_shares({"workload": "transformer"}, (231, 926, 1852, 18524), _ADAMW, 1000),
    "lora-shakespeare": _at_shares({"workload": "lora"}, (24, 98, 197, 1966), _ADAMW, 1000),
}
_CLIPPED = AVERAGED | {"max_grad_norm": 2, "fading": True}
_FEDSLOP: Grid = (
    {"learning_rate": 0.018, "momentum": 0.0, "server_momentum": 0.8},  # FedAvg-M, as published
    _CLIPPED | {"weight_decay": 0.0, "learning_rate": 0.05, "server_learning_rate": 2},
    _CLIPPED | {"weight_decay": 0.0, "learning_rate": 0.1},
    _CLIPPED | {"weight_decay": 0.0, "learning_rate": 0.1, "server_learning_rate": 1.5},
    _CLIPPED | {"weight_decay": 0.0, "learning_rate": 0.1, "server_learning_rate": 2},
)
FEDSLOP = {
    "mnist": Comparison(
        {
            "workload": "mlp",
            "dataset": "mnist",
            "clients": 50,
            "clients_per_round": 10,
            "partition": "dirichlet:0.1",
            "equal_weights": True,
            "test_every": 5,
        },
        (218, 580, 2000),
        _FEDSLOP,
        names=("dense", "surp", "surp-unbiased", "stc"),
        schemes_with_more_seeds=("surp", "surp-unbiased", "stc"),
        budgets_with_more_seeds=(218, 580, 2000),
    )
}
_STEADY = AVERAGED | {"learning_rate": 0.1, "max_grad_norm": 2}
_MANY_CLIENTS: Grid = (  # who take part once: what a message leaves out is lost
    {"learning_rate": 0.05, "weight_decay": 0.001, "max_grad_norm": 2} | RAMP,
    {"learning_rate": 0.1, "weight_decay": 0.001, "max_grad_norm": 2} | RAMP,
    _STEADY,
    _STEADY | {"server_learning_rate": 2},
    _STEADY | {"server_learning_rate": 0.5},
    _STEADY | {"server_learning_rate": 0.5, "server_momentum": 0.5},
    _STEADY | {"server_learning_rate": 2, "server_momentum": 0.5},
)
_MANY = {
    "workload": "lenet5",
    "clients": 1000,
    "clients_per_round": 10,
    "local_steps": 10,
    "batch_size": 32,
    "test_every": 5,
}
CROSS_DEVICE = {
    f"{dataset}-{name}": Comparison(
        _MANY | {"dataset": dataset, "partition": partition},
        (218, 1000, 2000),
        _MANY_CLIENTS,
        names=("dense", "qsgd", "surp-unbiased", "surp", "stc", "top-k", "eden"),
        schemes_with_more_seeds=("surp-unbiased", "stc", "eden"),
        budgets_with_more_seeds=(1000,),
        stateless=True,
        both_ways={"surp-unbiased:1000": "surp:2000"},
    )
    for dataset in ("mnist", "fashion")
    for name, partition in (("iid", "iid"), ("skewed", "label-skew:0.1"))
}
