"""Legacy apps, with NumPyClient and flwr.server, over the in-process grid: what they learn, send and see."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common import ndarrays_to_parameters
from flwr.server.strategy import (
    Bulyan,
    DifferentialPrivacyServerSideFixedClipping,
    FaultTolerantFedAvg,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
    FedYogi,
    Krum,
    QFedAvg,
    Strategy,
)

from surp_fl import CompressUpdates, Dense, SuRP
from surp_fl.codecs.codec import Scheme
from surp_fl.flower.protocol import NAME
from surp_fl.strategies.legacy import DecodeLegacyUpdates
from surp_fl.testing import InProcessGrid, as_server
from tests.legacy_app import Keeping, LegacyApp, Model, in_64ths, initial, options, run, start_in_64ths

SURP = SuRP(budget=400)


def app(scheme: Scheme = SURP, **others: Any) -> LegacyApp:
    return LegacyApp([CompressUpdates(scheme)], **others)


def towards(model: Model, node: int, server_round: int) -> Model:
    """A step from the model towards 3 times the initial one, as a client's training does; it counts batches."""
    best = [3 * array for array in initial()]
    return [
        array + (0.3 * (goal - array)).astype(array.dtype) if array.dtype.kind == "f" else array + 10
        for array, goal in zip(model, best, strict=True)
    ]


def left(model: Model) -> float:
    """What is left to learn of `towards`, as a share of the initial distance."""
    distances = [
        [np.linalg.norm(3 * first - array) for first, array in zip(initial(), each, strict=True)][:3]
        for each in (model, initial())
    ]
    return float(np.linalg.norm(distances[0]) / np.linalg.norm(distances[1]))


# What is learnt.


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("mean_alone", [None, False])
def test_dense_messages_give_the_same_model_to_the_bit_as_the_app_without_us(
    packed: bool, mean_alone: bool | None
) -> None:
    """In 64ths with equal weights, no sum or difference is rounded, and the order of replies does not matter."""
    plain, ours = (Keeping(initial_parameters=ndarrays_to_parameters(start_in_64ths())) for _ in range(2))
    run(LegacyApp([], in_64ths, lambda node: 8).client_app(), plain)
    wrapped = DecodeLegacyUpdates(ours, packed=packed, mean_alone=mean_alone)
    run(app(Dense(), learn=in_64ths, examples=lambda node: 8).client_app(), wrapped)
    assert len(plain.models) == len(ours.models) == 4
    for theirs, model in zip(plain.models, ours.models, strict=True):
        for before, after in zip(theirs, model, strict=True):
            assert before.tobytes() == after.tobytes()
            assert before.dtype == after.dtype
    assert any((first != last).any() for first, last in zip(ours.models[0], ours.models[-1], strict=True))


def test_dense_messages_give_nearly_the_same_floats_for_any_training() -> None:
    plain, ours = Keeping(), Keeping()
    run(LegacyApp([]).client_app(), plain)
    run(app(Dense()).client_app(), DecodeLegacyUpdates(ours))
    for before, after in zip(plain.models[-1][:5], ours.models[-1][:5], strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("downlink", [None, SuRP(budget=500)])
def test_compressed_legacy_updates_converge(downlink: Scheme | None) -> None:
    strategy = DecodeLegacyUpdates(FedAvg(**options()), downlink=downlink)
    done = run(app(SuRP(budget=300), learn=towards).client_app(), strategy, rounds=30)
    assert left(done.model) < 0.15
    assert all(size <= 300 for stats in strategy.traffic for size in stats.payload_bytes_up)
    assert [array.dtype for array in done.model] == [array.dtype for array in initial()]
    assert done.model[5] == 300
    if downlink is not None:
        assert max(strategy.traffic[-1].payload_bytes_down) <= 1000  # a delta up to training, one up to evaluation


def test_a_counter_on_which_all_clients_agree_is_exact() -> None:
    done = run(app().client_app(), DecodeLegacyUpdates(FedAvg(**options())), rounds=3)
    assert done.model[5].dtype == np.int64
    assert done.model[5] == 90


STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "FedAvg": lambda: FedAvg(**options()),
    "FedAvg, not in place": lambda: FedAvg(**options(inplace=False)),
    "FedProx": lambda: FedProx(**options(), proximal_mu=0.1),
    "FedAvgM": lambda: FedAvgM(**options(), server_learning_rate=0.5, server_momentum=0.5),
    "FedAdagrad": lambda: FedAdagrad(**options()),
    "FedAdam": lambda: FedAdam(**options()),
    "FedYogi": lambda: FedYogi(**options()),
    "FedMedian": lambda: FedMedian(**options()),
    "FedTrimmedAvg": lambda: FedTrimmedAvg(**options(), beta=0.25),
    "Krum": lambda: Krum(**options(), num_malicious_clients=1, num_clients_to_keep=2),
    "Bulyan": lambda: Bulyan(**options(), num_malicious_clients=0, to_keep=0),
    "FaultTolerantFedAvg": lambda: FaultTolerantFedAvg(**options()),
    "QFedAvg": lambda: QFedAvg(**{**options(), "evaluate_fn": lambda *_: (1.0, {})}, q_param=0.2),
    "DP": lambda: DifferentialPrivacyServerSideFixedClipping(FedAvg(**options()), 1e-5, 10.0, 4),
}
AVERAGING = {"FedAvg", "FedAvg, not in place", "FedProx", "FedAvgM", "FedAdagrad", "FedAdam", "FedYogi"}


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_trains_as_it_does_without_us(name: str) -> None:
    plain = run(LegacyApp([], towards).client_app(), STRATEGIES[name](), rounds=2)
    strategy = DecodeLegacyUpdates(STRATEGIES[name]())
    assert strategy.decoder.mean_alone == (name in AVERAGING)
    errors: list[str] = []

    def note(reply: Message) -> Message:
        errors.extend([str(reply.error.reason)] if reply.has_error() else [])
        return reply

    done = run(app(Dense(), learn=towards).client_app(), strategy, rounds=2, fault=note)
    assert errors == []
    tolerance = {"DP": 1e-3, "QFedAvg": 2e-3}.get(name, 1e-5)  # noise; Flower's norm of an update counts the counter
    for before, after, first in zip(plain.model[:5], done.model[:5], initial(), strict=False):
        np.testing.assert_allclose(after, before, atol=tolerance)
        assert after.dtype == first.dtype
    assert strategy.traffic[-1].failures == 0
    if name != "DP":  # which adds noise to the counter too
        assert done.model[5] == 20


def test_integer_arrays_are_averaged_beside_an_optimiser() -> None:
    def count(model: Model, node: int, server_round: int) -> Model:
        return [array + node if array.dtype.kind == "i" else array for array in model]

    examples = {"examples": lambda node: 10}
    done = run(app(Dense(), learn=count, **examples).client_app(), DecodeLegacyUpdates(FedAdam(**options())), rounds=2)
    assert done.model[5] == 4  # the mean of 0, 1, 2, 3 is 1.5, which is rounded to 2


# What strategies, apps and histories see.


@pytest.mark.parametrize("mean_alone", [None, False])
def test_the_strategy_aggregates_the_metrics_of_all_clients_as_they_sent_them(mean_alone: bool | None) -> None:
    given: list[Any] = []

    def aggregate(pairs: list[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
        given.append(sorted(pairs, key=lambda pair: pair[0]))
        return {"loss": sum(examples * metrics["loss"] for examples, metrics in pairs), "text": "abc"}

    inner = FedAvg(**options(fit_metrics_aggregation_fn=aggregate))
    done = run(app().client_app(), DecodeLegacyUpdates(inner, mean_alone=mean_alone), rounds=2)
    expected = [(10 + node, {"loss": 0.5 + node, "name": f"client {node}"}) for node in range(4)]
    assert given == [expected, expected]
    assert inner.fit_metrics_aggregation_fn is aggregate
    metrics = done.history.metrics_distributed_fit
    assert metrics["text"] == [(1, "abc"), (2, "abc")]
    assert [number for _, number in metrics["surp-fl/failures"]] == [0, 0]


def test_attributes_of_the_strategy_can_be_read_on_the_wrapper() -> None:
    inner = Keeping(fraction_fit=0.5)
    wrapper = DecodeLegacyUpdates(inner)
    assert wrapper.fraction_fit == 0.5
    assert wrapper.models is inner.models
    assert not hasattr(wrapper, "_private")
    assert repr(wrapper) == "DecodeLegacyUpdates(FedAvg(accept_failures=True))"


def test_evaluation_gives_the_loss_and_metrics_of_the_strategy() -> None:
    def aggregate(pairs: list[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
        return {"nodes": sorted(metrics["node"] for _, metrics in pairs)}

    inner = Keeping(evaluate_metrics_aggregation_fn=aggregate)
    done = run(app(Dense()).client_app(), DecodeLegacyUpdates(inner), rounds=2)
    norms = [float(np.linalg.norm(model[0])) for model in inner.models[1:]]
    assert [loss for _, loss in done.history.losses_distributed] == pytest.approx(norms)
    assert [str(nodes) for _, nodes in done.history.metrics_distributed["nodes"]] == ["[0, 1, 2, 3]"] * 2


@pytest.mark.parametrize("downlink", [None, SuRP(budget=500)])
@pytest.mark.parametrize("packed", [True, False])
def test_the_app_sees_its_own_config_alone(downlink: Scheme | None, packed: bool) -> None:
    inner = FedAvg(**options(on_evaluate_config_fn=lambda server_round: {"evaluated": server_round}))
    made = app()
    wrapped = DecodeLegacyUpdates(
        inner, downlink=downlink, packed=packed, budget_for=lambda *_: 200, statistics={3: "mean"}
    )
    run(made.client_app(), wrapped, rounds=3)
    expected = [{"round": number} for number in (1, 2, 3)] + [{"evaluated": number} for number in (1, 2, 3)]
    assert [made.configs.count(config) for config in expected] == [4] * 6
    assert len(made.configs) == 24


def test_the_in_process_grid_runs_one_node_after_the_other_though_the_server_asks_in_threads() -> None:
    running: list[int] = []
    most: list[int] = []

    def learn(model: Model, node: int, server_round: int) -> Model:
        running.append(node)
        time.sleep(0.05)
        most.append(len(running))
        running.remove(node)
        return model

    run(app(learn=learn).client_app(), DecodeLegacyUpdates(FedAvg(**options())), rounds=1)
    assert most == [1, 1, 1, 1]


def test_a_reply_is_one_record() -> None:
    replies: list[RecordDict] = []

    def note(reply: Message) -> Message:
        if reply.metadata.message_type == "train":
            replies.append(reply.content)
        return reply

    run(app().client_app(), DecodeLegacyUpdates(FedAvg(**options())), rounds=2, fault=note)
    assert {tuple(content) for content in replies} == {(NAME,)}
    assert len(replies) == 8


# Budgets, statistics, ties, sessions.


def test_each_node_keeps_to_its_budget() -> None:
    strategy = DecodeLegacyUpdates(FedAvg(**options()), budget_for=lambda node, server_round: 100 + 10 * node)
    run(app(SuRP(budget=1000)).client_app(), strategy, rounds=1)
    sizes = sorted(strategy.traffic[0].payload_bytes_up)
    assert all(size <= limit for size, limit in zip(sizes, (110, 120, 130, 140), strict=True))
    assert sizes[3] > 130


@pytest.mark.parametrize(("statistics", "trained"), [(None, 665), ({3: "mean", 4: "variance"}, 625)])
def test_statistics_are_named_by_their_place_and_have_no_residual(statistics: Any, trained: int) -> None:
    strategy = DecodeLegacyUpdates(FedAvg(**options()), statistics=statistics)
    done = run(app().client_app(), strategy, rounds=2)
    residual = done.grid.contexts[1].state.array_records[NAME]["residual"].numpy()
    assert residual.shape == (trained,)
    assert statistics is None or (done.model[4] >= 0).all()


def test_a_statistic_that_is_no_array_of_the_model_is_refused() -> None:
    with pytest.raises(ValueError, match="'9' is a 'mean'; expected the name of a float array"):
        run(app().client_app(), DecodeLegacyUpdates(FedAvg(**options()), statistics={9: "mean"}), rounds=1)


def test_tied_arrays_stay_equal() -> None:
    start = [*initial(), initial()[0]]

    def learn(model: Model, node: int, server_round: int) -> Model:
        step = np.random.default_rng([node, server_round]).normal(size=(30, 20)).astype(np.float32)
        return [array + step if array.shape == step.shape else array for array in model]

    inner = FedAvg(**options(initial_parameters=ndarrays_to_parameters(start)))
    done = run(app(learn=learn).client_app(), DecodeLegacyUpdates(inner))
    assert (done.model[0] != start[0]).any()
    assert np.array_equal(done.model[0], done.model[6])
    assert done.grid.contexts[1].state.array_records[NAME]["residual"].numpy().size == 665


def test_a_run_that_continues_the_model_keeps_residuals_and_another_drops_them() -> None:
    strategy = DecodeLegacyUpdates(inner := FedAvg(**options()))
    first = run(app().client_app(), strategy, rounds=2)
    session = first.grid.contexts[1].state.config_records["surp-fl:session"]["surp-fl:session"]
    for start, same in ((first.model, True), (initial(), False)):
        inner.initial_parameters = ndarrays_to_parameters(start)
        run(app().client_app(), strategy, rounds=1, grid=first.grid)
        now = first.grid.contexts[1].state.config_records["surp-fl:session"]["surp-fl:session"]
        assert (now == session) == same


def test_the_initial_model_may_come_from_a_client() -> None:
    strategy = DecodeLegacyUpdates(Keeping(initial_parameters=None))
    run(app().client_app(), strategy, rounds=1)
    for array, first in zip(strategy.strategy.models[0], initial(), strict=True):  # type: ignore[attr-defined]
        assert array.tobytes() == first.tobytes()


# What goes wrong costs one reply.


def damaged(node: int, number: int) -> Callable[[Message], Message | None]:
    """Flips a bit in one node's message of one of its train replies."""
    seen = 0

    def fault(reply: Message) -> Message | None:
        nonlocal seen
        if reply.metadata.message_type != "train" or reply.metadata.src_node_id != node:
            return reply
        seen += 1
        if seen == number:
            record = reply.content.config_records[NAME]
            message: Any = record[NAME]
            reply.content[NAME] = ConfigRecord({**record, NAME: message[:-1] + bytes([message[-1] ^ 1])})
        return reply

    return fault


@pytest.mark.parametrize("downlink", [None, SuRP(budget=500)])
def test_a_damaged_message_costs_one_reply_and_is_sent_again(
    downlink: Scheme | None, caplog: pytest.LogCaptureFixture
) -> None:
    strategy = DecodeLegacyUpdates(FedAvg(**options()), downlink=downlink)
    with caplog.at_level(logging.INFO, "flwr"):
        run(app().client_app(), strategy, rounds=3, fault=damaged(node=2, number=2))
    assert [stats.failures for stats in strategy.traffic] == [0, 1, 0]
    assert [len(stats.payload_bytes_up) for stats in strategy.traffic] == [4, 3, 4]
    assert "the reply of node 2 is left out of this round" in caplog.text
    assert "the message of round 2 was not applied: it is added back to the residual" in caplog.text


def test_a_client_that_fails_is_a_failure_to_the_strategy() -> None:
    failures: list[int] = []

    class Noting(FedMedian):
        def aggregate_fit(self, server_round: int, results: Any, failed: Any) -> Any:
            failures.append(len(failed))
            return super().aggregate_fit(server_round, results, failed)

    def fail(model: Model, node: int, server_round: int) -> Model:
        if node == 1 and server_round == 2:
            raise ArithmeticError("out of memory")
        return [array + 1 for array in model]

    run(app(learn=fail).client_app(), DecodeLegacyUpdates(Noting(**options())))
    assert failures == [0, 1, 0]


def test_a_lost_reply_is_a_failure_to_the_strategy_and_the_round_goes_on() -> None:
    def lose(reply: Message) -> Message | None:
        return None if reply.metadata.src_node_id == 3 and reply.metadata.message_type == "train" else reply

    strict = DecodeLegacyUpdates(Keeping(accept_failures=False))
    assert all(map(np.array_equal, run(app().client_app(), strict, fault=lose).model, initial()))
    lenient = DecodeLegacyUpdates(FedAvg(**options()))
    assert run(app().client_app(), lenient, fault=lose).model[5] == 90


def test_a_client_that_lost_the_model_is_sent_it_again_in_the_same_round() -> None:
    grids: list[Any] = []

    class Forgetting(Keeping):
        def evaluate(self, server_round: int, parameters: Any) -> None:
            super().evaluate(server_round, parameters)
            if server_round == 2:
                grids[0].contexts[2].state = RecordDict()

    strategy = DecodeLegacyUpdates(Forgetting(), downlink=SuRP(budget=500))
    with as_server():
        grids.append(InProcessGrid(app().client_app(), 4))
    done = run(app().client_app(), strategy, rounds=4, grid=grids[0])
    assert [stats.failures for stats in strategy.traffic] == [0, 0, 0, 0]
    full = sum(array.nbytes for array in initial())
    assert [sum(size >= full for size in stats.payload_bytes_down) for stats in strategy.traffic] == [4, 1, 0, 0]
    assert len(done.history.losses_distributed) == 4


def test_clients_may_make_the_first_model_of_a_legacy_app() -> None:
    by_place = {str(place): array for place, array in enumerate(initial())}
    mod = CompressUpdates(SURP, initial=lambda context: by_place)
    strategy = DecodeLegacyUpdates(Keeping(), downlink=SuRP(budget=500), initial="first")
    run(LegacyApp([mod]).client_app(), strategy)
    assert strategy.traffic[0].payload_bytes_down[:4] == [0] * 4
    assert [stats.failures for stats in strategy.traffic] == [0, 0, 0]
    assert not any(whole for stats in strategy.traffic for whole in stats.whole_models_down)


def test_an_update_that_is_not_finite_is_left_out() -> None:
    def explode(model: Model, node: int, server_round: int) -> Model:
        return [array + np.nan if node == 0 and array.dtype.kind == "f" else array + 1 for array in model]

    strategy = DecodeLegacyUpdates(FedAvg(**options()))
    done = run(app(learn=explode).client_app(), strategy, rounds=2)
    assert [stats.failures for stats in strategy.traffic] == [1, 1]
    assert all(np.isfinite(array).all() for array in done.model)
