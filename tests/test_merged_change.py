"""Merged changes: exact to the bit for any two models, shorter than the chain that they replace, safe to read."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from surp_fl import Layout, SuRP
from surp_fl.errors import MalformedMessage
from surp_fl.merged_change import apply_merged, merge
from surp_fl.types import Arrays

ODD = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-45, 6e4, 1.0], np.float32)


def model(seed: int = 0, dtype: Any = np.float32) -> Arrays:
    rng = np.random.default_rng(seed)
    return {
        "weight": rng.normal(size=(40, 50)).astype(dtype),
        "norm.running_mean": rng.normal(size=7).astype(np.float32),
        "bias": rng.normal(size=50).astype(dtype),
        "wide": rng.normal(size=5),
        "empty": np.zeros((0, 3), np.float32),
        "batches": np.array(3, np.int64),
        "mask": rng.random(11) < 0.5,
    }


def bits(arrays: Arrays) -> list[tuple[str, str, tuple[int, ...], bytes]]:
    return [(name, array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()]


def chain(start: NDArray[np.float32], rounds: int, budget: int) -> tuple[NDArray[np.float32], int]:
    """A vector after so many changes of SuRP with error feedback, and the bytes of all of them."""
    rng = np.random.default_rng(1)
    layout = Layout.of({"w": start.reshape(100, -1)})
    codec, vector, target, spent = SuRP(budget=budget).codec, start, start.copy(), 0
    scale = rng.lognormal(sigma=1.5, size=start.size).astype(np.float32)
    for _ in range(rounds):
        target = target + 0.01 * scale * rng.normal(size=start.size).astype(np.float32)
        message = codec.encode(target - vector, layout, rng=rng, reference=vector)
        vector = vector + codec.decode(message, layout, reference=vector)
        spent += len(message)
    return vector, spent


def test_a_long_chain_takes_a_fraction_of_its_bytes_and_not_one_bit_is_lost() -> None:
    start = np.random.default_rng(0).normal(size=20_000).astype(np.float32) * np.float32(0.05)
    after, spent = chain(start, rounds=40, budget=200)
    base, target = {"w": start.reshape(100, -1)}, {"w": after.reshape(100, -1)}
    merged = merge(base, target)
    assert merged is not None
    assert len(merged) < 0.75 * spent
    assert bits(apply_merged(base, merged)) == bits(target)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from([np.float16, np.float32]), st.floats(-40, 30), st.integers(0, 900))
def test_any_sparse_difference_comes_back(seed: int, dtype: Any, exponent: float, changes: int) -> None:
    rng = np.random.default_rng(seed)
    base, target = model(seed, dtype), model(seed, dtype)
    with np.errstate(over="ignore"):
        change = (rng.normal(size=changes) * 2.0**exponent).astype(dtype)
        target["weight"].reshape(-1)[rng.choice(2000, changes, replace=False)] += change
    target["bias"][rng.integers(50, size=9)] = ODD.astype(dtype)
    base["bias"][rng.integers(50, size=9)] = ODD.astype(dtype)
    if seed % 2:
        target["batches"], target["norm.running_mean"] = np.array(1 << 40), base["norm.running_mean"] * 1.5
        target["wide"], target["mask"] = base["wide"] + 1e-9, ~base["mask"]
    merged = merge(base, target)
    assert merged is not None
    assert bits(apply_merged(base, merged)) == bits(target)


def test_tied_arrays_of_any_dtype_come_back_together_and_apart() -> None:
    for dtype in (np.float16, np.float32, np.float64):
        base = model(0, dtype) | {"head": model(0, dtype)["weight"]}
        target = {name: array.copy() for name, array in base.items()}
        for names in (["weight", "head"], ["head"]):
            for name in names:
                target[name][3, 4:9] += dtype(0.5)
            merged = merge(base, target)
            assert merged is not None
            assert bits(apply_merged(base, merged)) == bits(target)


def test_tied_arrays_are_told_once_while_they_are_equal() -> None:
    base = model() | {"head": model()["weight"].copy()}
    assert Layout.of(base).copies == (("head", "weight"),)
    target = {name: array.copy() for name, array in base.items()}
    places = np.random.default_rng(0).choice(2000, 300, replace=False)
    for name in ("weight", "head"):
        target[name].reshape(-1)[places] += np.float32(0.25)
    tied = merge(base, target)
    target["head"][3, 4] += 1
    untied = merge(base, target)
    assert tied is not None
    assert untied is not None
    assert len(untied) > 1.3 * len(tied)
    for merged, head in ((tied, None), (untied, target["head"])):
        after = apply_merged(base, merged)
        assert after["head"].tobytes() == (target["weight"] if head is None else head).tobytes()
        assert list(after) == list(base)


def test_arrays_that_are_equal_but_in_the_sign_of_a_zero_are_told_apart() -> None:
    base = model()
    base["weight"][20, 7] = 0
    base["head"] = base["weight"].copy()
    target = {name: array.copy() for name, array in base.items()}
    target["head"][20, 7] = -0.0
    merged = merge(base, target)
    assert merged is not None
    assert bits(apply_merged(base, merged)) == bits(target)


def test_any_bits_of_a_float_come_back() -> None:
    """NaN of either sign and the largest steps, beside many small ones, by which the exponent is chosen."""
    base, target = {"w": np.zeros(4000, np.float32)}, {"w": np.zeros(4000, np.float32)}
    target["w"][:600] = np.float32(2.0**-40)
    target["w"][700:800] = np.random.default_rng(0).integers(0, 1 << 32, 100, np.uint32).view(np.float32)
    target["w"][801:804] = np.array([1, 1.5, 2], np.float32) * np.float32(2.0**-8)
    base["w"][900:902] = np.array([0xFFFFFFFF, 0x7FFFFFFF], np.uint32).view(np.float32)
    target["w"][900:902] = base["w"][[901, 900]]
    merged = merge(base, target)
    assert merged is not None
    assert bits(apply_merged(base, merged)) == bits(target)


@pytest.mark.parametrize("exponent", [-30, -20, -10])
def test_equal_steps_cost_next_to_nothing_whatever_their_power_of_two(exponent: int) -> None:
    base = {"w": np.random.default_rng(0).normal(size=20_000).astype(np.float32)}
    target = {"w": base["w"].copy()}
    target["w"][::40] += np.float32(3 * 2.0**exponent)
    merged = merge(base, target)
    assert merged is not None
    assert len(merged) < 150


def test_both_ends_know_which_arrays_are_statistics() -> None:
    base, kinds = model(), {"bias": "mean"}
    target = base | {"bias": base["bias"] + 1}
    merged = merge(base, target, kinds)  # type: ignore[arg-type]
    assert merged is not None
    assert bits(apply_merged(base, merged, kinds)) == bits(target)  # type: ignore[arg-type]


def test_what_a_reader_would_refuse_is_not_made() -> None:
    base = {"w": np.zeros(1 << 18, np.float32)}
    target = {"w": np.repeat(np.array([1, 0], np.float32), 1 << 17)}
    assert merge(base, target) is None  # far more than 64 changes a byte


def test_a_header_that_does_not_fit_is_refused() -> None:
    base = model()
    nothing = merge(base, model())
    assert nothing is not None
    for wrong in (b"\x02" + nothing[1:], nothing + b"\x00", nothing[:6] + b"\x02" + nothing[7:]):
        with pytest.raises(MalformedMessage):
            apply_merged(base, wrong)


def test_nothing_takes_eleven_bytes_and_too_much_takes_none() -> None:
    base = model()
    nothing = merge(base, model())
    assert nothing is not None
    assert len(nothing) == 11
    assert bits(apply_merged(base, nothing)) == bits(base)
    assert merge(base, model() | {"weight": base["weight"] + 1}) is None


def test_models_of_other_arrays_have_no_merged_change() -> None:
    base = model()
    assert merge(base, {**base, "more": np.zeros(3, np.float32)}) is None
    assert merge(base, {name: base[name] for name in reversed(base)}) is None
    assert merge(base, {name: array for name, array in base.items() if name != "bias"}) is None
    assert merge(base, base | {"bias": np.zeros(49, np.float32)}) is None
    assert merge(base, base | {"wide": base["wide"].astype(np.float32)}) is None


def test_a_damaged_message_gives_an_error_or_a_model_of_the_same_arrays() -> None:
    rng = np.random.default_rng(0)
    base, target = model(), model()
    target["weight"].reshape(-1)[rng.choice(2000, 90, replace=False)] += np.float32(0.125)
    target["batches"] = np.array(5)
    merged = merge(base, target)
    assert merged is not None
    refused = 0
    for _ in range(400):
        damaged = bytearray(merged[: rng.integers(len(merged) + 1)] if rng.random() < 0.5 else merged)
        for place in rng.integers(max(len(damaged), 1), size=rng.integers(4)):
            if damaged:
                damaged[place] ^= int(rng.integers(1, 256))
        try:
            after = apply_merged(base, bytes(damaged))
        except MalformedMessage:
            refused += 1
        else:
            assert [each[:3] for each in bits(after)] == [each[:3] for each in bits(base)]
    assert refused > 100
    for end in range(len(merged)):
        with pytest.raises(MalformedMessage):
            apply_merged(base, merged[:end])


def test_that_most_values_changed_is_found_out_in_a_byte_a_value() -> None:
    base, target = {"w": np.zeros(1 << 20, np.float32)}, {"w": np.ones(1 << 20, np.float32)}
    tracemalloc.start()
    assert merge(base, target) is None
    assert tracemalloc.get_traced_memory()[1] < 1.2 * (1 << 20)
    tracemalloc.stop()


def test_memory_is_bounded_by_the_bytes_that_came() -> None:
    base = {"w": np.zeros(1 << 20, np.float32)}
    bomb = b"\x00\x00" + (1 << 20).to_bytes(4, "little") + (4).to_bytes(4, "little") + b"\x00" * 20
    tracemalloc.start()
    with pytest.raises(MalformedMessage, match="says 1048576 changes"):
        apply_merged(base, bomb)
    assert tracemalloc.get_traced_memory()[1] < 1 << 17
    tracemalloc.stop()
