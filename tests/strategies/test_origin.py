"""The model that a chain of deltas began with, which both ends hold: deltas are coded against what changed since."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import numpy as np
import pytest
from flwr.app import Context
from flwr.serverapp.strategy import FedAvg

from surp_fl import STC, CompressUpdates, ErrorFeedback, SuRP
from surp_fl.codecs.surp.decoder import HISTORY, MODEL, context_of
from surp_fl.flower.client_origin import load_origin
from surp_fl.flower.client_state import load_local_version
from surp_fl.flower.packed_model import digest_of
from surp_fl.flower.protocol import ORIGIN
from surp_fl.flower.records import arrays_of, record_of
from surp_fl.frame import HEADER_BYTES
from surp_fl.strategies import DecodeUpdates
from surp_fl.strategies.downlink.public_model import PublicModel
from surp_fl.testing import InProcessGrid, as_server
from tests.flower_app import Arrays, app_with, fedavg, run
from tests.strategies.test_downlink import Seen, Trouble

UP, DOWN = SuRP(budget=60, memory=ErrorFeedback()), SuRP(budget=60)


def start() -> Arrays:
    rng = np.random.default_rng(0)
    return {
        "weight": rng.normal(size=(150, 100)).astype(np.float32) / 10,
        "bias": np.zeros(100, np.float32),
        "running_mean": np.zeros(5, np.float32),
        "batches": np.array(0, np.int64),
    }


def learn(arrays: Arrays, node: int, server_round: int) -> Arrays:
    """Most of what is learned is in a few hundred weights, the same in all rounds."""
    rng = np.random.default_rng([node, server_round])
    arrays["weight"][:20, :15] += rng.standard_t(3, size=(20, 15)).astype(np.float32) / 100
    arrays["weight"] += rng.normal(size=(150, 100)).astype(np.float32) / 3000
    arrays["running_mean"] += np.float32(0.1)
    arrays["batches"] += 1
    return arrays


class Learner(Seen):
    def __call__(self, arrays: Arrays, node: int, server_round: int) -> Arrays:
        self.digests.setdefault(server_round, set()).add(digest_of(arrays))
        return learn(arrays, node, server_round)

    def agree(self) -> bool:
        return all(len(digests) == 1 for digests in self.digests.values())


def public(strategy: DecodeUpdates) -> PublicModel:
    downlink = strategy._delivery._downlink
    assert downlink is not None
    return downlink._public


def contexts(strategy: DecodeUpdates) -> list[int]:
    return [context_of(delta.change.message[HEADER_BYTES:]) for delta in public(strategy)._deltas]


def test_deltas_are_coded_against_what_has_changed_since_the_origin_and_lose_less() -> None:
    model = start()
    errors = {}
    for begins in (True, False):
        server, wanted = PublicModel(DOWN), {name: array.copy() for name, array in model.items()}
        for server_round in range(30):
            server.advance({name: array.copy() for name, array in wanted.items()})
            if not begins:
                server.drop_origin()
            wanted = learn(wanted, 0, server_round)
        assert {context_of(delta.change.message[HEADER_BYTES:]) for delta in server._deltas} == {
            HISTORY if begins else MODEL
        }
        errors[begins] = float(np.square(wanted["weight"] - server.arrays["weight"]).sum())
    assert errors[True] < 0.9 * errors[False]


@pytest.mark.parametrize("named", [None, "net"], ids=["sent", "made by clients"])
def test_who_comes_late_is_sent_the_origin_and_what_changed_and_reads_further_deltas(named: str | None) -> None:
    def forget(server_round: int, record: Any) -> None:
        if server_round == 6:
            grid.contexts[1].state.clear()

    seen, strategy = Learner(), DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=DOWN, initial=named)
    with as_server():
        grid = InProcessGrid(app_with([CompressUpdates(UP, initial=lambda context: start())], learn=seen), 3)
        strategy.start(grid=grid, initial_arrays=record_of(start()), num_rounds=12, evaluate_fn=forget)
    down = [traffic.payload_bytes_down for traffic in strategy.traffic]
    whole = public(strategy).origin
    assert whole is not None
    assert whole.version == digest_of(start())
    late = down[6][3]
    assert 0 < late - (0 if named else whole.packed.payload) < 6 * 60 + 50
    assert [len(sizes) for sizes in down] == [3] * 6 + [4] + 5 * [3]  # nobody has to ask a second time
    assert seen.agree()
    assert sum(traffic.failures for traffic in strategy.traffic) == 0
    assert set(contexts(strategy)[1:]) == {HISTORY}


def test_clients_store_the_origin_as_what_they_overwrote() -> None:
    strategy = DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=DOWN)
    found = run(app_with([CompressUpdates(UP)], learn=learn), strategy, rounds=8, start=start)
    context = found.grid.contexts[1]
    local = load_local_version(context)
    assert local is not None
    origin = load_origin(context, local)
    assert origin is not None
    assert [origin[name].tobytes() for name in ("weight", "bias")] == [
        start()[name].tobytes() for name in ("weight", "bias")
    ]
    stored = arrays_of(context.state.array_records[ORIGIN])
    assert 0 < sum(array.nbytes for array in stored.values()) < 0.2 * local["weight"].nbytes


def test_a_scheme_without_contexts_and_a_lossless_downlink_store_no_origin() -> None:
    downlinks: list[Any] = [STC(budget=60), "lossless"]
    for downlink in downlinks:
        strategy: Any = DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=downlink)
        found = run(app_with([CompressUpdates(UP)], learn=learn), strategy, rounds=4, start=start)
        assert ORIGIN not in found.grid.contexts[1].state
        assert public(strategy).origin is None


def learn_much(arrays: Arrays, node: int, server_round: int) -> Arrays:
    arrays["weight"][:] += np.float32(1 + server_round)
    return arrays


def test_both_ends_give_the_origin_up_where_a_quarter_has_changed() -> None:
    seen = Learner()
    strategy = DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=SuRP(budget=3000))
    scheme = SuRP(budget=3000, memory=ErrorFeedback())
    found = run(app_with([CompressUpdates(scheme)], learn=learn_much), strategy, rounds=8, start=start)
    assert public(strategy).origin is None
    assert ORIGIN not in found.grid.contexts[1].state
    assert MODEL in contexts(strategy)
    assert [len(traffic.payload_bytes_down) for traffic in strategy.traffic] == [3] * 8
    assert seen.agree()


def test_who_comes_after_the_origin_was_given_up_reads_the_deltas_from_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(server_round: int, record: Any) -> None:
        if server_round == 6:
            grid.contexts[1].state.clear()

    def learn_a_little(arrays: Arrays, node: int, server_round: int) -> Arrays:
        rng = np.random.default_rng(server_round)
        rows = rng.permutation(60)[:40]
        arrays["weight"][rows] += rng.normal(size=(40, 100)).astype(np.float32)
        return seen(arrays, node, server_round)

    monkeypatch.setattr(PublicModel, "merged_from", lambda self, version: None)  # as where that takes more bytes
    seen = Learner()
    strategy = DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=SuRP(1500, progressive=True), initial="net")
    scheme = SuRP(3000, progressive=True, memory=ErrorFeedback())
    with as_server():
        app = app_with([CompressUpdates(scheme, initial=lambda context: start())], learn=learn_a_little)
        grid = InProcessGrid(app, 3)
        strategy.start(grid=grid, initial_arrays=record_of(start()), num_rounds=9, evaluate_fn=forget)
    assert public(strategy).origin is None
    assert {HISTORY, MODEL} <= set(contexts(strategy))
    first = public(strategy).chain_from(digest_of(start()))
    assert first is not None
    assert first[0].needs_origin
    assert not first[-1].needs_origin
    down = [traffic.payload_bytes_down for traffic in strategy.traffic]
    assert [len(sizes) for sizes in down] == [3] * 6 + [4] + [3] * 2  # nobody has to ask a second time
    assert seen.agree()


@pytest.mark.parametrize("damage", ["lost", "other values", "other places", "places beyond the model", "no array"])
def test_a_client_whose_origin_was_damaged_is_sent_it_again_in_the_same_round(damage: str) -> None:
    def spoil(server_round: int, record: Any) -> None:
        if server_round != 5:
            return
        state = grid.contexts[1].state
        stored = arrays_of(state.array_records[ORIGIN])
        if damage == "other values":
            stored["values:weight"] = stored["values:weight"] * 3
        elif damage == "other places":
            stored["places:weight"] = stored["places:weight"][::-1].copy()
        elif damage == "places beyond the model":
            stored["places:weight"] = stored["places:weight"] + 10**6
        elif damage == "no array":
            stored["values:weight"] = stored["values:weight"][1:]
        del state[ORIGIN]
        if damage != "lost":
            state[ORIGIN] = record_of(stored)

    seen, strategy = Learner(), DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=DOWN)
    with as_server():
        grid = InProcessGrid(app_with([CompressUpdates(UP)], learn=seen), 3)
        strategy.start(grid=grid, initial_arrays=record_of(start()), num_rounds=8, evaluate_fn=spoil)
    assert [len(traffic.payload_bytes_down) for traffic in strategy.traffic] == [3] * 5 + [4] + 2 * [3]
    assert (seen.agree(), sum(traffic.failures for traffic in strategy.traffic)) == (True, 0)


def test_a_run_that_starts_near_the_initial_model_has_that_as_its_origin() -> None:
    near = start()
    near["weight"][0, :50] += 1
    far = {name: array + 1 if array.dtype.kind == "f" else array for name, array in start().items()}
    for first, version in ((near, digest_of(start())), (far, digest_of(far))):
        strategy = DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=DOWN, initial=start)
        seen = Learner()
        app = app_with([CompressUpdates(UP, initial=lambda context: start())], learn=seen)
        run(app, strategy, rounds=5, start=partial(dict, first))
        origin = public(strategy).origin
        assert origin is not None
        assert origin.version == version
        assert seen.digests[1] == {digest_of(first)}
        assert (seen.agree(), sum(traffic.failures for traffic in strategy.traffic)) == (True, 0)
        assert [len(traffic.payload_bytes_down) for traffic in strategy.traffic] == [3] * 5


def made_by(context: Context) -> Any:
    """The initial model, which node 3 does not make."""
    if int(context.node_config["partition-id"]) == 3:
        raise OSError("no such file")
    return start()


@pytest.mark.slow
@pytest.mark.parametrize("named", [None, "net"], ids=["sent", "made by clients"])
def test_no_loss_lets_a_client_train_from_another_model(named: str | None) -> None:
    """In 120 rounds; two more clients join in round 60."""
    random.seed(5)
    trouble, seen = Trouble(7), Learner()
    inner = FedAvg(fraction_train=0.5, min_train_nodes=3, min_available_nodes=6, fraction_evaluate=0.0)
    strategy = DecodeUpdates(inner, downlink=SuRP(budget=40), patience=10, initial=named)
    trouble.run(app_with([CompressUpdates(UP, initial=made_by)], learn=seen), strategy, rounds=120, start=start())
    assert all(trouble.happened[what] > 2 for what in ("lost", "damaged", "state lost", "held lost", "held damaged"))
    assert len(seen.digests) == 120
    assert seen.agree()
    assert public(strategy).origin is not None
