"""Levels and signs of a layer ↔ a range coder, row by row.

A row of several begins with whether it has a level but 0; one that has none takes no more. Encoder and decoder mirror
each other. Knows levels and signs. Does not know how they are coded.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.surp.trellis.level_models import LevelModels
from surp_fl.codecs.surp.trellis.magnitude_context import MagnitudeContext
from surp_fl.codecs.surp.trellis.sign_odds import SignOdds
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.types import Floats, Integers, Vector

# see "Credit" in FORMAT.md: each coordinate, a run of a row at a time, without lags and with; each level but 0
_WORK_OF_CELL, _WORK_WITH_LAGS, _WORK_OF_LEVEL, _RUN = 2, 3, 20, 4096


def encode_layer(
    encoder: RangeEncoder, models: LevelModels, levels: NDArray[np.int32], values: Vector, columns: int, mean_code: int,
    lags: Integers, weights: Integers,
) -> None:  # fmt: skip
    """Encode the levels of a layer, not all of which are 0.

    Args:
        encoder: of the message.
        models: after the layers before; updated.
        levels: from 0 on, row by row; int32, shape (n,).
        values: whose signs they have; float32, shape (n,).
        columns: n is a multiple of it.
        mean_code: of the layer's mean level, which the decoder knows.
        lags, weights: of signs, as `SignLags` has them, which the decoder knows.
    """
    rows = len(levels) // columns
    work = _WORK_WITH_LAGS if len(lags) > 0 else _WORK_OF_CELL
    contexts, signs = MagnitudeContext(rows, columns, mean_code), SignOdds(rows, columns, lags, weights)
    for row in range(rows):
        start = row * columns
        contexts.begin_row()
        if rows > 1:
            other = False
            for i in range(start, start + columns):
                if levels[i] != 0:
                    other = True
                    break
            models.encode_row(encoder, columns, other)
            if not other:
                continue
        signs.begin_row()
        paid = 0
        for column in range(columns):
            if column == paid:
                paid = min(paid + _RUN, columns)
                encoder.spend(work * (paid - column))
            level = int(levels[start + column])
            told = signs.told(column)
            models.encode(encoder, level, contexts.context(column, told if told >= 0 else -told))
            if level > 0:
                encoder.spend(_WORK_OF_LEVEL)
                signs.encode(encoder, column, told, values[start + column] < 0)
            contexts.add(column, level)


def decode_layer(
    decoder: RangeDecoder, models: LevelModels, values: Vector, columns: int, mean_code: int, lags: Integers,
    weights: Integers, magnitudes: Floats, unit: float, most: float, measured: bool,
) -> int:  # fmt: skip
    """Decode a layer.

    Args:
        decoder: of the message.
        models: after the layers before; updated.
        values: filled in, from its beginning on; float32, shape (n,), of zeros.
        columns: n is a multiple of it.
        mean_code, lags, weights: as the encoder was given.
        magnitudes: of level 1 in both quantisers, in units; float64, shape (2,).
        unit: of magnitudes; a step has 16.
        most: the largest magnitude.
        measured: whether to add up the bits of signs.

    Returns:
        How many coordinates were decoded before the decoder was exhausted.
    """
    rows = len(values) // columns
    work = _WORK_WITH_LAGS if len(lags) > 0 else _WORK_OF_CELL
    contexts, signs = MagnitudeContext(rows, columns, mean_code), SignOdds(rows, columns, lags, weights)
    for row in range(rows):
        start = row * columns
        contexts.begin_row()
        if rows > 1:
            other = models.decode_row(decoder, columns)
            if decoder.exhausted():
                return start
            if not other:
                continue
        signs.begin_row()
        paid = 0
        for column in range(columns):
            if column == paid:
                paid = min(paid + _RUN, columns)
                decoder.spend(work * (paid - column))
            quantiser = models.state & 1
            told = signs.told(column)
            level = models.decode(decoder, contexts.context(column, told if told >= 0 else -told))
            if decoder.exhausted():
                return start + column
            if level > 0:
                decoder.spend(_WORK_OF_LEVEL)
                bits_before = decoder.bits_read() if measured else 0.0
                negative = signs.decode(decoder, column, told)
                if decoder.exhausted():
                    return start + column
                if measured:
                    models.sign_bits += decoder.bits_read() - bits_before
                magnitude = magnitudes[quantiser] if level == 1 else 16.0 * (2 * level - quantiser)
                magnitude = min(magnitude * unit, most)
                values[start + column] = -magnitude if negative else magnitude
            contexts.add(column, level)
    return len(values)
