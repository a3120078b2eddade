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

from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.rate_model import RateModel
from surp_fl.topk import largest
from surp_fl.types import Floats, Integers, Signs, Vector

if TYPE_CHECKING:
    import torch

# Set by hand unless a line says otherwise; simulations.experiments.messages measures what a change does to the error of
# messages on recorded LeNet-5 updates.
_GROUP_BITS = 18.0  # estimate: the count and the magnitude of one more group
_POISSON_BITS = math.log2(math.e)  # derived: log2(k^k / k!) / k → log2 e, beyond −log2 of each index's own probability
_FIRST_TRUNCATION_BITS = 726.0  # set by hand: about 100 bytes
_TRUNCATION_RATIO = 5.32  # set by hand: points at about 100, 500 and 2,600 bytes
_MIN_MAGNITUDE_RATIO = 1.3  # set by hand: of mean magnitudes, for the first truncation point to pay
_OVERSELECTION, _OVERSELECTION_BITS = 1.05, 30.0  # set by hand: over-select by 5 % and 30 bits, then drop to fit
_MIN_SLOPE = 0.01  # set by hand: share of the mean slope; applies where the budget covers even coordinates of no gain
_MIN_MAGNITUDE_SHARE = 0.55  # of the group's magnitude; derived: below 1/2 coding adds error, 0.05 is for rounding
_RATE_EXPONENT = 0.5  # set by hand: below 1, so that expensive coordinates are not starved under error feedback
_ITERATIONS, _LONG_BITS = 2, 4000  # set by hand: re-estimates of the rates; one more for budgets above so many bits


@dataclass(frozen=True)
class MagnitudeGroup:
    """Coordinates that share a magnitude.

    Attributes:
        coordinates: ascending int64, shape (k,).
        negative: their signs; bool, shape (k,).
        magnitude: mean of the magnitudes it stands for.
        prices: bits that each coordinate is expected to cost; shape (k,).
        worth: squared error that each takes away, per bit; shape (k,).
    """

    coordinates: Integers
    negative: Signs
    magnitude: float
    rate_bits: Floats
    gain_per_rate: Floats


def select_groups(
    vector: Vector | torch.Tensor, side: SideInformation, bits: float, progressive: bool = False
) -> list[MagnitudeGroup]:
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
    rate_model = RateModel(found, negative, side)
    remaining, spent_bits = np.arange(found.size), 0.0
    groups: list[MagnitudeGroup] = []
    for target_bits in (
        *(_truncation_points(u, bits) if progressive else ()),
        _OVERSELECTION * bits + _OVERSELECTION_BITS,
    ):
        parts, rate_bits, gain_per_rate = _select(remaining, u, rate_model, target_bits - spent_bits)
        for by_size in parts:
            part = by_size[np.argsort(found[by_size])]
            groups.append(
                MagnitudeGroup(found[part], negative[part], float(u[part].mean()), rate_bits[part], gain_per_rate[part])
            )
        spent_bits = target_bits
        kept = np.ones(found.size, np.bool_)
        kept[np.concatenate(parts)] = False
        remaining = remaining[kept[remaining]]
        if remaining.size == 0:
            break
    return groups


def _select(
    remaining: Integers, u: Floats, rate_model: RateModel, bits: float
) -> tuple[list[Integers], Floats, Floats]:
    """Choose stretches for so many bits, at least one.

    Args:
        left: positions among the candidates; ascending.
        u: falling magnitudes of all candidates.
        priced: their prices.
        bits: for indices, signs, and the second and further stretches.

    Returns:
        Ascending positions for each stretch; prices of all candidates, and their worth.
    """
    chosen = remaining[: max(1, int(bits / 8))]
    parts: list[Integers] = []
    split_bits = 0.0
    for _ in range(_ITERATIONS + (bits > _LONG_BITS)):
        rate_bits = rate_model.rate_bits_given(chosen)
        gain_per_rate = u * u / rate_bits**_RATE_EXPONENT
        order = remaining[np.argsort(-gain_per_rate[remaining], kind="stable")]
        size = np.arange(1, order.size + 1)
        total_bits = np.cumsum(rate_bits[order]) + size * (np.log2(chosen.size / size) + _POISSON_BITS)
        budget_bits = max(bits - split_bits, bits / 2)
        chosen = order[: int(np.searchsorted(np.maximum.accumulate(total_bits), budget_bits)) + 1]
        last = chosen[-max(1, chosen.size // 8) :]
        slope = float((u[last] ** 2).sum() / rate_bits[last].sum())
        slope = max(slope, _MIN_SLOPE * float((u[chosen] ** 2).sum() / rate_bits[chosen].sum()))
        parts, split_bits = _split_by_magnitude(np.sort(chosen), u, slope)
    return parts, rate_bits, gain_per_rate


def drop_lowest_gain(chosen: list[MagnitudeGroup], share: float) -> list[MagnitudeGroup]:
    """Let go what is worth least, for a share of the bits."""
    gain_per_rate = np.concatenate([group.gain_per_rate for group in chosen])
    rate_bits = np.concatenate([group.rate_bits for group in chosen])
    order = np.argsort(gain_per_rate, kind="stable")
    dropped = int(np.searchsorted(np.cumsum(rate_bits[order]), share * rate_bits.sum())) + 1
    kept = np.ones(gain_per_rate.size, np.bool_)
    kept[order[:dropped]] = False
    parts = np.split(kept, np.cumsum([group.gain_per_rate.size for group in chosen])[:-1])
    return [
        MagnitudeGroup(
            group.coordinates[part], group.negative[part], group.magnitude,
            group.rate_bits[part], group.gain_per_rate[part],
        )
        for group, part in zip(chosen, parts, strict=True)
        if part.any()
    ]  # fmt: skip


def _truncation_points(u: Floats, bits: float) -> list[float]:
    """Where a message of so many bits is made good to be cut: at about 100, 500, 2,600 ... bytes.

    Each costs some of what comes after it. The first pays only where magnitudes differ much: else what is cheap comes
    first by itself, the layers and their rows being told in that order.
    """
    found, point = [], _FIRST_TRUNCATION_BITS
    while 2 * point < bits:
        magnitude_ratio = u[: int(point / 8)].mean() / u[: int(_TRUNCATION_RATIO * point / 8)].mean()
        if point > _FIRST_TRUNCATION_BITS or magnitude_ratio > _MIN_MAGNITUDE_RATIO:
            found.append(point)
        point *= _TRUNCATION_RATIO
    return found


def _split_by_magnitude(chosen: Integers, u: Floats, slope: float) -> tuple[list[Integers], float]:
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
    remaining, right = sums[:-1], sums[-1] - sums[:-1]
    gain = remaining**2 / first + right**2 / (k - first) - sums[-1] ** 2 / k
    share = first / k
    bits = _GROUP_BITS - k * (share * np.log2(share) + (1 - share) * np.log2(1 - share))
    net_gain = gain - slope * bits
    if k < 2 or net_gain.max() <= 0:
        while values[-1] < _MIN_MAGNITUDE_SHARE * values.mean():  # naming these would add error
            values = values[values >= _MIN_MAGNITUDE_SHARE * values.mean()]
        return [chosen[: values.size]], 0.0
    boundary = int(net_gain.argmax()) + 1
    upper, upper_bits = _split_by_magnitude(chosen[:boundary], u, slope)
    lower, lower_bits = _split_by_magnitude(chosen[boundary:], u, slope)
    return upper + lower, upper_bits + lower_bits + float(bits[boundary - 1])
