"""What to say of a vector within a budget: which coordinates, in which stretches, at which magnitudes.

The encoder's side alone: a decoder needs none of it. Each coordinate has a gain (the squared error that naming it takes
away) and a price (the bits that its index and sign cost in this context); what is named is what gains most per bit. A
stretch is a set of named coordinates that share one magnitude; a set is divided in two where the error that this takes
away is worth its bits at the going rate. Knows prices; does not know bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from surp_fl._compile import njit
from surp_fl.codecs.surp.index_set import best_powers
from surp_fl.codecs.surp.layers import STEPS, Shared, layers_of
from surp_fl.topk import largest
from surp_fl.types import Floats, Integers, Vector

if TYPE_CHECKING:
    import torch


_LEAST_PRICE = 2.0  # bits
_STRETCH_BITS = 18.0  # count and magnitude of one more stretch
_SET_BITS = math.log2(math.e)  # of each pick of a set, beyond what one more would cost
_FIRST_RUNG, _RUNG_RATIO, _SPREAD = 726.0, 5.32, 1.3  # bits; of magnitudes
_SAME_BITS, _TURN_BITS = 0.2, 2.8  # of the sign of what changed lately
_MARGIN, _MARGIN_BITS = 1.05, 30.0  # chosen beyond the budget; what is worth least is let go when the cost is known
_LEAST_RATE = 0.01  # of the mean, where the budget names even what gains nothing
_LEAST_SHARE = 0.55  # of the magnitude that a coordinate is given: above a half, and what rounding takes
_POWER = 0.5  # of the price; below 1, so that dear coordinates do not wait for ever under error feedback
_ROUNDS, _LONG = 2, 4000  # of pricing what was chosen at the prices before; one more for so many bits


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


def stretches(vector: Vector | torch.Tensor, shared: Shared, bits: float, progressive: bool = False) -> list[Stretch]:
    """Choose what to say of a vector.

    Args:
        vector: float32, shape (n,); an array, or a tensor on any device.
        shared: what the decoder holds.
        bits: for indices, signs, and the second and further stretches; a little more is chosen, where there is more.
        progressive: what is worth most comes first, in a few sets one after the other.

    Returns:
        Disjoint stretches, by falling magnitude within each set.
    """
    found, values = largest(vector, int(bits / 2) + 64)
    if found.size == 0:
        return []
    u = np.abs(values).astype(np.float64)
    negative = np.signbit(values)
    priced = _Prices(found, negative, shared)
    left, spent = np.arange(found.size), 0.0
    told: list[Stretch] = []
    for mark in (*(_rungs(u, bits) if progressive else ()), _MARGIN * bits + _MARGIN_BITS):
        parts, prices, worth = _chosen(left, u, priced, mark - spent)
        for by_size in parts:
            part = by_size[np.argsort(found[by_size])]
            told.append(Stretch(found[part], negative[part], float(u[part].mean()), prices[part], worth[part]))
        spent = mark
        kept = np.ones(found.size, np.bool_)
        kept[np.concatenate(parts)] = False
        left = left[kept[left]]
        if left.size == 0:
            break
    return told


def _chosen(left: Integers, u: Floats, priced: _Prices, bits: float) -> tuple[list[Integers], Floats, Floats]:
    """Choose stretches for so many bits, at least one.

    Args:
        left: positions among the candidates; ascending.
        u: falling magnitudes of all candidates.
        priced: their prices.
        bits: for indices, signs, and the second and further stretches.

    Returns:
        Ascending positions for each stretch; prices of all candidates, and their worth.
    """
    chosen = left[: max(1, int(bits / 8))]
    parts: list[Integers] = []
    spent_on_parts = 0.0
    for _ in range(_ROUNDS + (bits > _LONG)):
        prices = priced.given(chosen)
        worth = u * u / prices**_POWER
        order = left[np.argsort(-worth[left], kind="stable")]
        size = np.arange(1, order.size + 1)
        cost = np.cumsum(prices[order]) + size * (np.log2(chosen.size / size) + _SET_BITS)
        room = max(bits - spent_on_parts, bits / 2)
        chosen = order[: int(np.searchsorted(np.maximum.accumulate(cost), room)) + 1]
        last = chosen[-max(1, chosen.size // 8) :]
        rate = float((u[last] ** 2).sum() / prices[last].sum())
        rate = max(rate, _LEAST_RATE * float((u[chosen] ** 2).sum() / prices[chosen].sum()))
        parts, spent_on_parts = _divided(np.sort(chosen), u, rate)
    return parts, prices, worth


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


def _rungs(u: Floats, bits: float) -> list[float]:
    """Where a message of so many bits is made good to be cut: at about 100, 500, 2,600 ... bytes.

    Each costs some of what comes after it. The first pays only where magnitudes differ much: else what is cheap comes
    first by itself, the layers and their rows being told in that order.
    """
    found, rung = [], _FIRST_RUNG
    while 2 * rung < bits:
        spread = u[: int(rung / 8)].mean() / u[: int(_RUNG_RATIO * rung / 8)].mean()
        if rung > _FIRST_RUNG or spread > _SPREAD:
            found.append(rung)
        rung *= _RUNG_RATIO
    return found


class _Prices:
    """Bits of naming each candidate, given which others are named."""

    def __init__(self, candidates: Integers, negative: NDArray[np.bool_], shared: Shared) -> None:
        self._shared = shared
        self._layer = layers_of(candidates, shared)
        self._row, self._column, self._sign = _placed(candidates, negative, self._layer, shared)

    def given(self, chosen: Integers) -> Floats:
        """Price all candidates as if about as many of each layer were named as there are among the chosen.

        A set that expects μ picks in a cell pays −log2 μ for one more there, and a bit or less for its sign.
        """
        return _prices(self._layer, self._row, self._column, self._sign, chosen, self._shared)


@njit(cache=True)
def _placed(
    candidates: Integers, negative: NDArray[np.bool_], layer_of: Integers, shared: Shared
) -> tuple[Integers, Integers, Floats]:
    """Rows and columns of candidates within their layers, by rank, and the bits of their signs."""
    row, column = np.empty(candidates.size, np.int64), np.empty(candidates.size, np.int64)
    sign = np.ones(candidates.size)
    for i in range(candidates.size):
        layer = layer_of[i]
        if shared.hot.size > 0 and layer == 0:
            place = np.searchsorted(shared.hot, candidates[i])
            row[i], column[i] = 0, place
            sign[i] = _SAME_BITS if negative[i] == shared.hot_negative[place] else _TURN_BITS
            continue
        row[i], column[i] = divmod(candidates[i] - shared.start[layer], shared.columns[layer])
        if shared.first_row[layer] >= 0:
            row[i] = shared.row_rank[shared.first_row[layer] + row[i]]
            column[i] = shared.column_rank[shared.first_column[layer] + column[i]]
    return row, column, sign


@njit(cache=True)
def _prices(
    layer_of: Integers, row: Integers, column: Integers, sign: Floats, chosen: Integers, shared: Shared
) -> Floats:
    """As `_Prices.given`."""
    prices = np.empty(layer_of.size)
    for layer in range(shared.start.size):
        mine = np.flatnonzero(layer_of == layer)
        if mine.size == 0:
            continue
        picked = chosen[layer_of[chosen] == layer]
        rows, columns = shared.rows[layer], shared.columns[layer]
        level = math.log2(rows * columns / max(picked.size, 0.5))
        r, c = shared.first_row[layer], shared.first_column[layer]
        if r < 0:
            for i in mine:
                prices[i] = max(level + sign[i], _LEAST_PRICE)
            continue
        row_level, column_level = shared.row_level[r : r + rows], shared.column_level[c : c + columns]
        by_row, by_column = best_powers(row_level, column_level, row[picked], column[picked])
        level += _mean_weight(row_level, by_row) + _mean_weight(column_level, by_column)
        for i in mine:
            down = by_row * row_level[row[i]] + by_column * column_level[column[i]]
            prices[i] = max(level + sign[i] - down / STEPS, _LEAST_PRICE)
    return prices


@njit(cache=True)
def _mean_weight(levels: Integers, power: int) -> float:
    """log2 of the mean of 2^(power·level/256)."""
    whole = 0.0
    for level in levels:
        whole += 2.0 ** (power * level / STEPS)
    return math.log2(whole / levels.size)


def _divided(chosen: Integers, u: Floats, rate: float) -> tuple[list[Integers], float]:
    """Divide a set, by falling magnitude, into stretches wherever that pays.

    Args:
        chosen: ascending positions in u.
        u: falling magnitudes.
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
