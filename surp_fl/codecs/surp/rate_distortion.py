"""Rate–distortion selection of coordinates and magnitudes, within a number of bits.

The encoder's side alone: decoders need none of it. Each coordinate has a gain (the squared error that sending it would
remove) and a rate (the bits of its index and sign, from `rate_model.py`); coordinates are selected by falling gain per
rate. A *group* is a set of coordinates that share one magnitude. A group is split in two where the distortion saved per
bit exceeds the current slope of the rate–distortion curve. Knows rates. Does not know bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.magnitude_groups import split_by_magnitude
from surp_fl.codecs.surp.rate_model import RateModel
from surp_fl.topk import largest
from surp_fl.types import Floats, Integers, Signs, Vector

if TYPE_CHECKING:
    import torch

# Tuned constants of the encoder, not of the format. The history names no experiment that chose those "set by hand";
# simulations.experiments.messages measures what a change does, on recorded updates.
_LOG2_E = math.log2(math.e)  # derived: a set costs log2 C(n, k) ≈ k·log2(n/k) + k·log2 e bits
_FIRST_TRUNCATION_BITS = 726.0  # set by hand: about 100 bytes
_TRUNCATION_RATIO = 5.32  # set by hand: points at about 100, 500 and 2,600 bytes
_MIN_MAGNITUDE_RATIO = 1.3  # set by hand: of mean magnitudes, below which the first truncation point does not pay
_OVERSELECTION, _OVERSELECTION_BITS = 1.05, 30.0  # set by hand: over-select by 5 % and 30 bits, then drop to fit
_MIN_SLOPE = 0.01  # set by hand: share of the mean slope, for budgets that hold even coordinates without gain
_RATE_EXPONENT = 0.5  # set by hand: below 1, so that expensive coordinates are not starved under error feedback
_ITERATIONS, _LONG_BITS = 2, 4000  # set by hand: re-estimates of the rates; one more for budgets above so many bits


@dataclass(frozen=True)
class Group:
    """Coordinates that share a magnitude.

    Attributes:
        coordinates: ascending; int64, shape (k,).
        negative: whether each is negative; bool, shape (k,).
        magnitude: mean of the k magnitudes.
    """

    coordinates: Integers
    negative: Signs
    magnitude: float


@dataclass(frozen=True)
class MagnitudeGroup(Group):
    """A group, and what is known of its coordinates.

    Attributes:
        rate_bits: expected bits of each coordinate's index and sign; float64, shape (k,).
        gain_per_rate: squared error that sending each removes, over a power of its rate; float64, shape (k,).
    """

    rate_bits: Floats
    gain_per_rate: Floats


def select_groups(
    vector: Vector | torch.Tensor, side: SideInformation, bits: float, progressive: bool = False
) -> list[MagnitudeGroup]:
    """Select coordinates and magnitudes; about 5 % more than the bits hold, for `drop_lowest_gain`.

    Args:
        vector: float32, shape (n,); an array, or a tensor on any device.
        side: what the decoder holds.
        bits: for indices, signs, and for the counts and magnitudes of all groups but the first.
        progressive: select in several passes, so that truncated messages are near-optimal for their length.

    Returns:
        Groups without common coordinates, by falling magnitude within each pass; none for a vector of zeros.

    Raises:
        ValueError: the vector holds NaN or infinity.
    """
    found, values = largest(vector, int(bits / 2) + 64)
    if found.size == 0:
        return []
    u = np.abs(values).astype(np.float64)
    negative = np.signbit(values)
    rate_model = RateModel(found, negative.view(np.uint8), side)
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
    """Select coordinates for a number of bits, at least one, and split them into groups.

    The rates depend on the selection, and the selection on the rates: two or three iterations.

    Args:
        remaining: positions among the candidates; ascending.
        u: falling magnitudes of all candidates.
        rate_model: their rates.
        bits: for indices, signs, and all groups but the first.

    Returns:
        Ascending positions of each group; rates and gains per rate of all candidates.
    """
    chosen = remaining[: max(1, int(bits / 8))]
    split_bits = 0.0
    for _ in range(_ITERATIONS + (bits > _LONG_BITS)):
        rate_bits = rate_model.rate_bits_given(chosen)
        gain_per_rate = u * u / rate_bits**_RATE_EXPONENT
        order = remaining[np.argsort(-gain_per_rate[remaining], kind="stable")]
        size = np.arange(1, order.size + 1)
        total_bits = np.cumsum(rate_bits[order]) + size * (np.log2(chosen.size / size) + _LOG2_E)
        budget_bits = max(bits - split_bits, bits / 2)
        chosen = order[: int(np.searchsorted(np.maximum.accumulate(total_bits), budget_bits)) + 1]
        last = chosen[-max(1, chosen.size // 8) :]
        slope = float((u[last] ** 2).sum() / rate_bits[last].sum())
        slope = max(slope, _MIN_SLOPE * float((u[chosen] ** 2).sum() / rate_bits[chosen].sum()))
        by_size = np.sort(chosen)
        groups, split_bits = split_by_magnitude(u[by_size], slope)
    return [by_size[start:end] for start, end in groups], rate_bits, gain_per_rate


def slope_of(groups: list[MagnitudeGroup]) -> float:
    """Squared error that one more bit would remove, about as the last eighth of the coordinates does; 0 for none."""
    if not groups:
        return 0.0
    gain_per_rate = np.concatenate([group.gain_per_rate for group in groups])
    rate_bits = np.concatenate([group.rate_bits for group in groups])
    last = np.argsort(gain_per_rate, kind="stable")[: max(1, gain_per_rate.size // 8)]
    return float((gain_per_rate[last] * rate_bits[last] ** _RATE_EXPONENT).sum() / rate_bits[last].sum())


def drop_lowest_gain(chosen: list[MagnitudeGroup], share: float) -> list[MagnitudeGroup]:
    """Drop the coordinates of lowest gain per rate, now that the coded size is known.

    Args:
        chosen: the groups.
        share: of their expected bits to drop, 0 to 1; at least one coordinate is dropped.

    Returns:
        The groups that are left, with their magnitudes unchanged.
    """
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
    """Truncation points at which a prefix of the message is near-optimal, in bits: at about 100, 500, 2,600 ... bytes.

    Each costs some of the bits after it. The first one pays only if magnitudes differ much; otherwise coordinates of
    low rate come first in any case, as layers and rows are coded in that order.
    """
    found, point = [], _FIRST_TRUNCATION_BITS
    while 2 * point < bits:
        magnitude_ratio = u[: int(point / 8)].mean() / u[: int(_TRUNCATION_RATIO * point / 8)].mean()
        if point > _FIRST_TRUNCATION_BITS or magnitude_ratio > _MIN_MAGNITUDE_RATIO:
            found.append(point)
        point *= _TRUNCATION_RATIO
    return found
