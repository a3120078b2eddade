"""How many of k picks lie in the left half ↔ a range coder: a beta-binomial distribution in integer arithmetic.

P(j) ∝ C(k, j)·B(a + j, b + k − j)/B(a, b), with a : b as the halves' weights, and a + b the *concentration*: the higher
it is, the closer counts follow the weights. Knows weights and numbers of free cells. Does not know what left and right
are.
"""

from __future__ import annotations

import numpy as np

from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder

_WORK_OF_SPLIT = 4  # units of credit, and 1 for each frequency beyond the first; tests.fuzz.hostile checks it
_FIXED_POINT = 64  # units of a and b
MAX_WEIGHT = 1 << 28  # sum of two weights that are frequencies of a symbol
MAX_SCALED_WEIGHT = 1 << 40  # sum of two weights, before they are multiplied
_MAX_WEIGHT, _MAX_SCALED_WEIGHT = MAX_WEIGHT, MAX_SCALED_WEIGHT  # as C numbers


def halvings_to_fit(left: int, right: int, max_sum: int) -> int:
    """How often two weights have to be halved, rounding up, for their sum to be at most `max_sum`.

    >>> halvings_to_fit(9, 0, 8)
    1
    """
    halvings = 0
    while left + right > max_sum:
        left, right = (left + 1) >> 1, (right + 1) >> 1
        halvings += 1
    return halvings


def halved(weight: int, halvings: int) -> int:
    """A weight, halved and rounded up so often; at least 1.

    >>> halved(9, 1), halved(0, 1)
    (5, 1)
    """
    return max((weight + (1 << halvings) - 1) >> halvings, 1)


def quotient(dividend: int, divisor: int, cap: int) -> int:
    """min(dividend // divisor, cap), exactly; a float only guesses it, in half the time."""
    guess = float(dividend) / float(divisor)
    if guess >= cap + 1:
        return cap
    result = int(guess)
    remainder = dividend - result * divisor
    if remainder < 0:
        result -= 1
    elif remainder >= divisor:
        result += 1
    return min(result, cap)


class BetaBinomial:
    """Frequencies of the numbers j of k picks on the left, for sets of up to `max_picks` picks.

    f(j + 1) / f(j) = (k − j)(a + j) / ((j + 1)(b + k − j − 1)), in integers, outwards from the expected j until f is 0.
    They are in a table, which `encode` and `decode` fill anew each time, from `first` to `last`; beyond these all
    frequencies are 1.

    Args:
        max_picks: the largest k.
    """

    def __init__(self, max_picks: int) -> None:
        self._table = np.empty(max_picks + 2, np.int64)
        self._min_j = self._first = self._last = self._total_freq = 0

    def encode(
        self, encoder: RangeEncoder, j: int, k: int, free_left: int, free_right: int, left: int, right: int,
        concentration: int,
    ) -> None:  # fmt: skip
        """Encode that j of k picks are on the left; nothing is written if only one j is possible.

        Args:
            encoder: of the message.
            j: picks on the left.
            k: picks.
            free_left: cells on the left that can be picked.
            free_right: cells on the right that can be picked.
            left: weight of the left half.
            right: weight of the right half.
            concentration: a + b.
        """
        others = min(k, free_left) - max(0, k - free_right)  # other values of j that are possible
        if others > 0 and k == 1:
            encoder.spend(_WORK_OF_SPLIT)
            halvings = halvings_to_fit(left, right, _MAX_WEIGHT)
            left, right = halved(left, halvings), halved(right, halvings)
            encoder.encode(0 if j == 1 else left, left if j == 1 else right, left + right)
        elif others > 0:
            self._tabulate(k, free_left, free_right, left, right, concentration)
            encoder.spend(_WORK_OF_SPLIT + self._last - self._first)
            cum_freq = min(j, self._first) - self._min_j
            for i in range(self._first, min(j, self._last + 1)):
                cum_freq += self._table[i - self._min_j]
            cum_freq += max(0, j - self._last - 1)
            freq = self._table[j - self._min_j] if self._first <= j <= self._last else 1
            encoder.encode(cum_freq, freq, self._total_freq)

    def decode(
        self, decoder: RangeDecoder, k: int, free_left: int, free_right: int, left: int, right: int, concentration: int
    ) -> int:
        """Decode how many of k picks are on the left; not to be used if the decoder is exhausted after it.

        Args:
            decoder: of the message.
            k: picks.
            free_left: cells on the left that can be picked.
            free_right: cells on the right that can be picked.
            left: weight of the left half.
            right: weight of the right half.
            concentration: a + b.
        """
        if max(0, k - free_right) == min(k, free_left):
            return min(k, free_left)
        if k == 1:
            decoder.spend(_WORK_OF_SPLIT)
            halvings = halvings_to_fit(left, right, _MAX_WEIGHT)
            left, right = halved(left, halvings), halved(right, halvings)
            on_left = decoder.decode_target(left + right) < left
            decoder.decode_update(0 if on_left else left, left if on_left else right, left + right)
            return 1 if on_left else 0
        self._tabulate(k, free_left, free_right, left, right, concentration)
        decoder.spend(_WORK_OF_SPLIT + self._last - self._first)
        target = decoder.decode_target(self._total_freq)
        cum_freq = self._first - self._min_j
        if target < cum_freq:
            decoder.decode_update(target, 1, self._total_freq)
            return self._min_j + target
        for j in range(self._first, self._last + 1):
            freq = self._table[j - self._min_j]
            if target < cum_freq + freq:
                decoder.decode_update(cum_freq, freq, self._total_freq)
                return int(j)
            cum_freq += freq
        decoder.decode_update(target, 1, self._total_freq)
        return int(self._last + 1 + target - cum_freq)

    def _tabulate(self, k: int, free_left: int, free_right: int, left: int, right: int, concentration: int) -> None:
        """Fill the table; arguments as of `decode`."""
        min_j, max_j = max(0, k - free_right), min(k, free_left)
        halvings = halvings_to_fit(left, right, _MAX_SCALED_WEIGHT)
        left, right = halved(left, halvings), halved(right, halvings)
        probability = min(max((left * 65536) // (left + right), 1), 65535)
        a = max(1, probability * concentration * _FIXED_POINT >> 16)
        b = max(1, concentration * _FIXED_POINT - a)
        expected = min(max((k * probability) >> 16, min_j), max_j)
        peak = 1 << 20 if k < 1024 else 1 << 12
        total_freq = peak + max_j - min_j
        self._table[expected - min_j] = peak
        j, value = expected, peak
        while j < max_j:
            value = quotient(
                value * ((k - j) * (a + j * _FIXED_POINT)), (j + 1) * (b + (k - j - 1) * _FIXED_POINT), peak * 8
            )
            if value == 0:
                break
            j += 1
            self._table[j - min_j] = value
            total_freq += value - 1
        self._last = j
        j, value = expected, peak
        while j > min_j:
            value = quotient(
                value * (j * (b + (k - j) * _FIXED_POINT)), (k - j + 1) * (a + (j - 1) * _FIXED_POINT), peak * 8
            )
            if value == 0:
                break
            j -= 1
            self._table[j - min_j] = value
            total_freq += value - 1
        self._min_j, self._first, self._total_freq = min_j, j, total_freq
