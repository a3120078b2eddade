"""A scheme whose encoder starts from the last message is given it by the mod, round after round."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from surp_fl import CompressUpdates, Layout, PowerSGD
from surp_fl.flower.protocol import NAME
from surp_fl.flower.records import arrays_of
from surp_fl.memory import LAST_SENT, State
from surp_fl.strategies import DecodeUpdates
from surp_fl.types import Vector
from tests.flower_app import app_with, fedavg, initial, run


@dataclass(frozen=True)
class Noted(PowerSGD):
    """Records what each message started from."""

    starts: list[Vector | None] = field(default_factory=list)

    def continued(self, state: State) -> PowerSGD:
        self.starts.append(state.get(LAST_SENT))
        return super().continued(state)


def test_power_sgd_starts_from_what_its_client_sent_last() -> None:
    scheme = Noted(rank=1)
    done = run(app_with([CompressUpdates(scheme)]), DecodeUpdates(fedavg(1)), rounds=3, nodes=1)
    changes = [
        Layout.of(initial()).flatten(after) - Layout.of(initial()).flatten(before)
        for before, after in zip(done.models[:-1], done.models[1:], strict=True)
    ]
    first, second, third = scheme.starts  # of one client, what was sent is what the model changes by
    assert first is None
    assert second is not None
    assert third is not None
    np.testing.assert_allclose(second, changes[0], atol=1e-6)
    np.testing.assert_allclose(third, changes[1], atol=1e-6)
    kept = arrays_of(done.grid.contexts[1].state.array_records[NAME])
    np.testing.assert_allclose(kept[LAST_SENT], changes[2], atol=1e-6)
