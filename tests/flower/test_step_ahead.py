"""A client that was away trains from the model plus a share of what it owes, and nothing is lost by that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message
from numpy.typing import NDArray

from surp_fl import CompressUpdates, ErrorFeedback, SuRP
from surp_fl.flower.protocol import NAME
from surp_fl.flower.records import arrays_of
from surp_fl.layout import Layout
from surp_fl.strategies import DecodeUpdates
from surp_fl.strategies.legacy import DecodeLegacyUpdates
from tests import legacy_app
from tests.flower_app import Arrays, Run, app_with, fedavg, learn, run

Vectors = list[NDArray[np.float32]]


def flat(arrays: Arrays) -> NDArray[np.float32]:
    return Layout.of(arrays).flatten(arrays)


def residual_in(context: Context) -> NDArray[np.float32]:
    return arrays_of(context.state.array_records[NAME])["residual"]


@dataclass
class Watch:
    """A mod behind the one under test: what node 0 starts from and ends with, and what it owed before."""

    begun: Vectors = field(default_factory=list)
    trained: Vectors = field(default_factory=list)
    owed: Vectors = field(default_factory=list)

    def __call__(self, message: Message, context: Context, call_next: Callable[..., Message]) -> Message:
        begun = flat(arrays_of(message.content.array_records["arrays"]))
        reply = call_next(message, context)
        if context.node_config["partition-id"] == 0 and not reply.has_error():
            self.begun.append(begun)
            self.trained.append(flat(arrays_of(reply.content.array_records["arrays"])))
            self.owed.append(residual_in(context) if NAME in context.state else 0 * begun)
        return reply


def away_in_round_2(arrays: Arrays, node: int, server_round: int) -> Arrays:
    if node == 0 and server_round == 2:
        raise RuntimeError("no power")
    return learn(arrays, node, server_round)


def watched(memory: ErrorFeedback, nodes: int, learning: Any = away_in_round_2) -> tuple[Watch, Run]:
    watch = Watch()
    app = app_with([CompressUpdates(SuRP(budget=100, memory=memory)), watch], learning)
    return watch, run(app, DecodeUpdates(fedavg(nodes, fraction_evaluate=0.0)), rounds=5, nodes=nodes)


def test_training_starts_ahead_by_a_share_of_the_residual_that_falls_with_the_rounds_taken_part_in() -> None:
    watch, found = watched(ErrorFeedback(step_ahead=0.75), nodes=2)
    np.testing.assert_array_equal(watch.begun[0], flat(found.models[0]))
    shares = {2: 1.0, 3: 2 * (1 - 2 / 3), 4: 2 * (1 - 3 / 4)}  # after taking part in 1 of 2 rounds, 2 of 3, 3 of 4
    for begun, owed, (place, share) in zip(watch.begun[1:], watch.owed[1:], shares.items(), strict=True):
        np.testing.assert_allclose(begun - flat(found.models[place]), 0.75 * share * owed, atol=1e-6)
    assert np.abs(watch.owed[1]).max() > 1e-3
    watch, found = watched(ErrorFeedback(step_ahead=0.75), 2, learn)
    assert all(np.array_equal(begun, flat(model)) for begun, model in zip(watch.begun, found.models, strict=False))


def test_what_was_learnt_ahead_is_sent_or_owed_and_what_was_owed_stays_owed() -> None:
    watch, found = watched(ErrorFeedback(step_ahead=1.0), nodes=1)
    assert not np.array_equal(watch.begun[1], flat(found.models[2]))
    learnt = np.sum([after - before for after, before in zip(watch.trained, watch.begun, strict=True)], axis=0)
    sent = flat(found.models[-1]) - flat(found.models[0])
    (context,) = found.grid.contexts.values()
    np.testing.assert_allclose(sent + residual_in(context), learnt, atol=1e-5)


def test_a_client_that_owes_more_than_the_model_starts_from_the_model() -> None:
    def explodes_first(arrays: Arrays, node: int, server_round: int) -> Arrays:
        arrays = away_in_round_2(arrays, node, server_round)
        if node == 0 and server_round == 1:
            arrays["weight"] += np.random.default_rng(node).normal(0, 100, (30, 20)).astype(np.float32)
        return arrays

    watch, found = watched(ErrorFeedback(step_ahead=1.0), 2, explodes_first)
    assert np.linalg.norm(watch.owed[1]) > np.linalg.norm(flat(found.models[2]))
    np.testing.assert_array_equal(watch.begun[1], flat(found.models[2]))


def test_running_statistics_and_counters_are_those_of_the_received_model() -> None:
    seen: list[Arrays] = []

    def remembers(arrays: Arrays, node: int, server_round: int) -> Arrays:
        if node == 0 and server_round == 3:
            seen.append({name: array.copy() for name, array in arrays.items()})
        return away_in_round_2(arrays, node, server_round)

    def start() -> Arrays:
        rng = np.random.default_rng(0)
        return {
            "norm.weight": rng.normal(size=50).astype(np.float16),
            "norm.running_mean": rng.normal(size=50).astype(np.float32),
            "norm.running_var": np.ones(50, np.float32),
            "norm.num_batches_tracked": np.array(3),
        }

    scheme = SuRP(budget=100, memory=ErrorFeedback(step_ahead=1.0))
    app = app_with([CompressUpdates(scheme)], remembers)
    found = run(app, DecodeUpdates(fedavg(2, fraction_evaluate=0.0)), rounds=3, nodes=2, start=start)
    (begun,), model = seen, found.models[2]
    assert not np.array_equal(begun.pop("norm.weight"), model["norm.weight"])
    for name, array in begun.items():
        np.testing.assert_array_equal(array, model[name])
        assert array.dtype == model[name].dtype


@pytest.mark.parametrize("downlink", [None, SuRP(budget=900)], ids=["whole models", "changes"])
def test_a_numpy_client_trains_ahead_too(downlink: SuRP | None) -> None:
    seen: dict[tuple[int, int], legacy_app.Model] = {}

    def remembers(model: legacy_app.Model, node: int, server_round: int) -> legacy_app.Model:
        seen[node, server_round] = [array.copy() for array in model]
        if (node, server_round) == (0, 2):
            raise RuntimeError("no power")
        return legacy_app.learn(model, node, server_round)

    scheme = SuRP(budget=100, memory=ErrorFeedback(step_ahead=1.0))
    app = legacy_app.LegacyApp([CompressUpdates(scheme)], remembers)
    found = legacy_app.run(app.client_app(), DecodeLegacyUpdates(legacy_app.Keeping(), downlink=downlink))
    present, back = seen[1, 3], seen[0, 3]
    assert [array.dtype for array in back] == [array.dtype for array in present]
    ahead = [ours.astype(np.float64) - model for ours, model in zip(back, present, strict=True)]
    assert np.abs(ahead[0]).max() > 1e-3
    assert back[-1] == present[-1]
    assert all(np.isfinite(array).all() for array in found.model)
