"""The protocol of the comparison: which schemes are run, how they share the work, and what each is tuned over.

The hyperparameters of a trial are a point of one small grid, the same for all schemes. Its warm-up is a share of the
rounds. DGC brings momentum of its own, of the same strength, which must not come twice: its trials have none locally.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from simulations.app.schemes import named, parse
from simulations.app.settings import Settings

Hyperparameters = dict[str, float]
Grid = tuple[Hyperparameters, ...]

HELD_OUT = 5000  # training images that stand for the test images while schemes are tuned
LOCAL_MOMENTUM = 0.9
RAMP = {"final_rate": 0.1, "warm_up": 0.3}
AVERAGED = {"learning_rate": 0.05, "weight_decay": 0.001, "final_rate": 0.3, "warm_up": 0.3, "ema_decay": 0.9}
FASTER = {"server_learning_rate": 2, "fading": True}
GRID: Grid = (
    {"learning_rate": 0.015},
    {"learning_rate": 0.03, "server_momentum": 0.5} | RAMP,
    {"learning_rate": 0.05} | RAMP,
    {"learning_rate": 0.05, "weight_decay": 0.002} | RAMP,
    {"learning_rate": 0.1, "weight_decay": 0.002} | RAMP,
    AVERAGED,
    AVERAGED | FASTER,
)
_SAMPLED: Grid = (AVERAGED | {"server_learning_rate": 1.5, "fading": True},)  # more trials, where clients sit out
_CLIPPED: Grid = (  # and where their images differ as well: one client's local steps may explode
    AVERAGED | {"server_learning_rate": 1.5, "fading": True, "max_grad_norm": 2},
    AVERAGED | {"server_learning_rate": 2, "fading": True, "max_grad_norm": 2},
    AVERAGED | {"server_learning_rate": 0.5, "max_grad_norm": 2},
)

TUNED = ("dense", "surp:218", "surp:109", "stc:218", "top-k:2050", "rtop-k:2050:ratio=2", "dgc:2050")
SCHEMES = {  # what is run, and whose tuning it gets
    "dense": "dense",
    "qsgd": "dense",
    "surp:80": "surp:109",
    "surp:95": "surp:109",
    "surp:109": "surp:109",
    "surp:128": "surp:218",
    "surp:150": "surp:218",
    "surp:218": "surp:218",
    "surp:700": "surp:218",
    "surp:1000": "surp:218",
    "surp:1500": "surp:218",
    "stc:218": "stc:218",
    "stc:1000": "stc:218",
    "top-k:2050": "top-k:2050",
    "rtop-k:2050:ratio=1": "rtop-k:2050:ratio=2",
    "rtop-k:2050:ratio=2": "rtop-k:2050:ratio=2",
    "rtop-k:2050:ratio=10": "rtop-k:2050:ratio=2",
    "rtop-k:2050:ratio=100": "rtop-k:2050:ratio=2",
    "dgc:2050": "dgc:2050",
}
MORE_SCHEMES = {  # of some parts, and whose tuning they get
    "sampled_dirichlet": {f"surp-unbiased:{budget}": "surp-unbiased:700" for budget in (218, 700, 1000, 1500)},
}
BOTH_WAYS = {"surp:218": "surp:2000", "surp:700": "surp:1700"}  # what comes up, and what then goes down for models
WITH_MORE = {"surp:1000": "surp:1500", "surp:1500": "surp:2000"}  # the same, where most clients rest in a round
KNOWN_INITIAL = {  # by part: what comes up, and what then goes down, where clients make the first model
    "iid": {"surp:128": "surp:250:to=690", "surp:218": "surp:2000"},
    "sampled": {"surp:218": "lossless"},
    "sampled_dirichlet": {"surp:218": "lossless"},
}
PARTS: dict[str, dict[str, Any]] = {
    "iid": {},
    "dirichlet": {"partition": "dirichlet:0.5"},
    "sampled": {"clients_per_round": 3},
    "sampled_dirichlet": {"clients_per_round": 3, "partition": "dirichlet:0.5"},
}
TUNED_ON = {"dirichlet": "iid"}  # a part that gets the tuning of another one
GRIDS: dict[str, Grid] = {
    "iid": GRID,
    "sampled": (*GRID, *_SAMPLED),
    "sampled_dirichlet": (*GRID, *_SAMPLED, *_CLIPPED),
}


def tuned_in(part: str) -> list[str]:
    """The schemes that are tuned for a part."""
    return [*TUNED, *dict.fromkeys(MORE_SCHEMES.get(part, {}).values())]


def schemes_in(part: str) -> dict[str, str]:
    """What is run in a part, and whose tuning it gets."""
    return SCHEMES | MORE_SCHEMES.get(part, {})


def trial(settings: Settings, hyperparameters: Mapping[str, float]) -> Settings:
    """The settings with a grid point's hyperparameters."""
    given: dict[str, Any] = dict(hyperparameters)
    given["warm_up"] = round(given.get("warm_up", 0) * settings.rounds)
    given.setdefault("momentum", LOCAL_MOMENTUM)
    if named(parse(settings.scheme)[0]).brings_momentum:
        given["momentum"] = 0.0
    return replace(settings, **given)


def before_trial(settings: Settings, grid: Grid) -> Settings:
    """The settings of a trial without its point: the default of each hyperparameter that points of the grid name."""
    return replace(settings, **{name: getattr(Settings, name) for point in grid for name in point})


def runs_of(
    part: str, seeds: list[int], base: Settings, chosen: Mapping[str, Mapping[str, float]]
) -> Iterator[Settings]:
    """The runs of a part of the protocol, seed by seed, with the hyperparameters that were chosen for tuned schemes."""
    both_ways = BOTH_WAYS | WITH_MORE if "clients_per_round" in PARTS[part] else BOTH_WAYS
    for seed in seeds:
        for scheme, tuned in schemes_in(part).items():
            run = trial(replace(base, scheme=scheme, seed=seed, **PARTS[part]), chosen[tuned])
            yield run
            if scheme in both_ways:
                yield replace(run, downlink=both_ways[scheme])
            if scheme in (known := KNOWN_INITIAL.get(part, {})):
                yield replace(run, downlink=known[scheme], known_initial=True)
