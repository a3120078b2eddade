"""What one client sends in two rounds in a row, recorded once for each workload and kept: what codecs are compared on.

Ten clients with equal shares of the examples take part in every round, with each workload's own training.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simulations.app.datasets import data_root
from simulations.app.kept_arrays import kept_arrays
from simulations.app.settings import Settings
from simulations.app.training import load
from simulations.app.workloads import WORKLOADS
from simulations.experiments.messages import Recorded, record
from surp_fl import Layout
from surp_fl.types import Arrays

RECORDED = ("lenet5", "bn-cnn", "resnet20", "transformer", "lora")
SOURCES = ("dense", "surp:ratio=1000")  # an update alone; with a residual of earlier rounds
ROUND, CLIENTS = 10, 10
_CLIENT = 0
_VECTORS, _SHAPES = ("vector", "delta", "model", "before"), "shapes"  # by which they are kept


class InTurn(NamedTuple):
    """A client's update, and the one before."""

    update: Recorded
    previous: Recorded


def recorded(workload: str, source: str, root: str = "", dataset: str = "auto") -> InTurn:
    """An update of a workload's training.

    Args:
        workload, dataset: by their names.
        source: the scheme of the training.
        root: folder of the datasets.

    Raises:
        DataMissing: the dataset cannot be had.
    """
    settings = _settings(workload, source, data_root(root), dataset)
    recipe = repr([getattr(settings, name) for name in settings.of_the_run()])
    kept = kept_arrays(f"updates-{workload}", recipe, lambda: _recorded(settings))
    found = [_of(kept, settings.scheme, number) for number in (ROUND, ROUND - 1)]
    return InTurn(*found)


def _settings(workload: str, source: str, root: Path, dataset: str) -> Settings:
    given = {"rounds": ROUND, "test_every": ROUND, "clients": CLIENTS, "clients_per_round": 0, "partition": "iid"}
    defaults = {**WORKLOADS[workload].defaults, **given}
    name = load(workload, dataset, root).name
    return replace(Settings(workload=workload, scheme=source, dataset=name, data_root=str(root)), **defaults)


def _recorded(settings: Settings) -> Arrays:
    found: Arrays = {}
    for each in record(settings, (ROUND - 1, ROUND), range(settings.clients)):
        if each.client == _CLIENT:
            found |= {f"{each.server_round} {name}": getattr(each, name) for name in _VECTORS}
            shapes = {spec.name: spec.shape for spec in each.layout.floats}
            found[f"{each.server_round} {_SHAPES}"] = np.array(json.dumps(shapes))
    return found


def _of(kept: Arrays, source: str, number: int) -> Recorded:
    shapes = json.loads(str(kept[f"{number} {_SHAPES}"]))
    layout = Layout.of({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, {}, tied=False)
    vectors = (kept[f"{number} {name}"].astype(np.float32, copy=False) for name in _VECTORS)
    return Recorded(source, number, _CLIENT, layout, *vectors)
