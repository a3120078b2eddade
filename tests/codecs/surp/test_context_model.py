"""The context of a model is cached for the messages of a round, and never longer than the model stays the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from surp_fl import CompressUpdates, Layout, SuRP
from surp_fl.codecs.surp.context_model import Context
from surp_fl.immutable import immutable, is_immutable
from surp_fl.strategies import DecodeUpdates
from tests.flower_app import app_with, fedavg, run

Vector = NDArray[np.float32]
LAYOUT = Layout.of({"w": np.empty((60, 40), np.float32)})


def vector(seed: int = 0) -> Vector:
    return np.random.default_rng(seed).lognormal(size=LAYOUT.size).astype(np.float32)


def changed(model: Vector, place: int) -> Vector:
    after = model.copy()
    after[place] += 1
    return after


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """The models that tables were computed from, each time that they were."""
    seen: list[tuple[Any, Any]] = []
    compute = Context._compute

    def counted(layout: Layout, model: Vector | None, before: Vector | None) -> Context:
        seen.append((model, before))
        return compute(layout, model, before)

    monkeypatch.setattr(Context, "_compute", counted)
    monkeypatch.setattr("surp_fl.codecs.surp.context_model._cache", {})
    return seen


def test_a_model_that_was_frozen_thawed_changed_and_frozen_again_is_read_anew() -> None:
    model = vector()
    model.flags.writeable = False
    first = Context.of(LAYOUT, model).digest
    model.flags.writeable = True
    model[:40] = 1000
    model.flags.writeable = False
    assert Context.of(LAYOUT, model).digest != first


def test_nobody_can_write_to_an_immutable_vector() -> None:
    source = vector()
    kept = immutable(source)
    assert kept.tobytes() == source.tobytes()
    for view in (kept, kept[:5], kept.view(np.int32), kept.reshape(60, 40)):
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.flags.writeable = True
    source[0] = 7
    assert kept[0] != 7


def test_an_immutable_vector_is_not_copied_again() -> None:
    kept = immutable(vector())
    assert immutable(kept) is kept
    part = kept[3:]
    assert immutable(part) is part


def test_only_memory_of_bytes_counts_as_immutable() -> None:
    frozen = vector()
    frozen.flags.writeable = False
    for lent in (frozen, frozen[2:], np.frombuffer(bytearray(8), np.float32), np.frombuffer(memoryview(b"abcd"), "f4")):
        assert not is_immutable(lent)
        assert is_immutable(immutable(lent))
    assert is_immutable(immutable(frozen)[2:].view(np.int32))


def test_the_tables_of_an_immutable_model_are_computed_once(readings: list[Any]) -> None:
    model, before = immutable(vector()), immutable(changed(vector(), 5))
    for reference in (model, (model, before)):
        found = [Context.of(LAYOUT, reference) for _ in range(3)]
        assert found[0] is found[1] is found[2]
    assert len(readings) == 2


def test_messages_that_name_the_model_and_the_history_in_turn_compute_the_tables_once_each(readings: list[Any]) -> None:
    model, before = immutable(vector()), immutable(changed(vector(), 5))
    for _ in range(5):
        Context.of(LAYOUT, model)
        Context.of(LAYOUT, (model, before))
    assert len(readings) == 2


def test_a_kept_context_is_that_of_its_model_before_too() -> None:
    model = immutable(vector())
    first, second = (immutable(changed(vector(), place)) for place in (5, 50))
    by_hand = [Context._compute(LAYOUT, model, before).digest for before in (first, second, None)]
    assert len(set(by_hand)) == 3
    assert [Context.of(LAYOUT, given).digest for given in ((model, first), (model, second), model)] == by_hand
    assert Context.of(LAYOUT, (model, first)).digest == by_hand[0]
    del first
    assert Context.of(LAYOUT, model).digest == by_hand[2]


def test_a_kept_context_is_that_of_its_layout_too() -> None:
    model = immutable(vector())
    other = Layout.of({"w": np.empty((40, 60), np.float32)})
    assert Context.of(LAYOUT, model).digest != Context.of(other, model).digest


@pytest.mark.parametrize("downlink", [None, SuRP(budget=300, progressive=True)], ids=["whole", "downlink"])
def test_the_messages_of_a_round_share_one_context(downlink: SuRP | None, readings: list[tuple[Any, Any]]) -> None:
    """On the server: as many replies as there are nodes, one reading. On a client: one to write and to read back."""
    rounds, nodes = 2, 4
    app = app_with([CompressUpdates(SuRP(budget=100, progressive=True))])  # groups, which need a context
    strategy = DecodeUpdates(fedavg(nodes), downlink=downlink)
    run(app, strategy, rounds=rounds, nodes=nodes)
    assert [traffic.failures for traffic in strategy.traffic] == [0] * rounds
    readings = [(model, before) for model, before in readings if model is not None]  # not of the layout alone
    held = [(id(model), id(before)) for model, before in readings]
    changes = 0 if downlink is None else rounds * (1 + nodes)  # that go down, to be evaluated
    assert len(set(held)) == len(held) == rounds * (1 + nodes) + changes  # of the server one, and one of each client
    assert all(is_immutable(model) and (before is None or is_immutable(before)) for model, before in readings)


def test_the_vectors_of_benchmark_and_fuzzing_share_one_context() -> None:
    pytest.importorskip("torch", reason="the benchmark needs PyTorch")
    from simulations.benchmarks.codec import vector_of
    from tests.fuzz.messages import originals

    _, _, model, before = vector_of(4000)
    _, reference, _ = originals()
    assert isinstance(reference, tuple)
    assert all(map(is_immutable, (model, before, *reference)))
