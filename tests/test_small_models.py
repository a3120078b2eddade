"""Models of a few parameters: no change and no reply has more bytes than it would have without compression."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest
from flwr.app import MetricRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st

from surp_fl import STC, Dense, PaperSuRP, SuRP, TopK
from surp_fl.change import Change, change_of
from surp_fl.codecs import SCHEMES, Scheme, reader_of
from surp_fl.codecs.surp_paper.scales import l1
from surp_fl.flower.protocol import NAME
from surp_fl.flower.records import CompressedReply, Stats, count_bytes, record_of, to_record
from surp_fl.layout import Layout
from surp_fl.types import Arrays

WITH_BUDGET = [
    *(scheme for row in SCHEMES.values() if row.has_budget for scheme in row.examples.values()),
    *(SuRP(ratio=1000), SuRP(ratio=1), SuRP(16), SuRP(2000), STC(16), TopK(2000), PaperSuRP(16)),
]
WITHOUT = [scheme for row in SCHEMES.values() if not row.has_budget for scheme in row.examples.values()]
NOT_OF_BYTES = [scheme for scheme in WITH_BUDGET if getattr(scheme, "budget", None) is None]  # but of steps, a sparsity


@dataclass(frozen=True)
class Case:
    before: Arrays
    after: Arrays

    @property
    def layout(self) -> Layout:
        return Layout.of(self.before)

    def coded(self, scheme: Scheme) -> Change:
        layout, rng = self.layout, np.random.default_rng(0)
        return change_of(scheme, layout.difference(self.after, self.before), self.before, self.after, layout, rng, None)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """1 to 200 parameters in up to eight arrays; with or without statistics, counters and a tied array."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 20)))
    dtype = draw(st.sampled_from(["f2", "f4", "f8"]))
    size = draw(st.one_of(st.integers(1, 40), st.integers(41, 200)))
    parts = np.array_split(rng.normal(size=size), draw(st.integers(1, min(size, 8))))
    before: Arrays = {f"w{place}": part.astype(dtype) for place, part in enumerate(parts)}
    if draw(st.booleans()):
        before["tied"] = before["w0"].copy()
    if statistics := draw(st.sampled_from([0, 1, 10, 60])):
        before |= {"bn.running_mean": np.zeros(statistics, "f4"), "bn.running_var": np.ones(statistics, "f4")}
    if integers := draw(st.sampled_from([0, 1, 100])):
        before["steps"] = np.arange(integers)
    keep = draw(st.sampled_from([0.0, 0.9]))  # share of the values that stay as they were
    after: Arrays = {}
    for name, array in before.items():
        step = rng.integers(1, 9, array.shape) if array.dtype.kind == "i" else np.abs(rng.standard_t(3, array.shape))
        after[name] = (array + step * (rng.random(array.shape) >= keep)).astype(array.dtype)
    if "tied" in before:
        after["tied"] = after["w0"].copy()
    return Case(before, after)


def label(scheme: Scheme) -> str:
    """The scheme without the addresses of its functions, which differ between processes."""
    return re.sub(r"<function (\w+) at \w+>", r"\1", repr(scheme))


@pytest.mark.parametrize("scheme", [*WITH_BUDGET, *WITHOUT], ids=label)
@settings(max_examples=30)
@given(case=cases())
def test_no_change_has_more_bytes_than_the_dense_one(scheme: Scheme, case: Case) -> None:
    change, dense = case.coded(scheme), case.coded(Dense())
    assert change.payload <= dense.payload
    assert len(change.message) <= len(dense.message)
    assert len(change.statistics) <= len(dense.statistics)
    case.layout.check(case.before | change.untrained(case.before, case.layout))


@pytest.mark.parametrize("scheme", [each for each in WITH_BUDGET if each not in NOT_OF_BYTES], ids=label)
@settings(max_examples=30)
@given(case=cases())
def test_no_reply_has_more_bytes_than_flowers_own(scheme: Scheme, case: Case) -> None:
    metrics = {"num-examples": 100, "loss": 0.5}
    plain = RecordDict({"arrays": record_of(case.after), "metrics": MetricRecord(dict(metrics))})
    compressed = to_record(CompressedReply(case.coded(scheme), metrics, Stats(0.1, 0.1, 0.1)))
    assert count_bytes(RecordDict({NAME: compressed})) <= count_bytes(plain)


def small(size: int, statistics: int, dtype: str = "f4") -> Case:
    rng = np.random.default_rng(0)
    before: Arrays = {"w": rng.normal(size=size).astype(dtype)}
    before |= {"bn.running_mean": np.zeros(statistics, "f4"), "bn.running_var": np.ones(statistics, "f4")}
    return Case(
        before, {name: array + rng.gamma(1, size=array.shape).astype(array.dtype) for name, array in before.items()}
    )


def test_a_dense_change_loses_nothing_of_statistics_that_are_more_than_the_weights() -> None:
    case = small(size=2, statistics=60)
    assert len(case.coded(Dense()).statistics) == 4 + 4 * 120
    found = case.coded(Dense()).untrained(case.before, case.layout)
    np.testing.assert_allclose(found["bn.running_var"], case.after["bn.running_var"], rtol=1e-6)


def test_statistics_take_what_the_message_of_a_small_model_leaves_of_the_budget() -> None:
    case = small(size=10, statistics=20)
    change = case.coded(SuRP(budget=218))
    assert len(change.statistics) == 4 + 4 * 40  # dense, where a quarter of the budget would be 54
    assert change.payload <= 218
    assert len(small(size=1000, statistics=20).coded(SuRP(budget=218)).statistics) <= 54


def test_statistics_are_sent_where_a_message_without_a_budget_is_short() -> None:
    change = small(size=200, statistics=20).coded(PaperSuRP(steps=1))
    assert len(change.message) < 16
    assert 0 < len(change.statistics) <= 16


@pytest.mark.parametrize("scheme", [SuRP(16), PaperSuRP(218, scale=l1, beta=1.5), TopK(218)], ids=label)
def test_up_to_three_parameters_are_sent_as_they_are(scheme: Scheme) -> None:
    for size in (1, 2, 3):
        case = small(size, statistics=0)
        message = case.coded(scheme).message
        assert len(message) == 4 + 4 * size
        decoded = reader_of(message).decode(message, case.layout)
        np.testing.assert_array_equal(decoded, case.layout.difference(case.after, case.before))


def test_a_float16_model_gets_no_larger_message_than_its_own_bytes_and_a_header() -> None:
    case = small(size=100, statistics=0, dtype="f2")
    assert len(case.coded(SuRP(budget=2000)).message) <= 2 * 100 + 2 + 32
    assert len(case.coded(Dense()).message) == 4 + 4 * 100  # which has no budget
