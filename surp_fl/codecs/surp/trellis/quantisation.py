"""A layer → the levels of its coordinates in a step, by the trellis; and the bits that levels are expected to take.

The encoder's side alone. Rates come of counts, of how often each level comes in each quantiser and context, and of a
geometric distribution where little was counted. Knows layers and steps. Does not know the range coder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.surp.trellis.level_reader import USUAL_OFFSETS, magnitudes_of
from surp_fl.codecs.surp.trellis.magnitude_context import CONTEXTS, code_of_mean, contexts_of
from surp_fl.codecs.surp.trellis.search import RATES, choose_levels, count_levels, in_steps, usual_magnitudes
from surp_fl.types import Floats, Vector

Contexts = NDArray[np.int16]

# Tuned constants of the encoder, not of the format; chosen on recorded updates of LeNet-5 and of a CNN with batch
# normalization. simulations.experiments.update_rates measures what a change does.
OFFSETS = USUAL_OFFSETS  # codes of the magnitude of level 1 in both quantisers; see `magnitudes_of`
SLOPE = 0.2  # squared steps that a bit has to remove
_ROUNDING = 0.35  # of a plain rounding to even steps: what is added before it is rounded down
_RUN = 1 << 15  # coordinates of a path, after which the best state is kept
_PRIOR = 4.0  # coordinates, as if seen before, in each context
_UNSEEN = 1e-3  # the same of each level


class Levels(NamedTuple):
    """The levels of a layer.

    Attributes:
        levels: from 0 on; int32, shape (n,).
        contexts: about those in which they will be coded; int16, shape (n,).
        state: of the trellis after them.
        squared_error: in squared steps.
        bits: by the rates they were chosen by.
    """

    levels: NDArray[np.int32]
    contexts: Contexts
    state: int
    squared_error: float
    bits: float


class Learnt(NamedTuple):
    """What levels of a vector tell about those in a step nearby.

    Attributes:
        rates: as `rates_of` gives them.
        contexts: of each layer, in the order of coding; int16, shape (n,).
    """

    rates: Floats
    contexts: list[Contexts]


def levels_of(
    values: Vector, columns: int, step: float, rates: Floats, state: int, contexts: Contexts | None = None
) -> Levels:
    """Choose the levels of a layer.

    Args:
        values: row by row; float32, shape (n,), n > 0.
        columns: n is a multiple of it.
        step: of all magnitudes.
        rates: as `rates_of` gives them.
        state: of the trellis before them.
        contexts: about those in which they will be coded; None for those of a plain rounding.
    """
    n = len(values)
    if not values.any():
        return Levels(np.zeros(n, np.int32), np.zeros(n, np.int16), state, 0.0, 0.0)
    sizes, levels = np.empty(n, np.float32), np.empty(n, np.int32)
    if contexts is None:
        total = in_steps(values, step, _ROUNDING, sizes, levels)
        contexts = _contexts_of(levels, columns, total)
    else:
        np.divide(np.abs(values, out=sizes), step, out=sizes, dtype=np.float64, casting="same_kind")
    squared_error = bits = 0.0
    for start in range(0, n, _RUN):
        run = slice(start, start + _RUN)
        state, error, taken = choose_levels(sizes[run], contexts[run], rates, SLOPE, _USUAL, state, levels[run])
        squared_error, bits = squared_error + error, bits + taken
    if (long := levels >= RATES - 2).any():
        bits -= float(np.log2(1 - _LONGER[contexts[long], 0]).sum())  # that none is longer; the same for all
    return Levels(levels, contexts, state, squared_error, bits)


def learnt_of(levels: Sequence[NDArray[np.int32]], columns: Sequence[int]) -> Learnt:
    """What levels that were chosen tell about others.

    Args:
        levels: of each layer, in the order of coding; int32, shape (n,), n > 0.
        columns: of each layer.
    """
    counts, contexts, state = np.zeros(2 * CONTEXTS * RATES), [], 0
    for each, width in zip(levels, columns, strict=True):
        total = int(each.sum(dtype=np.int64))
        contexts.append(_contexts_of(each, width, total))
        if total:
            state = count_levels(each, contexts[-1], state, 1.0, counts)
    return Learnt(rates_of(counts), contexts)


def _contexts_of(levels: NDArray[np.int32], columns: int, total: int) -> Contexts:
    """The contexts of a layer; `total` of its levels."""
    contexts = np.empty(len(levels), np.int16)
    contexts_of(levels, columns, code_of_mean(max(total, 1) / len(levels)), contexts)
    return contexts


def rates_of(counts: Floats) -> Floats:
    """Bits of levels, with a sign, by quantiser, context and level, as `choose_levels` takes them.

    Args:
        counts: as `count_levels` gives them.
    """
    likely = counts.reshape(2, CONTEXTS, RATES)[:, :, :-1] + _PRIOR_COUNTS + _UNSEEN
    rates = np.empty((2, CONTEXTS, RATES))
    rates[:, :, :-1] = np.log2(likely.sum(axis=2, keepdims=True)) - np.log2(likely)
    rates[:, :, 1:-1] += 1
    rates[:, :, -1] = -np.log2(_LONGER[:, 0])
    return rates.reshape(-1)


def expected_bits(counts: Floats, rates: Floats) -> float:
    """Bits of levels that were counted, by their rates; without what tells the longest apart."""
    return float((counts.reshape(-1, RATES)[:, :-1] * rates.reshape(-1, RATES)[:, :-1]).sum())


def bits_of_longest(found: Levels) -> float:
    """Bits that tell the longest levels of a layer apart; they are geometrically distributed."""
    if not (long := found.levels >= RATES - 2).any():
        return 0.0
    longer = _LONGER[found.contexts[long], 0]
    more = (found.levels[long] - (RATES - 2)) * -np.log2(longer) - np.log2(1 - longer)
    return float(more.sum())


_USUAL = usual_magnitudes(magnitudes_of(*OFFSETS) / 16)  # in steps
_EXPECTED = 2.0 ** ((np.arange(CONTEXTS) - 32) / 4)[:, None]  # levels of each context
_LONGER = _EXPECTED / (1 + _EXPECTED)  # the share of levels beyond each, geometrically distributed
_LEVEL = np.arange(RATES - 1)
_PRIOR_COUNTS = _PRIOR * np.where(_LEVEL < RATES - 2, (1 - _LONGER) * _LONGER**_LEVEL, _LONGER**_LEVEL)
PRIOR_RATES = rates_of(np.zeros(2 * CONTEXTS * RATES))
