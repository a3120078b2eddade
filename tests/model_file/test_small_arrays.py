"""The section of small arrays and running statistics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from surp_fl import MalformedMessage
from surp_fl.model_file.manifest import Entry, Role
from surp_fl.model_file.small_arrays import read_small, write_small
from surp_fl.types import Array, Arrays

KINDS = {"mean": Role.MEAN, "var": Role.VARIANCE}


def entries_of(arrays: Arrays) -> list[Entry]:
    return [Entry(name, array.shape, "F32", KINDS.get(name, Role.SMALL)) for name, array in arrays.items()]


def there_and_back(arrays: Arrays, precision: int = 8) -> Arrays:
    entries = entries_of(arrays)
    return read_small(write_small(entries, arrays, precision), entries)


@given(
    hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(-(2.0**100), 2.0**100, width=32)),
    st.integers(4, 15),
)
def test_any_small_array_comes_back_with_an_error_of_half_a_step(values: Array, precision: int) -> None:
    values = values.astype(np.float64)
    found = there_and_back({"bias": values}, precision)["bias"]
    size = np.abs(values).max() * np.sqrt(np.square(values / max(np.abs(values).max(), 1e-300)).mean())
    scale = max(values.std(), size / 16) if values.size >= 16 else size
    step = max(
        scale * 4.14 * np.sqrt(2) * 2.0 ** -(precision if values.size >= 16 else 14), np.abs(values).max() * 2.0**-28
    )
    assert np.abs(found - values).max() <= 0.51 * step + 1e-7 * np.abs(values).max() + 2.0**-149


@given(
    hnp.arrays(np.float32, 20, elements=st.floats(0, 2.0**50, width=32)),
    hnp.arrays(np.float32, 20, elements=st.floats(-(2.0**13), 2.0**13, width=32)),
    st.integers(5, 8),
)
def test_variances_come_back_in_octaves_and_means_in_deviations(variance: Array, mean: Array, precision: int) -> None:
    found = there_and_back({"mean": mean, "var": variance}, precision)
    assert (found["var"] >= 0).all()
    octaves = np.log2((found["var"].astype(np.float64) + 1e-5) / (variance.astype(np.float64) + 1e-5))
    assert np.abs(octaves).max() <= 0.75 * 2.0 ** (3 - precision)  # the octaves are linear between powers of two
    deviation = np.sqrt(found["var"] + 1e-5)
    assert (np.abs(found["mean"] - mean) <= 0.51 * 2.0 ** (2 - precision) * deviation + 1e-6 * np.abs(mean)).all()


def test_a_bit_of_precision_is_a_bit_a_coordinate() -> None:
    arrays: Arrays = {"bias": np.random.default_rng(0).normal(size=4000)}
    lengths = [8 * len(write_small(entries_of(arrays), arrays, precision)) / 4000 for precision in (5, 6, 7, 8)]
    assert np.abs(np.array(lengths) - (5, 6, 7, 8)).max() < 0.6
    assert np.abs(np.diff(lengths) - 1).max() < 0.1


def test_values_far_from_zero_are_coded_by_how_they_differ() -> None:
    gains: Arrays = {"gain": 1 + np.random.default_rng(0).normal(0, 0.1, 1000)}
    biases: Arrays = {"bias": np.random.default_rng(0).normal(0, 0.1, 1000)}
    assert np.abs(there_and_back(gains, 6)["gain"] - gains["gain"]).max() < 0.01
    assert abs(len(write_small(entries_of(gains), gains, 6)) - len(write_small(entries_of(biases), biases, 6))) < 20


@pytest.mark.parametrize("length", [0, 1, 20, -1])
def test_a_section_of_another_length_is_refused(length: int) -> None:
    arrays: Arrays = {"bias": np.arange(30.0), "var": np.ones(5) + np.arange(5)}
    section = write_small(entries_of(arrays), arrays, 8)
    for damaged in (section[:length], section + b"\1"):
        with pytest.raises(MalformedMessage):
            read_small(damaged, entries_of(arrays))
    with pytest.raises(MalformedMessage, match="no such arrays"):
        read_small(section, [])
