"""Rounding that keeps the sums of filters."""

from __future__ import annotations

import numpy as np
import pytest

from surp_fl import Layout
from surp_fl.codecs.surp.balanced_rows import balanced
from surp_fl.codecs.surp.decoder import read
from surp_fl.codecs.surp.quantised_body import write_quantised
from surp_fl.updates import as_vector
from tests.vectors import Vector

THRESHOLDS, MAGNITUDES = np.array([0.6, 1.7]), np.array([1.0, 2.2])
LEVELS = np.concatenate([[0.0], MAGNITUDES])


def rounded(values: Vector) -> Vector:
    """To the levels, with signs."""
    found: Vector = np.sign(values) * LEVELS[np.searchsorted(THRESHOLDS, np.abs(values), side="right")]
    return found


def values(rows: int, columns: int, mean: float = 0.15) -> Vector:
    return np.random.default_rng(0).normal(mean, 0.5, (rows, columns)).astype(np.float32)


def test_the_sums_of_rows_are_kept_at_hardly_any_more_squared_error() -> None:
    wide = values(20, 400)
    after = rounded(balanced(wide.ravel(), 20, THRESHOLDS, MAGNITUDES)).reshape(wide.shape)
    plain = rounded(wide)
    assert np.abs((wide - after).sum(axis=1)).mean() < 0.4 * np.abs((wide - plain).sum(axis=1)).mean()
    assert np.square(wide - after).sum() < 1.06 * np.square(wide - plain).sum()


def test_the_shift_of_a_row_is_what_its_errors_sum_to_times_kappa() -> None:
    """Within the steps of the bisection: a smaller shift is too small, a larger one too large."""
    for wide in values(12, 300, mean=0.3):
        shift = float((balanced(wide, 1, THRESHOLDS, MAGNITUDES) - wide)[0])
        for by, sign in ((-0.003, 1), (0.003, -1)):
            errors = wide.astype(np.float64) - rounded(wide + np.float32(shift + by))
            assert sign * (0.01 * errors.sum() - (shift + by)) > 0


@pytest.mark.parametrize("shape", [(0,), (1, 1, 1), (3, 1, 0), (4, 7)])
def test_zeros_are_rounded_to_zeros(shape: tuple[int, ...]) -> None:
    shifted = balanced(np.zeros(shape, np.float32).ravel(), shape[0], THRESHOLDS, MAGNITUDES)
    assert shifted.size == np.prod(shape)
    assert not rounded(shifted).any()


def test_many_levels_are_rounded_as_they_are() -> None:
    """With fine steps hardly anything is lost, and the search would take its time for each level."""
    magnitudes = np.arange(1, 70) / 40
    wide = values(3, 50)
    assert np.array_equal(balanced(wide.ravel(), 3, magnitudes - 0.01, magnitudes), wide.ravel())


def test_filters_of_convolutions_alone_are_balanced(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a filter loses has a mean of about zero; matrices are coded as without this."""
    rng = np.random.default_rng(0)
    arrays = {"conv": rng.normal(0.02, 0.1, (16, 32, 3, 3)), "hidden": rng.normal(0.02, 0.1, (16, 288))}
    for name, array in arrays.items():
        layout = Layout.of({name: array})
        vector = layout.flatten({name: array})
        sums = []
        for kept in (balanced, lambda given, *_: given):
            monkeypatch.setattr("surp_fl.codecs.surp.quantised_body.balanced", kept)
            found = as_vector(read(write_quantised(vector, layout, 800), layout, None), layout.size)
            sums.append(float(np.abs((array - found.reshape(array.shape)).reshape(16, -1).sum(axis=1)).mean()))
        assert sums[0] < 0.6 * sums[1] if name == "conv" else sums[0] == sums[1]
        monkeypatch.undo()
