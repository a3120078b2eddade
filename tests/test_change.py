"""The sections of a change: all that travels for a model, counted, and read whatever comes."""

from __future__ import annotations

import binascii
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from surp_fl import STC, CompressUpdates, Dense, Layout, MalformedMessage, SuRP, TopK
from surp_fl.change import Change, change_of
from surp_fl.codecs.codec import Scheme
from surp_fl.integer_arrays import read_integers, write_integers
from surp_fl.statistics_section import read_statistics, share_of, write_statistics
from surp_fl.strategies import DecodeUpdates
from surp_fl.strategies.untrained_mean import UntrainedMean
from tests.flower_app import Arrays, app_with, fedavg, initial, learn, run

DTYPES = [np.dtype(code) for code in ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")]


@st.composite
def two_models(draw: st.DrawFn) -> tuple[Arrays, Arrays]:
    """Two models of some integer and boolean arrays, of which some differ."""
    before, after = {}, {}
    for place in range(draw(st.integers(1, 5))):
        dtype = draw(st.sampled_from(DTYPES))
        shape = draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=7)) if draw(st.booleans()) else (30,)
        before[f"a{place}"] = draw(hnp.arrays(dtype, shape))
        after[f"a{place}"] = draw(hnp.arrays(dtype, shape)) if draw(st.booleans()) else before[f"a{place}"].copy()
    return before, after


def section(told: bytes) -> bytes:
    """A section of integer arrays that says this, with its check."""
    body = b"\0" + told
    return binascii.crc_hqx(body, 0).to_bytes(2, "big") + body


@given(two_models())
def test_integer_arrays_come_back_as_they_are(models: tuple[Arrays, Arrays]) -> None:
    before, after = models
    layout = Layout.of(before)
    found = read_integers(write_integers(before, after, layout), before, layout)
    for name, array in after.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape


def test_changes_behind_unchanged_arrays_are_decoded_for_the_right_arrays() -> None:
    before = {name: np.array([True, False, True, False]) for name in ("a", "b", "c", "d", "e")}
    after = before | {"c": np.array([False, True, True, False]), "e": np.array([True, True, True, True])}
    layout = Layout.of(before)
    found = read_integers(write_integers(before, after, layout), before, layout)
    assert {name: array.tolist() for name, array in found.items()} == {
        name: array.tolist() for name, array in after.items()
    }


@pytest.mark.parametrize("size", [3, 30])
def test_integer_arrays_of_foreign_byte_order_come_back_as_they_are(size: int) -> None:
    before = {"a": np.arange(size).astype(">i4")}
    after = {"a": (np.arange(size) * 1000 - 7).astype(">i4")}
    layout = Layout.of(before)
    assert read_integers(write_integers(before, after, layout), before, layout)["a"].tolist() == after["a"].tolist()


@given(two_models(), st.binary(max_size=40))
def test_any_section_of_integer_arrays_is_read_or_malformed(models: tuple[Arrays, Arrays], told: bytes) -> None:
    before, _ = models
    layout = Layout.of(before)
    for sent in (told, section(told)):
        try:
            found = read_integers(sent, before, layout)
        except MalformedMessage:
            continue
        layout.check(found)
        assert all(array.max(initial=0) <= 1 for array in found.values() if array.dtype == bool)


def test_integer_arrays_that_did_not_change_take_nothing_and_counters_a_byte_or_two() -> None:
    before = {f"bn{i}.num_batches_tracked": np.array(1000 + i, np.int64) for i in range(53)}
    layout = Layout.of(before)
    assert write_integers(before, before, layout) == b""
    one = before | {"bn7.num_batches_tracked": np.array(1027, np.int64)}
    assert len(write_integers(before, one, layout)) == 5
    all_of_them = {name: array + 20 for name, array in before.items()}
    assert len(write_integers(before, all_of_them, layout)) <= 12


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (b"\0", "is damaged"),
        (section(b"\0\x28")[:-1] + b"\x29", "is damaged"),
        (section(b"\2\x28"), "number 2 changed; this model has 2"),
        (section(b"\0"), "ends within an array"),
        (section(b"\0" + b"\xff" * 10), "more than 70 bits"),
        (section(b"\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\x03"), "more than int64 holds"),
        (section(b"\1" + bytes(99) + b"\2"), "neither true nor false"),
        (binascii.crc_hqx(b"\2", 0).to_bytes(2, "big") + b"\2", "has form 2"),
        (binascii.crc_hqx(b"\1?", 0).to_bytes(2, "big") + b"\1?", "cannot be inflated|ends too early"),
    ],
)
def test_the_error_of_a_damaged_section_of_integer_arrays_says_what_is_wrong(sent: bytes, says: str) -> None:
    before = {"count": np.array(5, np.int64), "mask": np.zeros(100, np.bool_)}
    with pytest.raises(MalformedMessage, match=says):
        read_integers(sent, before, Layout.of(before))


def test_a_section_that_inflates_without_end_takes_the_memory_of_the_model() -> None:
    before: Arrays = {"mask": np.zeros(100_000, np.uint8)}
    body = b"\1" + zlib.compress(bytes(1 << 28), 9, -15)
    sent = binascii.crc_hqx(body, 0).to_bytes(2, "big") + body
    layout = Layout.of(before)
    tracemalloc.start()
    with pytest.raises(MalformedMessage, match=r"holds more than [0-9,]+ bytes"):
        read_integers(sent, before, layout)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 100_000 + 2 * len(sent)


BN: Arrays = {
    "conv.weight": np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32),
    "bn.running_mean": np.zeros(90, np.float32),
    "bn.running_var": np.ones(90, np.float32),
    "bn.num_batches_tracked": np.array(0, np.int64),
}
LAYOUT = Layout.of(BN)


def trained() -> Arrays:
    rng = np.random.default_rng(1)
    return {
        "conv.weight": BN["conv.weight"] + rng.standard_t(2, size=(40, 30)).astype(np.float32),
        "bn.running_mean": rng.normal(size=90).astype(np.float32),
        "bn.running_var": rng.gamma(1, size=90).astype(np.float32),
        "bn.num_batches_tracked": np.array(20, np.int64),
    }


def made(scheme: Scheme) -> Change:
    after = trained()
    wanted = LAYOUT.difference(after, BN)
    return change_of(scheme, wanted, BN, after, LAYOUT, np.random.default_rng(0), None)


@pytest.mark.parametrize("kind", [SuRP, STC, TopK])
@pytest.mark.parametrize("budget", [16, 31, 32, 40, 64, 100, 218, 700, 5000])
def test_all_sections_together_fit_into_the_budget_and_statistics_take_a_quarter(kind: Any, budget: int) -> None:
    change = made(kind(budget=budget))
    assert change.payload <= max(budget, 16 + len(change.integers))
    assert len(change.statistics) <= max(budget // 4, 16)
    assert (len(change.statistics) > 0) == (budget >= 40)
    assert len(change.message) > 0
    assert int(change.untrained(BN, LAYOUT)["bn.num_batches_tracked"]) == 20


def test_statistics_that_fit_as_they_are_arrive_as_they_are() -> None:
    found = made(SuRP(budget=4000)).untrained(BN, LAYOUT)
    for name, array in trained().items():
        if name.startswith("bn.running"):
            np.testing.assert_allclose(found[name], array, rtol=1e-6, atol=1e-6)
    assert made(Dense()).untrained(BN, LAYOUT)["bn.running_var"].tolist() == found["bn.running_var"].tolist()


def test_statistics_within_a_quarter_of_218_bytes_come_closer_to_what_they_are() -> None:
    change = made(SuRP(budget=218))
    found, after = change.untrained(BN, LAYOUT), trained()
    for name in ("bn.running_mean", "bn.running_var"):
        assert np.linalg.norm(found[name] - after[name]) < 0.8 * np.linalg.norm(BN[name] - after[name])
    assert (found["bn.running_var"] >= 0).all()


def norms_of(count: int) -> tuple[Arrays, Arrays, Layout]:
    rng = np.random.default_rng(3)
    before: Arrays = {}
    for place in range(count):
        before[f"{place}.running_mean"] = np.zeros(30, np.float32)
        before[f"{place}.running_var"] = np.ones(30, np.float32)
    after = {name: array + rng.uniform(0.2, 0.4, 30).astype(np.float32) for name, array in before.items()}
    return before, after, Layout.of(before)


def test_clients_tell_statistics_in_turns_and_together_all_of_them_well() -> None:
    before, after, layout = norms_of(20)
    total = {name: np.zeros(30) for name in before}
    told = {name: np.zeros(30) for name in before}
    for client in range(24):
        section = write_statistics(before, after, layout, 100, np.random.default_rng(client), in_turns=True)
        assert len(section) <= 100
        found = read_statistics(section, before, layout)
        changed = {name: found[name] != before[name] for name in before}
        assert 5 <= sum(each.any() for each in changed.values()) <= 10  # 291 of 1,200 values, in whole arrays
        for name, each in changed.items():
            told[name] += each
            total[name] += found[name].astype(float) - before[name]
    counts = np.concatenate([told[name] for name in before])
    assert np.mean(counts > 0) > 0.98
    means = np.concatenate([total[name] for name in before]) / np.maximum(counts, 1)
    changes = np.concatenate([after[name].astype(float) - before[name] for name in before])
    assert np.sqrt(np.mean((means - changes) ** 2)) < 0.08  # of changes of 0.3
    alone = read_statistics(write_statistics(before, after, layout, 100, np.random.default_rng(0)), before, layout)
    assert sum((alone[name] != before[name]).any() for name in before) > 20


def test_the_mean_of_statistics_told_in_turns_is_not_that_of_their_large_changes_alone() -> None:
    before, _, layout = norms_of(20)
    rng = np.random.default_rng(4)
    after = {name: array + rng.exponential(0.2, array.size).astype(np.float32) for name, array in before.items()}
    mean = UntrainedMean(layout, before)
    for client in range(200):
        section = write_statistics(before, after, layout, 100, np.random.default_rng(client), in_turns=True)
        mean.add(1.0, read_statistics(section, before, layout), in_part=True)
    found = mean.mean()
    for kind in ("running_mean", "running_var"):
        changes = [np.mean(found[name] - before[name]) for name in before if kind in name]
        assert 0.8 * 0.2 < np.mean(changes) < 1.1 * 0.2


@pytest.mark.parametrize("size", [0, 100, 100_000])
def test_a_statistic_that_is_no_number_is_refused_whether_it_is_drawn_or_not(size: int) -> None:
    before, after, layout = norms_of(20)
    after["7.running_var"][3] = np.nan
    for client in range(5):
        with pytest.raises(ValueError, match=r"'7\.running_var' hold NaN or infinity"):
            write_statistics(before, after, layout, size, np.random.default_rng(client), in_turns=True)


def test_statistics_for_which_there_are_bytes_are_all_told() -> None:
    before, after, layout = norms_of(4)
    section = write_statistics(before, after, layout, 120, np.random.default_rng(0), in_turns=True)
    assert section == write_statistics(before, after, layout, 120, np.random.default_rng(1))


def test_a_section_says_whether_it_tells_all_statistics() -> None:
    assert made(SuRP(budget=4000)).tells_all_statistics
    assert not made(SuRP(budget=218)).tells_all_statistics
    assert not Change(made(SuRP(budget=218)).message).tells_all_statistics
    assert Change(made(Dense()).message).tells_all_statistics


def test_statistics_that_did_not_change_take_nothing() -> None:
    assert write_statistics(BN, BN, LAYOUT, 1000, np.random.default_rng(0)) == b""
    assert read_statistics(b"", BN, LAYOUT)["bn.running_var"] is BN["bn.running_var"]
    assert share_of(31) == 0


def test_a_dense_section_that_would_make_a_variance_negative_makes_it_zero() -> None:
    sent = Dense().codec.encode(np.full(180, -5, np.float32), LAYOUT.of_statistics, rng=np.random.default_rng(0))
    found = read_statistics(sent, BN, LAYOUT)
    assert found["bn.running_var"].tolist() == [0.0] * 90
    assert found["bn.running_mean"].tolist() == [-5.0] * 90


def test_a_section_of_statistics_for_another_model_is_malformed() -> None:
    sent = Dense().codec.encode(
        np.ones(3, np.float32), Layout.of({"x": np.ones(3, np.float32)}), rng=np.random.default_rng()
    )
    with pytest.raises(MalformedMessage):
        read_statistics(sent, BN, LAYOUT)
    other = STC(budget=50).codec.encode(np.ones(180, np.float32), LAYOUT.of_statistics, rng=np.random.default_rng(0))
    with pytest.raises(MalformedMessage, match="is a 'stc' message; expected dense or surp"):
        read_statistics(other, BN, LAYOUT)


MEGABYTES = 4_000_000


def with_integers(changed: bool) -> tuple[DecodeUpdates, list[int], Any]:
    """Two rounds with 4 MB of integers in the model; the sizes of the replies as Flower would carry them."""
    sizes: list[int] = []

    def learning(arrays: Arrays, node: int, server_round: int) -> Arrays:
        table = arrays.pop("table")
        arrays = learn(arrays, node, server_round)
        rng = np.random.default_rng(server_round)
        return arrays | {"table": rng.integers(0, 2**31, table.size, np.int32) if changed else table}

    def watch(reply: Message) -> Message:
        if reply.metadata.message_type == "train":
            (record,) = reply.content.config_records.values()
            sizes.append(sum(len(value) for value in record.values() if isinstance(value, bytes)))
        return reply

    def start() -> Arrays:
        return initial() | {"table": np.zeros(MEGABYTES // 4, np.int32)}

    strategy = DecodeUpdates(fedavg(fraction_evaluate=0.0))
    app = app_with([CompressUpdates(SuRP(budget=218))], learning)
    found = run(app, strategy, rounds=2, fault=watch, start=start)
    return strategy, sizes, found.result.train_metrics_clientapp[1]["surp-fl/compression_ratio"]


def test_integer_arrays_are_counted_where_they_travel_and_travel_only_where_they_changed() -> None:
    strategy, sizes, ratio = with_integers(changed=True)
    for traffic in strategy.traffic:
        assert all(MEGABYTES * 0.9 < payload < MEGABYTES * 1.01 for payload in traffic.payload_bytes_up)
    assert 0.99 < ratio < 1.1
    unchanged, smaller, better = with_integers(changed=False)
    assert better > 18_000
    assert all(payload <= 218 for traffic in unchanged.traffic for payload in traffic.payload_bytes_up)
    assert max(smaller) <= 218 + 20 < min(sizes)


@pytest.mark.parametrize("step", [63, 64, -64, -65, 127, 128, 8192, -8193, 1 << 40])
def test_counters_come_back_whatever_groups_their_differences_take(step: int) -> None:
    before: Arrays = {"a": np.array([5, 7]), "still": np.array(1), "b": np.array(9)}
    after: Arrays = {"a": np.array([5 + step, 7]), "still": np.array(1), "b": np.array(9 - step)}
    layout = Layout.of(before)
    back = read_integers(write_integers(before, after, layout), before, layout)
    assert {name: array.tolist() for name, array in back.items()} == {
        name: array.tolist() for name, array in after.items()
    }
    assert back["still"] is before["still"]
