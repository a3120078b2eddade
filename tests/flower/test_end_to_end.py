"""Rounds through real Flower objects: mod, messages as bytes, wrapped strategy."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAdam, FedAvg

from surp_fl import CompressUpdates, Dense, NoMemory, SuRP, TopK
from surp_fl.change import Change
from surp_fl.codecs.codec import Scheme
from surp_fl.errors import MalformedMessage
from surp_fl.flower.protocol import NAME
from surp_fl.flower.records import (
    CompressedReply,
    Stats,
    arrays_of,
    count_bytes,
    error_reply,
    from_record,
    record_of,
    to_record,
)
from surp_fl.layout import Layout
from surp_fl.strategies import DecodeUpdates
from surp_fl.strategies.replies import LINES, by_content, shorten_errors
from surp_fl.strategies.round_stats import DownlinkBytes, RoundStats
from surp_fl.strategies.validation import hint_for
from surp_fl.testing import InProcessGrid, as_server
from tests.flower_app import Arrays, Run, app_with, fedavg, initial, learn, run
from tests.schemes import SCHEMES
from tests.schemes import Row as SchemeRow

LAYOUT = Layout.of(initial())
SURP = SuRP(budget=100)


def compressed(scheme: Scheme = SURP, rounds: int = 3, **options: Any) -> Run:
    return run(app_with([CompressUpdates(scheme)]), DecodeUpdates(fedavg()), rounds, **options)


def residual(grid: InProcessGrid, node: int) -> np.ndarray[Any, Any]:
    state = grid.contexts[node].state
    return arrays_of(state.array_records[NAME])["residual"]


@pytest.mark.parametrize("row", SCHEMES, ids=str)
def test_every_scheme_trains_through_flower(row: SchemeRow) -> None:
    found = compressed(row.scheme)
    assert not np.array_equal(found.models[0]["weight"], found.models[-1]["weight"])
    assert found.result.train_metrics_clientapp[3]["loss"] == pytest.approx(0.5)
    assert found.result.train_metrics_clientapp[3]["surp-fl/failures"] == 0


def test_dense_gives_what_fedavg_gives_without_compression() -> None:
    plain = run(app_with([]), fedavg())
    dense = compressed(Dense())
    for name in ("weight", "bias", "wide"):  # plain FedAvg makes a float of the counter
        np.testing.assert_allclose(dense.models[-1][name], plain.models[-1][name], rtol=1e-5, atol=1e-6)


def test_the_server_applies_exactly_what_the_clients_remember_sending() -> None:
    """Σ wanted = Σ applied + residuals, with equal weights."""
    found = compressed(rounds=6)
    added = LAYOUT.flatten(found.models[-1]).astype(float) - LAYOUT.flatten(found.models[0])
    wanted, owed = np.zeros(LAYOUT.size), np.zeros(LAYOUT.size)
    weights = np.array([10, 11, 12]) / 33  # num-examples of the app
    for node, weight in enumerate(weights):
        for server_round in range(1, 7):
            before = {name: array.copy() for name, array in found.models[server_round - 1].items()}
            after = LAYOUT.flatten(learn(before, node, server_round)).astype(float)
            wanted += weight * (after - LAYOUT.flatten(found.models[server_round - 1]))
        owed += weight * residual(found.grid, node + 1)
    np.testing.assert_allclose(added + owed, wanted, atol=2e-5)
    assert np.linalg.norm(added) > 0.01


def test_names_shapes_dtypes_and_counters_survive_many_rounds() -> None:
    found = compressed(rounds=20)
    for name, array in initial().items():
        assert found.models[-1][name].dtype == array.dtype
        assert found.models[-1][name].shape == array.shape
    assert found.models[-1]["batches"] == 20 * 30


def test_an_adaptive_strategy_keeps_dtypes_too() -> None:
    inner = FedAdam(min_train_nodes=3, min_evaluate_nodes=3, min_available_nodes=3)
    found = run(app_with([CompressUpdates(SURP)]), DecodeUpdates(inner))
    assert {name: array.dtype for name, array in found.models[-1].items()} == {
        name: array.dtype for name, array in initial().items()
    }


def test_a_reply_is_one_record_that_flower_can_count() -> None:
    replies: list[Message] = []

    def watch(reply: Message) -> Message:
        if reply.metadata.message_type == "train":
            replies.append(reply)
        return reply

    compressed(rounds=1, fault=watch)
    for reply in replies:
        assert list(reply.content) == [NAME]
        assert isinstance(reply.content[NAME], ConfigRecord)
        assert count_bytes(reply.content) < 100 + 120


def test_payload_figures_are_the_lengths_of_all_sections() -> None:
    lengths: list[int] = []

    def watch(reply: Message) -> Message:
        if reply.metadata.message_type == "train":
            record = reply.content.config_records[NAME]
            lengths.append(sum(len(record.get(key, b"")) for key in (NAME, f"{NAME}:exact")))  # type: ignore[arg-type,misc]
        return reply

    strategy = DecodeUpdates(fedavg())
    run(app_with([CompressUpdates(SURP)]), strategy, fault=watch)
    counted = [size for traffic in strategy.traffic for size in traffic.payload_bytes_up]
    assert sorted(counted) == sorted(lengths)
    assert all(0 < seconds < 60 for traffic in strategy.traffic for seconds in traffic.decode_seconds)
    assert max(counted) <= 100
    model_bytes = sum(array.nbytes for array in initial().values())
    assert strategy.traffic[0].payload_bytes_down == 6 * [model_bytes]  # 3 to train, 3 to evaluate


def test_each_round_reports_what_it_cost_as_ordinary_metrics() -> None:
    strategy = DecodeUpdates(fedavg(), metrics="all")
    found = run(app_with([CompressUpdates(SURP)]), strategy)
    model_bytes = sum(array.nbytes for array in initial().values())
    for server_round, traffic in enumerate(strategy.traffic, 1):
        metrics = {name: float(value) for name, value in found.result.train_metrics_clientapp[server_round].items()}  # type: ignore[arg-type]
        assert metrics["surp-fl/payload_bytes_up_sum"] == sum(traffic.payload_bytes_up)
        assert metrics["surp-fl/payload_bytes_up_max"] == max(traffic.payload_bytes_up)
        assert metrics["surp-fl/payload_bytes_down_sum"] == 3 * model_bytes
        mean = sum(traffic.payload_bytes_up) / 3
        assert metrics["surp-fl/compression_ratio"] == pytest.approx(model_bytes / mean)
        assert 0 < metrics["surp-fl/relative_error_mean"] < 1
        assert metrics["surp-fl/residual_norm_mean"] > 0
        assert metrics["surp-fl/encode_seconds_mean"] > 0
        assert metrics["surp-fl/decode_seconds_mean"] > 0
        evaluated = found.result.evaluate_metrics_clientapp[server_round]
        assert evaluated["surp-fl/payload_bytes_down_sum"] == 3 * model_bytes


def test_the_order_of_replies_does_not_change_the_model() -> None:
    class Shuffled(DecodeUpdates):
        def aggregate_train(self, server_round: int, replies: Any) -> tuple[ArrayRecord | None, MetricRecord | None]:
            return super().aggregate_train(server_round, list(replies)[::-1])

    app = app_with([CompressUpdates(SURP)])
    first, second = (run(app, strategy(fedavg())) for strategy in (DecodeUpdates, Shuffled))
    for name, array in first.models[-1].items():
        np.testing.assert_array_equal(array, second.models[-1][name])


def test_client_stats_beyond_float32_are_reported_as_its_largest_number() -> None:
    update = CompressedReply(Change(b"1234"), {}, Stats(0.5, 1e300, float("inf")))
    stats = from_record(to_record(update)).stats
    largest = float(np.finfo(np.float32).max)
    assert stats == Stats(0.5, largest, largest)


@pytest.mark.parametrize(
    ("odd", "usual"),
    [(np.array([1, np.nan, 2, 3, 4], "<f4").tobytes(), Stats(1, None, 2, 3, 4)), (b"cut", Stats()), (7, None)],
)
def test_odd_statistics_of_a_client_count_as_missing_and_its_reply_counts(odd: Any, usual: Stats | None) -> None:
    def with_odd_stats(reply: Message) -> Message:
        reply.content.config_records[NAME]["surp-fl:stats"] = odd
        return reply

    strategy = DecodeUpdates(fedavg())
    run(app_with([CompressUpdates(SURP)]), strategy, rounds=1, fault=of_node(2, with_odd_stats))
    (traffic,) = strategy.traffic
    assert (traffic.failures, len(traffic.payload_bytes_up)) == (0, 3)
    assert len(traffic.relative_error) == 2
    assert len(traffic.residual_norm) == (2 if usual is None or usual.residual_norm is None else 3)


def test_names_of_the_apps_own_records_are_kept() -> None:
    seen: list[RecordDict] = []

    class Watching(FedAvg):
        def aggregate_train(self, server_round: int, replies: Any) -> Any:
            replies = list(replies)
            seen.extend(reply.content for reply in replies)
            return super().aggregate_train(server_round, replies)

    def reply(arrays: Arrays) -> RecordDict:
        metrics = MetricRecord({"num-examples": 1})
        return RecordDict({"trained": record_of(arrays), "numbers": metrics, "notes": ConfigRecord({"a": "b"})})

    run(app_with([CompressUpdates(SURP)], reply=reply), DecodeUpdates(Watching(min_available_nodes=3)), rounds=1)
    assert all(set(content) == {"trained", "numbers", "notes"} for content in seen)
    assert len(seen) > 0


def test_other_messages_pass_untouched() -> None:
    found = compressed()
    norms = found.result.evaluate_metrics_clientapp
    assert norms[3]["norm"] == pytest.approx(float(np.linalg.norm(found.models[-1]["weight"])))


# What goes wrong costs the one reply.


def of_node(node: int, change: Callable[[Message], Message | None]) -> Callable[[Message], Message | None]:
    def fault(reply: Message) -> Message | None:
        mine = reply.metadata.src_node_id == node and reply.metadata.message_type == "train"
        return change(reply) if mine else reply

    return fault


def damage(reply: Message) -> Message:
    record = reply.content.config_records[NAME]
    message = bytearray(record[NAME])  # type: ignore[arg-type]
    message[len(message) // 2] ^= 4
    record[NAME] = bytes(message)
    return reply


def cut(reply: Message) -> Message:
    record = reply.content.config_records[NAME]
    record[NAME] = record[NAME][:30]  # type: ignore[index]
    return reply


def without_message(reply: Message) -> Message:
    del reply.content.config_records[NAME][NAME]
    return reply


def with_a_text_as_metric(reply: Message) -> Message:
    reply.content.config_records[NAME]["loss"] = "a text"
    return reply


def with_a_damaged_counter(reply: Message) -> Message:
    record = reply.content.config_records[NAME]
    record["surp-fl:exact"] = record["surp-fl:exact"][:-1] + b"1"  # type: ignore[index,operator]
    return reply


def with_text_for_statistics(reply: Message) -> Message:
    reply.content.config_records[NAME]["surp-fl:statistics"] = "a text"
    return reply


def of_another_model(reply: Message) -> Message:
    vector = np.ones(7, np.float32)
    codec = SURP.codec
    made = codec.encode(vector, Layout.of({"other": vector}), rng=np.random.default_rng(0))
    reply.content.config_records[NAME][NAME] = made
    return reply


def of_a_future_scheme(reply: Message) -> Message:
    record = reply.content.config_records[NAME]
    record[NAME] = b"\x3f" + record[NAME][1:]  # type: ignore[index, operator]
    return reply


def uncompressed(reply: Message) -> Message:
    metrics = MetricRecord({"num-examples": 1, "loss": 0.1})
    reply.content = RecordDict({"arrays": record_of(initial()), "metrics": metrics})
    return reply


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (damage, "integrity check"),
        (cut, "damaged, cut or extended"),
        (without_message, "NoneType under 'surp-fl'; expected bytes"),
        (with_a_text_as_metric, "the metric 'loss' is str; expected a number"),
        (with_text_for_statistics, "str under 'surp-fl:statistics'; expected bytes"),
        (with_a_damaged_counter, "the section of integer arrays, 5 bytes, is damaged"),
        (of_another_model, "other names or shapes"),
        (of_a_future_scheme, "scheme id 31; this end knows"),
        (uncompressed, r"give its app ClientApp\(mods=\[CompressUpdates"),
    ],
)
def test_a_reply_that_cannot_be_used_costs_itself_and_not_the_round(
    change: Callable[[Message], Message], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    strategy = DecodeUpdates(fedavg())
    with caplog.at_level(logging.WARNING, "flwr"):
        logging.getLogger("flwr").propagate = True
        found = run(app_with([CompressUpdates(SURP)]), strategy, fault=of_node(2, change))
    assert re.search(f"the reply of node 2 is left out of this round: .*{says}", caplog.text, re.DOTALL)
    assert [traffic.failures for traffic in strategy.traffic] == [1, 1, 1]
    assert [len(traffic.payload_bytes_up) for traffic in strategy.traffic] == [2, 2, 2]
    assert not np.array_equal(found.models[0]["weight"], found.models[-1]["weight"])


def test_a_lost_reply_costs_itself() -> None:
    strategy = DecodeUpdates(fedavg())
    run(app_with([CompressUpdates(SURP)]), strategy, fault=of_node(2, lambda reply: None))
    assert [len(traffic.payload_bytes_up) for traffic in strategy.traffic] == [2, 2, 2]


def test_a_client_that_raises_keeps_its_residual() -> None:
    def learn_or_fail(arrays: Arrays, node: int, server_round: int) -> Arrays:
        if node == 1 and server_round == 3:
            raise RuntimeError("out of battery")
        return learn(arrays, node, server_round)

    app = app_with([CompressUpdates(SURP)], learn=learn_or_fail)
    two, three = (run(app, DecodeUpdates(fedavg()), rounds=rounds) for rounds in (2, 3))
    np.testing.assert_array_equal(residual(two.grid, 2), residual(three.grid, 2))
    assert not np.array_equal(residual(two.grid, 1), residual(three.grid, 1))


def error_of(app_learn: Callable[[Arrays, int, int], Arrays] = learn, **options: Any) -> str:
    """The reason that every client gives when all of them fail."""
    with pytest.raises(RuntimeError, match="none of the 3 replies could be used") as raised:
        run(app_with([CompressUpdates(SURP)], learn=app_learn, **options), DecodeUpdates(fedavg()))
    return str(raised.value)


def test_the_error_of_an_app_that_returns_another_model_says_the_difference() -> None:
    def grow(arrays: Arrays, node: int, server_round: int) -> Arrays:
        return arrays | {"bias": np.zeros(21, np.float32)}

    assert "not the model it received: array 'bias' has shape [21]; this model has [20]" in error_of(grow)


def test_the_error_of_a_diverged_app_says_so() -> None:
    def diverge(arrays: Arrays, node: int, server_round: int) -> Arrays:
        return arrays | {"bias": np.full(20, np.nan, np.float32)}

    assert "lower its learning rate" in error_of(diverge)


def test_the_error_of_a_mod_in_the_wrong_place_says_so() -> None:
    def swallow(message: Message, context: Context, call_next: Any) -> Message:
        reply: Message = call_next(message, context)
        for name in list(reply.content.array_records):
            del reply.content[name]
        return reply

    with pytest.raises(RuntimeError, match="must be the first"):
        run(app_with([CompressUpdates(SURP), swallow]), DecodeUpdates(fedavg()))


def test_a_server_of_another_scheme_says_which() -> None:
    with pytest.raises(RuntimeError, match="reads 'dense', this message is 'surp': give client and server the same"):
        run(app_with([CompressUpdates(SURP)]), DecodeUpdates(fedavg(), scheme=Dense()))


def test_a_metric_with_our_name_is_refused() -> None:
    def reply(arrays: Arrays) -> RecordDict:
        metrics = MetricRecord({"num-examples": 1, "surp-fl:stats": 2.0})
        return RecordDict({"arrays": record_of(arrays), "metrics": metrics})

    assert "rename the metric" in error_of(reply=reply)


def test_secagg_and_client_side_clipping_are_refused_with_the_reason() -> None:
    context = Context(1, 1, {}, RecordDict(), {})

    def handle(scheme: Scheme, records: dict[str, Any]) -> None:
        content = RecordDict({"arrays": record_of(initial()), **records})
        message = Message(content, dst_node_id=1, message_type="train")
        CompressUpdates(scheme)(message, context, app_with([]))

    clipping = {"config": ConfigRecord({"clipping_norm": 0.1, "server-round": 1})}
    with as_server():
        with pytest.raises(RuntimeError, match="SecAgg"):
            handle(SURP, {"secaggplus_configs": ConfigRecord({"stage": "setup"})})
        with pytest.raises(RuntimeError, match="memory=NoMemory"):
            handle(SURP, clipping)
        context.node_config["partition-id"] = 0
        handle(SuRP(budget=100, memory=NoMemory()), clipping)


def test_a_memory_of_another_model_starts_from_nothing() -> None:
    app = app_with([CompressUpdates(SURP)])
    grid = run(app, DecodeUpdates(fedavg()), rounds=1).grid
    before = residual(grid, 1)
    for context in grid.contexts.values():
        context.state[NAME] = record_of({"residual": np.ones(3, np.float32)})
    with as_server():
        DecodeUpdates(fedavg()).start(grid=grid, initial_arrays=record_of(initial()), num_rounds=1)
    np.testing.assert_array_equal(residual(grid, 1), before)


def test_clients_report_the_norm_of_their_residual_and_the_relative_error() -> None:
    def by_five(arrays: Arrays, node: int, server_round: int) -> Arrays:
        arrays["bias"][node] += 5
        arrays["bias"][node + 3] -= 12
        return arrays

    strategy = DecodeUpdates(fedavg())
    found = run(app_with([CompressUpdates(TopK(sparsity=0.999))], learn=by_five), strategy, rounds=1)
    (traffic,) = strategy.traffic  # one coordinate of two was sent
    assert traffic.relative_error == pytest.approx([5 / 13] * 3, rel=1e-5)
    assert traffic.residual_norm == pytest.approx([5.0] * 3, rel=1e-5)
    assert [np.count_nonzero(residual(found.grid, node)) for node in (1, 2, 3)] == [1, 1, 1]


def test_a_lossless_or_empty_update_has_no_residual() -> None:
    for scheme, learning in ((Dense(), learn), (SURP, lambda arrays, node, server_round: arrays)):
        strategy = DecodeUpdates(fedavg())
        run(app_with([CompressUpdates(scheme)], learn=learning), strategy, rounds=1)
        assert strategy.traffic[0].relative_error == [0.0] * 3
        assert strategy.traffic[0].residual_norm == [0.0] * 3


def test_the_figures_of_a_round_are_means_and_sums_of_what_was_counted() -> None:
    traffic = RoundStats(3, [10, 30], [20, 40], [1, 2], failures=2, model_bytes=120)
    traffic.record_downlink(DownlinkBytes([5], [7], [True]))
    traffic.record_downlink(DownlinkBytes([15], [9], [False]))
    traffic.record_client_stats(Stats(0.5, None, 2.0))
    traffic.record_client_stats(Stats(1.5, 0.25, None))
    metrics = MetricRecord({"loss": 1.0})
    traffic.add_to_metrics(metrics)
    assert dict(metrics) == {
        "loss": 1.0,
        "surp-fl/payload_bytes_up_mean": 20.0,
        "surp-fl/payload_bytes_down_mean": 10.0,
        "surp-fl/record_bytes_up_mean": 30.0,
        "surp-fl/record_bytes_down_mean": 8.0,
        "surp-fl/encode_seconds_mean": 1.0,
        "surp-fl/relative_error_mean": 0.25,
        "surp-fl/residual_norm_mean": 2.0,
        "surp-fl/payload_bytes_up_max": 30,
        "surp-fl/payload_bytes_up_sum": 40,
        "surp-fl/payload_bytes_down_sum": 20,
        "surp-fl/compression_ratio": 6.0,
        "surp-fl/failures": 2,
    }
    empty = MetricRecord()
    RoundStats(1).add_to_metrics(empty)
    assert dict(empty) == {"surp-fl/failures": 0}


def test_records_that_messages_share_are_counted_in_each() -> None:
    shared = record_of(initial())
    with as_server():
        messages = [
            Message(RecordDict({"arrays": record, "config": ConfigRecord({"a": 1})}), 1, "train")
            for record in (shared, shared, record_of({"a": np.zeros(3)}))
        ]
    counted = [count_bytes(message.content) for message in messages]
    assert counted[0] > counted[2] > 0
    assert DownlinkBytes.of([1, 2, 3], messages) == DownlinkBytes([1, 2, 3], counted, [True] * 3)


@pytest.mark.parametrize(
    "update",
    [
        CompressedReply(Change(b"1234"), {}, Stats(0.5, 0.25, 2.0, 4.0, 8.0)),
        CompressedReply(
            Change(b"1234", b"56", b"7"), {"loss": 1.5, "seen": [1, 2]}, Stats(None, 1.0, None), "a", "m", True
        ),
        CompressedReply(Change(b"1234", b"56"), {"loss": 1.5}, Stats(0.5, None, 0.0), None, "numbers"),
    ],
)
def test_an_update_comes_back_as_it_was(update: CompressedReply) -> None:
    assert from_record(to_record(update)) == update


@pytest.mark.parametrize("key", ["surp-fl:arrays", "surp-fl:metrics"])
def test_a_name_that_is_no_text_is_refused(key: str) -> None:
    record = to_record(CompressedReply(Change(b"1234"), {}, Stats(0.5, 0.25, 2.0)))
    record[key] = 7
    with pytest.raises(MalformedMessage, match="are not strings"):
        from_record(record)


def reply_of(node: int, record: dict[str, Any] | None = None) -> Message:
    """A reply of a node, with a record of ours or without one."""
    content = RecordDict({} if record is None else {NAME: ConfigRecord(record)})
    with as_server():
        sent = Message(RecordDict(), node, "train")
    return Message(content, reply_to=sent)


def test_replies_are_sorted_by_their_messages_and_without_one_by_their_node() -> None:
    odd, none = reply_of(4, {NAME: "text"}), reply_of(2)
    replies = [reply_of(1, {NAME: b"b"}), reply_of(3, {NAME: b"a"}), odd, error_reply(reply_of(5), "lost"), none]
    assert [reply.metadata.src_node_id for reply in sorted(replies, key=by_content)] == [2, 4, 5, 3, 1]


def test_the_first_errors_keep_their_reasons_and_codes_and_the_others_are_shortened() -> None:
    usable = reply_of(99)
    errors = [error_reply(reply_of(node), f"reason {node}", 7 + node) for node in range(1, LINES + 4)]
    found = shorten_errors([errors[0], usable, *errors[1:]])
    assert found.pop(1) is usable
    assert [reply.error.reason for reply in found[:LINES]] == [f"reason {node}" for node in range(1, LINES + 1)]
    assert [reply.error.reason for reply in found[LINES:]] == [f"as {LINES} others failed"] * 3
    assert [reply.error.code for reply in found] == [reply.error.code for reply in errors]


@pytest.mark.parametrize(
    ("reason", "packed", "says"),
    [
        ("KeyError: 'arrays'", "arrays", "travels as one array"),
        ("no model, only surp-fl:packed", "arrays", "travels as one array"),
        ("KeyError: 'arrays'", None, "put CompressUpdates first"),
        ("surp-fl: damaged", "arrays", None),
    ],
)
def test_the_error_of_an_app_that_does_not_find_the_model_says_that_it_is_packed(
    reason: str, packed: str | None, says: str | None
) -> None:
    hint = hint_for([error_reply(reply_of(1), "surp-fl: lost"), error_reply(reply_of(2), reason)], packed)
    assert hint == "" if says is None else says in hint
