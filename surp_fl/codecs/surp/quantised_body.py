"""A second writing end of SuRP: the whole of a vector, quantised, at any rate; the messages are those of `decoder.py`.

`encoder.py` selects coordinates for messages of federated learning, far below a bit a coordinate and under error
feedback. Here nothing is kept for later, and a budget may hold many bits a coordinate: the least squared error for it
is that of entropy-constrained quantisation (`scalar_quantiser.py`). Each level is a group, the largest first, so that
a prefix of the message holds the largest coordinates. Knows no reference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from surp_fl.codecs.surp.balanced_rows import balanced
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.decoder import NO_CONTEXT
from surp_fl.codecs.surp.encoder import Message, begun, capacity_within, residual_of
from surp_fl.codecs.surp.groups import magnitude_of
from surp_fl.codecs.surp.rate_distortion import Group
from surp_fl.codecs.surp.scalar_quantiser import Levels, Magnitudes, at_slope, largest_of, levels_for
from surp_fl.errors import DIVERGED
from surp_fl.frame import HEADER_BYTES
from surp_fl.layout import Layout
from surp_fl.types import Vector

# Tuned constants of the encoder, not of the format; set by hand.
_TRIALS = 5  # encodings of a stage
_TOLERANCE, _TOLERANCE_BITS = 0.002, 16  # how much longer than wanted a stage may be: what exceeds the budget is cut
_PRICE_FALL = 4.0  # at most, from one encoding to the next
_SAME_PRICE = 1e-4  # change of the bits for an expected one, at which another encoding would be the same
_SMALLEST_SLOPE, _LARGEST_SLOPE = 1e-9, 10.0  # of the largest squared magnitude
_BRACKET = 1.1  # of slopes, between which designs end
_RANGE, _THINNINGS, _CLOSE = 16.0, 20, 0.01  # of slopes for thresholds alone, bisected so often; how close bits come
_CONVOLUTION = 3  # dimensions of its weights, or more: a filter for each index of the first
_MAX_STAGES, _MIN_STAGE = 8, 0.01  # corrections of what is coded, while they have this share of the bytes


def write_quantised(vector: Vector, layout: Layout, budget: int, points: Sequence[int] = ()) -> bytes:
    """Write the body of a message with the least squared error within a budget.

    Args:
        vector: float32, shape (n,).
        layout: of the model, n coordinates.
        budget: bytes, whole message, its frame included.
        points: lengths of messages, ascending, at which a truncated one shall be as good as one made for it; each costs
            some of the bytes after it.

    Returns:
        At most budget − HEADER_BYTES bytes.

    Raises:
        ValueError: the vector holds NaN or infinity.

    >>> vector = np.array([0, 0.1, -4, 4.1, 0, 0, 0, 0], np.float32)
    >>> len(write_quantised(vector, Layout.of({"weight": vector}), 40)) <= 40 - HEADER_BYTES
    True
    """
    if not np.isfinite(vector).all():
        raise ValueError(DIVERGED)
    capacity = capacity_within(budget, layout.size)
    message = begun(NO_CONTEXT, Context.of(layout, None).side, capacity)
    targets = [point - HEADER_BYTES for point in points if HEADER_BYTES < point < budget]
    residual = vector
    for stage in range(_MAX_STAGES + len(targets)):
        if message.full or not residual.any() or capacity - message.length < _MIN_STAGE * capacity:
            break
        target = targets[stage] if stage < len(targets) else capacity
        message, groups = _with_stage(message, residual, layout, target, disjoint=stage == 0)
        residual = residual_of(residual, groups)
    return message.to_bytes()


def _places(layout: Layout) -> list[slice]:
    """Where each layer is in the vector."""
    return [slice(end - spec.size, end) for spec, end in zip(layout.floats, layout.ends.tolist(), strict=True)]


def _with_stage(
    message: Message, vector: Vector, layout: Layout, target: int, disjoint: bool
) -> tuple[Message, list[Group]]:
    """The message with one more stage, to `target` bytes or a little more; and the stage's groups."""
    wanted = 8.0 * max(target - message.length, 1)
    layers = [Magnitudes.of(vector[place]) for place in _places(layout)]
    price = 1.0  # bits as they are, for one that was expected
    for _ in range(_TRIALS):
        levels = _levels_within(layers, wanted * (1 + _TOLERANCE / 2) / price)
        groups = _groups_of(vector, layout, levels)
        longer = message.with_groups(groups, disjoint)
        excess = 8.0 * (longer.length - message.length) - wanted
        if 0 <= excess <= _TOLERANCE * wanted + _TOLERANCE_BITS:
            break
        price_before, price = price, max((wanted + excess) / max(levels.expected_bits, 1.0), price / _PRICE_FALL)
        if abs(price - price_before) < _SAME_PRICE * price:  # the finest levels, or few coordinates
            break
    return longer, groups


def _levels_within(layers: Sequence[Magnitudes], bits: float) -> Levels:
    """The levels of least error whose expected bits are about those given; the finest ones if these have fewer.

    Between two designs of neighbouring slopes, thresholds of both are tried: the bits of designs may jump.
    """
    unit = largest_of(layers) ** 2
    low, high = _SMALLEST_SLOPE * unit, _LARGEST_SLOPE * unit
    longer, shorter = levels_for(layers, low), levels_for(layers, high)
    if longer.expected_bits <= bits:
        return longer
    while high > _BRACKET * low:
        middle = math.sqrt(low * high)
        designed = levels_for(layers, middle)
        if designed.expected_bits > bits:
            low, longer = middle, designed
        else:
            high, shorter = middle, designed
    found = [_matched(longer, layers, bits, low, _RANGE * low), _matched(shorter, layers, bits, high / _RANGE, high)]
    return min(found, key=lambda levels: (levels.expected_bits > bits * (1 + _CLOSE), levels.error))


def _matched(levels: Levels, layers: Sequence[Magnitudes], bits: float, low: float, high: float) -> Levels:
    """The magnitudes of `levels`, with thresholds of a slope between two that give about so many bits."""
    matched = levels
    for _ in range(_THINNINGS):
        middle = math.sqrt(low * high)
        matched = at_slope(levels, layers, middle)
        low, high = (middle, high) if matched.expected_bits > bits else (low, middle)
    return matched


def _groups_of(vector: Vector, layout: Layout, levels: Levels) -> list[Group]:
    """The coordinates of each level, the largest level first; the sums of convolutions' filters are kept."""
    magnitudes = np.array([magnitude_of(int(code)) for code in levels.codes])
    level, negative = np.zeros(len(vector), np.int16), np.zeros(len(vector), bool)
    for spec, place, thresholds in zip(layout.floats, _places(layout), levels.thresholds, strict=True):
        values = vector[place]
        if len(spec.shape) >= _CONVOLUTION:
            values = balanced(values, spec.shape[0], thresholds, magnitudes)
        level[place], negative[place] = np.searchsorted(thresholds, np.abs(values), side="right"), values < 0
    order = np.argsort(level, kind="stable").astype(np.int64)
    starts = np.searchsorted(level[order], np.arange(1, len(levels.codes) + 2))
    groups = []
    for number in range(len(levels.codes) - 1, -1, -1):
        coordinates = order[starts[number] : starts[number + 1]]
        if coordinates.size:
            groups.append(Group(coordinates, negative[coordinates], float(magnitudes[number])))
    return groups
