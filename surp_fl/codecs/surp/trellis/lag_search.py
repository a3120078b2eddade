"""Find the lags at which the signs of a layer are alike, and their weights: logistic regression on a sample of rows.

The encoder's side alone. Candidates are the peaks of the signs' autocorrelation; what stays pays for its bits. Knows
levels and signs. Does not know the range coder.

Source: autocorrelation by Wiener–Khinchin; iteratively reweighted least squares, McCullagh and Nelder 1989,
"Generalized Linear Models"; a lag's worth by its Wald statistic.
"""

from __future__ import annotations

import math
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.surp.trellis.sign_lags import (
    FARTHEST,
    MOST_LAGS,
    MOST_WEIGHT,
    NO_LAGS,
    SignLags,
    may_have_lags,
)
from surp_fl.codecs.surp.trellis.sign_odds import SIGNS_BEGIN
from surp_fl.types import Floats, Vector

Signs = NDArray[np.int8]

# Tuned constants of the encoder, not of the format.
_CELLS, _SIGNS = 1 << 16, 1 << 13  # of the sample, at most
_LEAST_SIGNS = 32  # of a layer that is looked at
_CANDIDATES, _LEAST_PEAK = 12, 12.0  # lags that are tried; squared standard deviations of a peak from none
_ITERATIONS, _RIDGE = 4, 2.0  # of the regression; as if so many signs spoke for no weight
_LUCK = 4.0  # bits that a lag which was picked seems to save in a sample, if it is worth nothing
_BITS_OF_SET, _BITS_OF_LAG = 6.0, 14.0  # that lags take
_EIGHTHS = 8 / math.log(2)  # of an octave, in a unit of the natural logarithm


def lags_of(levels: NDArray[np.int32], values: Vector, columns: int, before: SignLags) -> SignLags | None:
    """The lags and weights that make the signs of a layer take the fewest bits, those of telling them included.

    Args:
        levels: from 0 on, row by row; int32, shape (n,).
        values: whose signs they have; float32, shape (n,).
        columns: n is a multiple of it.
        before: lags that can be had for a bit or so.

    Returns:
        None where there are too few signs to tell.
    """
    rows = len(levels) // columns
    sample = _sample(levels, values, columns) if may_have_lags(rows, columns) else None
    if sample is None:
        return None
    own = _found(sample)
    cost = _BITS_OF_SET + _BITS_OF_LAG * own.lags.size
    return max((0.0, NO_LAGS), (sample.gain(before), before), (sample.gain(own) - cost, own), key=itemgetter(0))[1]


class _Sample:
    """Signs of some rows of a layer.

    Attributes:
        signs: −1, 0 or 1; int8, shape (rows, columns).
        share: of the layer's signs.

    Args:
        odds: logarithms of the odds of a positive sign without lags; float64, shape (rows, columns).
    """

    def __init__(self, signs: Signs, odds: Floats, share: float) -> None:
        self.signs, self.share = signs, share
        self._row, self._column = np.nonzero(signs)
        self._positive = signs[self._row, self._column] > 0
        self._odds = odds[self._row, self._column]

    def peaks(self) -> NDArray[np.int64]:
        """The lags at which signs are most alike, or unlike."""
        farthest = min(FARTHEST, self.signs.shape[1] - 1)
        alike, both = (_autocorrelation(each)[1 : farthest + 1] for each in (self.signs, np.abs(self.signs)))
        deviations = alike**2 / np.maximum(both, 1)
        order = np.argsort(-deviations, kind="stable")[:_CANDIDATES]
        return np.sort(order[deviations[order] > _LEAST_PEAK]) + 1

    def regression(self, lags: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Weights in natural logarithms, and how many bits each of them is worth in the sample."""
        near = self._near(lags)
        weights = np.zeros(len(lags))
        for _ in range(_ITERATIONS):
            likely = 1 / (1 + np.exp(-np.clip(self._odds + near @ weights, -30, 30)))
            slope = near.T @ (self._positive - likely) - _RIDGE * weights
            curvature = (near * (likely * (1 - likely))[:, None]).T @ near + _RIDGE * np.eye(len(lags))
            weights += np.linalg.solve(curvature, slope)
        return weights, weights**2 / np.diag(np.linalg.inv(curvature)) / (2 * math.log(2))

    def gain(self, found: SignLags) -> float:
        """Bits that lags save in the layer."""
        odds = self._odds + self._near(found.lags) @ (found.weights / _EIGHTHS)
        direction = np.where(self._positive, -1.0, 1.0)
        saved = np.logaddexp(0, direction * self._odds) - np.logaddexp(0, direction * odds)
        return float(saved.sum()) / (self.share * math.log(2))

    def _near(self, lags: NDArray[np.int64]) -> Floats:
        """The signs so many columns before each; float64, shape (signs, lags)."""
        padded = np.pad(self.signs, ((0, 0), (FARTHEST, 0)))
        near: Signs = padded[self._row[:, None], self._column[:, None] + FARTHEST - lags]
        return near.astype(np.float64)


def _found(sample: _Sample) -> SignLags:
    """Lags whose weights are worth their bits, by regression, again and again without those that are worth least."""
    lags = sample.peaks()
    while lags.size:
        weights, worth = sample.regression(lags)
        order = np.argsort(worth)
        dear = int(np.count_nonzero((worth - _LUCK) / sample.share < _BITS_OF_LAG))
        drop = max((dear + 1) // 2, len(lags) - MOST_LAGS)
        if drop <= 0:
            eighths = np.clip(np.rint(weights * _EIGHTHS), -MOST_WEIGHT, MOST_WEIGHT).astype(np.int64)
            return SignLags(lags[eighths != 0], eighths[eighths != 0])
        lags = np.sort(lags[order[drop:]])
    return NO_LAGS


def _sample(levels: NDArray[np.int32], values: Vector, columns: int) -> _Sample | None:
    """Evenly spaced rows of those that have signs, of long ones the beginning; None if there are too few signs."""
    part = slice(None, min(columns, _CELLS // 2))
    positive = (values.reshape(-1, columns)[:, part] > 0).view(np.int8)
    signs: Signs = (2 * positive - 1) * (levels.reshape(-1, columns)[:, part] > 0)
    told = np.count_nonzero(signs, axis=1)
    if told.sum() < _LEAST_SIGNS:
        return None
    signs, told = signs[told > 0], told[told > 0]
    stride = max(1, -(-signs.size // _CELLS), -(-int(told.sum()) // _SIGNS))
    first = (len(told) - 1) % stride // 2
    share = float(told[first::stride].sum() / max(int(np.count_nonzero(levels)), 1))
    return _Sample(signs[first::stride], _log_odds(signs, first, stride), share)


def _log_odds(signs: Signs, first: int, stride: int) -> Floats:
    """Logarithms of the odds of a positive sign in rows of the sample, by what `SignOdds` has counted by then."""
    rows = signs[first::stride]
    odds = np.zeros(rows.shape)
    end = first + (len(rows) - 1) * stride
    for factor, of in ((1, (signs > 0).view(np.int8)), (-1, (signs < 0).view(np.int8))):
        between = of[first:end].reshape(-1, stride, of.shape[1]).sum(axis=1, dtype=np.int64)  # one row to the next
        column = np.cumsum(np.vstack([of[:first].sum(axis=0, dtype=np.int64), between]), axis=0)
        own = of[first::stride]
        row: NDArray[np.int64] = np.cumsum(own, axis=1, dtype=np.int64) - own
        odds += factor * (np.log(row + SIGNS_BEGIN) + np.log(column + SIGNS_BEGIN))
    return odds


def _autocorrelation(rows: Signs) -> Floats:
    """Sums of products of each row with itself, a lag apart: by lag up to FARTHEST, over all rows."""
    length = 1 << (rows.shape[1] + FARTHEST).bit_length()
    spectrum = np.fft.rfft(rows.astype(np.float64), length, axis=1)  # NumPy 2 would stay with float32
    return np.fft.irfft((spectrum.real**2 + spectrum.imag**2).sum(axis=0), length)
