"""What to say of a vector within a budget: which coordinates, in which stretches, at which magnitudes.

The encoder's side alone: a decoder needs none of it. Each coordinate has a gain (the squared error that naming it takes
away) and a price (the bits that its index and sign cost in this context); what is named is what gains most per bit. A
stretch is a set of named coordinates that share one magnitude; a set is divided in two where the error that this takes
away is worth its bits at the going rate. Knows prices; does not know bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy.typing import NDArray

from surp_fl import device
from surp_fl.coding.index_sets import STEPS, Shared, best_powers, layers_of

if TYPE_CHECKING:
    import torch

Vector = NDArray[np.float32]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

_INFINITE = 0x7F800000  # the bits of float32's infinity; NaN lies above it
_LEAST_PRICE = 2.0  # bits
_STRETCH_BITS = 18.0  # count and magnitude of one more stretch
_FIRST_RUNG, _RUNG_RATIO = 760.0, 2.2  # bits
_SAME_BITS, _TURN_BITS = 0.2, 2.8  # of the sign of what changed lately
_MARGIN, _MARGIN_BITS = 1.05, 30.0  # chosen beyond the budget; what is worth least is let go when the cost is known
_LEAST_RATE = 0.01  # of the mean, where the budget names even what gains nothing
_LEAST_SHARE = 0.55  # of the magnitude that a coordinate is given: above a half, and what rounding takes
_ROUNDS = 3  # of pricing what was chosen at the prices before


@dataclass(frozen=True)
class Stretch:
    """Coordinates that share a magnitude.

    Attributes:
        coordinates: ascending int64, shape (k,).
        negative: their signs; bool, shape (k,).
        magnitude: mean of the magnitudes it stands for.
        prices: bits that each coordinate is expected to cost; shape (k,).
        worth: squared error that each takes away, per bit; shape (k,).
    """

    coordinates: Integers
    negative: NDArray[np.bool_]
    magnitude: float
    prices: Floats
    worth: Floats


@njit(cache=True)
def _gather(bits: NDArray[np.int32], least: int, count: int) -> tuple[Integers, int]:
    """Where |v| (as float bits) is at least a threshold, and the largest |v|; one pass.

    Where there are far more than `count`, the smaller ones are let go on the way, and among equals the later ones.
    """
    room = 4 * count + 1024
    found = np.empty(room, np.int64)
    size = 0
    largest = np.int32(0)
    for block in range(0, bits.size, 256):
        stop = min(block + 256, bits.size)
        peak = np.int32(0)
        for i in range(block, stop):
            peak = max(peak, bits[i] & np.int32(0x7FFFFFFF))
        largest = max(largest, peak)
        if peak >= least:
            for i in range(block, stop):
                if (bits[i] & np.int32(0x7FFFFFFF)) >= least:
                    if size == room:
                        size, least = _let_go(bits, found, count)
                        if (bits[i] & np.int32(0x7FFFFFFF)) < least:
                            continue
                    found[size] = i
                    size += 1
    return found[:size].copy(), int(largest)


@njit(cache=True)
def _let_go(bits: NDArray[np.int32], found: Integers, count: int) -> tuple[int, int]:
    """Keep the `count` largest of what was found, in place; give their number, and what a later one has to reach."""
    magnitudes = bits[found] & np.int32(0x7FFFFFFF)
    last = np.partition(magnitudes, magnitudes.size - count)[magnitudes.size - count]
    equals = count - (magnitudes > last).sum()
    size = 0
    for place in range(found.size):
        if magnitudes[place] > last or (magnitudes[place] == last and equals > 0):
            equals -= 1 if magnitudes[place] == last else 0
            found[size] = found[place]
            size += 1
    return size, int(last) + 1


def largest(vector: Vector | torch.Tensor, count: int) -> tuple[Integers, Vector]:
    """Find the `count` largest magnitudes that are not zero; among equals, those of the lowest coordinates.

    Args:
        vector: float32, shape (n,); an array, or a tensor on any device: then only what is found comes to the host.
        count: how many; all there are, where there are fewer.

    Returns:
        Ascending coordinates, and the values there.

    Raises:
        ValueError: the vector holds NaN or infinity.
    """
    if isinstance(vector, np.ndarray):
        found = _at_least_the_largest(vector, count)
        values = vector[found]
    else:
        found, values = device.at_least_the_largest(vector, count)
    if found.size > count:
        kept = np.sort(np.argsort(-np.abs(values), kind="stable")[:count])
        found, values = found[kept], values[kept]
    return found, values


def _at_least_the_largest(vector: Vector, count: int) -> Integers:
    """As `largest`, with some more, in about one pass.

    A sample tells a threshold, one pass gathers what reaches it; a lower threshold where the sample misled.
    """
    bits = vector.view(np.int32)
    if bits.size == 0:
        return np.empty(0, np.int64)
    stride = bits.size // 32768 + 1
    sample = np.sort(bits[::stride] & 0x7FFFFFFF)[::-1]
    rank = count / stride
    while True:
        place = int(rank + 3 * math.sqrt(rank) + 4)
        least = max(1, int(sample[place])) if place < sample.size else 1
        found, peak = _gather(bits, least, count)
        if peak >= _INFINITE:
            raise ValueError(device.DIVERGED)
        if found.size >= count or least == 1:
            return found
        rank = 4 * rank + 4


def stretches(vector: Vector | torch.Tensor, shared: Shared, bits: float, cuts: Sequence[float] = ()) -> list[Stretch]:
    """Choose what to say of a vector.

    Args:
        vector: float32, shape (n,); an array, or a tensor on any device.
        shared: what the decoder holds.
        bits: for indices, signs, and the second and further stretches; a little more is chosen, where there is more.
        cuts: what is worth most comes before each of these, in bits; ascending. Each costs some of the order's freedom.

    Returns:
        Disjoint stretches; between two cuts by falling magnitude.
    """
    found, values = largest(vector, int(bits / 2) + 64)
    if found.size == 0:
        return []
    u = np.abs(values).astype(np.float64)
    negative = np.signbit(values)
    priced = _Prices(found, negative, shared)
    by_size = np.argsort(-u, kind="stable")
    chosen = by_size[: max(1, int(bits / 12))]
    parts: list[Integers] = []
    spent_on_parts = 0.0
    for _ in range(_ROUNDS):
        prices = priced.given(chosen)
        worth = u * u / prices
        order = np.argsort(-worth, kind="stable")
        total = np.cumsum(prices[order])
        room = max(bits - spent_on_parts, bits / 2)
        count = int(np.searchsorted(total, _MARGIN * room + _MARGIN_BITS)) + 1
        chosen = order[:count]
        rate = max(worth[chosen[-1]], _LEAST_RATE * float((u[chosen] ** 2).sum() / total[: chosen.size][-1]))
        parts, spent_on_parts = [], 0.0
        for rung in np.split(chosen, np.searchsorted(total[:count], cuts)):
            if rung.size:
                by_size = np.argsort(-u[rung], kind="stable")
                more, bits_of_more = _divided(rung[by_size], u, rate)
                parts += more
                spent_on_parts += bits_of_more + _STRETCH_BITS
    parts = [np.sort(part) for part in parts]  # `found` is ascending
    return [Stretch(found[part], negative[part], float(u[part].mean()), prices[part], worth[part]) for part in parts]


def lighter(chosen: list[Stretch], share: float) -> list[Stretch]:
    """Let go what is worth least, for a share of the bits."""
    worth = np.concatenate([stretch.worth for stretch in chosen])
    prices = np.concatenate([stretch.prices for stretch in chosen])
    order = np.argsort(worth, kind="stable")
    gone = int(np.searchsorted(np.cumsum(prices[order]), share * prices.sum())) + 1
    kept = np.ones(worth.size, np.bool_)
    kept[order[:gone]] = False
    parts = np.split(kept, np.cumsum([stretch.worth.size for stretch in chosen])[:-1])
    return [
        Stretch(
            stretch.coordinates[part], stretch.negative[part], stretch.magnitude,
            stretch.prices[part], stretch.worth[part],
        )
        for stretch, part in zip(chosen, parts, strict=True)
        if part.any()
    ]  # fmt: skip


def rungs(bits: float) -> list[float]:
    """Where a message of so many bits is made good to be cut: at about 100, 218, 470, 1,020, 2,230 ... bytes."""
    found = []
    rung = _FIRST_RUNG
    while rung * math.sqrt(_RUNG_RATIO) < bits:
        found.append(rung)
        rung *= _RUNG_RATIO
    return found


class _Prices:
    """Bits of naming each candidate, given which others are named."""

    def __init__(self, candidates: Integers, negative: NDArray[np.bool_], shared: Shared) -> None:
        self._shared = shared
        self._layer = layers_of(candidates, shared)
        offset = candidates - shared.start[self._layer]
        self._row, self._column = np.divmod(offset, shared.columns[self._layer])
        first_row, first_column = shared.first_row[self._layer], shared.first_column[self._layer]
        tabled = first_row >= 0
        self._row[tabled] = shared.row_rank[(first_row + self._row)[tabled]]
        self._column[tabled] = shared.column_rank[(first_column + self._column)[tabled]]
        self._sign = np.ones(candidates.size)
        if shared.hot.size > 0:
            hot = np.flatnonzero(self._layer == 0)
            turns = negative[hot] != shared.hot_negative[np.searchsorted(shared.hot, candidates[hot])]
            self._sign[hot] = np.where(turns, _TURN_BITS, _SAME_BITS)

    def given(self, chosen: Integers) -> Floats:
        """Price all candidates as if about as many of each layer were named as there are among the chosen.

        A set that expects μ picks in a cell pays −log2 μ for one there, and a bit or less for its sign.
        """
        shared = self._shared
        counts = np.bincount(self._layer[chosen], minlength=shared.start.size)
        prices = np.empty(self._layer.size)
        for layer in np.unique(self._layer):
            mine = self._layer == layer
            rows, columns = int(shared.rows[layer]), int(shared.columns[layer])
            expected = np.full(mine.sum(), max(counts[layer], 0.5) / (rows * columns))
            r, c = int(shared.first_row[layer]), int(shared.first_column[layer])
            if r >= 0:
                picked = chosen[self._layer[chosen] == layer]
                levels = shared.row_level[r : r + rows], shared.column_level[c : c + columns]
                powers = best_powers(*levels, self._row[picked], self._column[picked])
                for level, power, rank in zip(levels, powers, (self._row[mine], self._column[mine]), strict=True):
                    weights = np.exp2(power * level / STEPS)
                    expected *= weights[rank] / weights.mean()
            prices[mine] = self._sign[mine] - np.log2(expected)
        return np.maximum(prices, _LEAST_PRICE)


def _divided(chosen: Integers, u: Floats, rate: float) -> tuple[list[Integers], float]:
    """Divide a set, by falling magnitude, into stretches wherever that pays.

    Args:
        chosen: positions in u, by falling magnitude.
        u: magnitudes.
        rate: squared error that a bit takes away elsewhere.

    Returns:
        The parts, without what would overshoot by its part's magnitude, and the bits that dividing costs.
    """
    values = u[chosen]
    k = values.size
    first = np.arange(1, k)
    sums = np.cumsum(values)
    left, right = sums[:-1], sums[-1] - sums[:-1]
    taken_away = left**2 / first + right**2 / (k - first) - sums[-1] ** 2 / k
    share = first / k
    bits = _STRETCH_BITS - k * (share * np.log2(share) + (1 - share) * np.log2(1 - share))
    surplus = taken_away - rate * bits
    if k < 2 or surplus.max() <= 0:
        while values[-1] < _LEAST_SHARE * values.mean():  # naming these would add error
            values = values[values >= _LEAST_SHARE * values.mean()]
        return [chosen[: values.size]], 0.0
    cut = int(surplus.argmax()) + 1
    upper, upper_bits = _divided(chosen[:cut], u, rate)
    lower, lower_bits = _divided(chosen[cut:], u, rate)
    return upper + lower, upper_bits + lower_bits + float(bits[cut - 1])
