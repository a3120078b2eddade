"""Updates that codecs are compared on: those of one client, in turn, of a real run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="updates are those of a training run")

from simulations.experiments import recorded_updates
from simulations.experiments.recorded_updates import recorded


@pytest.mark.slow
def test_two_updates_of_one_client_in_turn_are_recorded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(recorded_updates, "ROUND", 2)
    monkeypatch.setattr(recorded_updates, "CLIENTS", 3)
    found = recorded("lenet5", "surp:ratio=1000", str(tmp_path), "digits")
    monkeypatch.setattr(recorded_updates, "record", None)  # it is not called again
    again = recorded("lenet5", "surp:ratio=1000", str(tmp_path), "digits")
    np.testing.assert_array_equal(again.update.vector, found.update.vector)
    owed = found.update.vector - found.update.delta
    sent = found.previous.vector - owed
    assert 0 < np.count_nonzero(sent) < owed.size / 10  # all else is still owed
    np.testing.assert_array_equal(found.previous.vector, found.previous.delta)
    np.testing.assert_array_equal(found.update.before, found.previous.model)
