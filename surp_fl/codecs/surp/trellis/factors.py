"""Low-rank factors of layers ↔ a range coder, and their format.

A dense layer's gradient is a sum of outer products, one for each example; so is an update of a few local steps, and
most of it lies in far fewer of them. The product of a left and a right factor tells them with a level for each row and
each column of a component, instead of one for each cell.

    ranks       of each layer that may have factors, in the order of coding: how many components, an integer of
                `entropy/adaptive_integer.py`, of depth 4; not more than have fewer values than the layer has cells
    magnitudes  of each component: the change of its code, zigzag, an integer of the same kind in a model of its own;
                4096 before the first one, 1 to 2^13 − 1, as in groups.py
    levels      as in level_reader.py, of two layers for each that has components: rank × rows, and rank × columns

A cell gets, one component after another, left · right · magnitude. Bytes may end anywhere: values that they do not
determine are 0.

Source: Vogels et al. 2019, "PowerSGD", for low-rank gradients; its factors are in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.surp.groups import magnitude_of
from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.rank_one import CODE_BITS, layers_with_terms
from surp_fl.codecs.surp.trellis.factor_loops import add_products
from surp_fl.codecs.surp.trellis.level_reader import Layer, matrix_of, read_levels, rise_of, zigzag
from surp_fl.entropy.adaptive_integer import AdaptiveInteger
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.types import Floats, Vector

_DEPTH, _FIRST_CODE = 4, 4096
_PRODUCTS_PER_WORK = 16  # see "Credit" in FORMAT.md


def layers_with_factors(side: SideInformation) -> list[Layer]:
    """The layers that may have factors, in the order of coding: those that may have rank-one terms."""
    return [Layer(int(side.start[i]), int(side.rows[i]), int(side.columns[i])) for i in layers_with_terms(side)]


def most_components(layer: Layer) -> int:
    """The largest rank, at which a layer's factors have about as many values as it has cells."""
    return layer.rows * layer.columns // (layer.rows + layer.columns)


class Shape(NamedTuple):
    """Components of a layer, without their values.

    Attributes:
        layer: that they are added to.
        codes: of their magnitudes.
    """

    layer: Layer
    codes: list[int]


def layers_of_factors(shapes: Sequence[Shape]) -> list[Layer]:
    """Where factors are, end to end: of each shape the left one, then the right one."""
    found, start = [], 0
    for layer, codes in shapes:
        for columns in (layer.rows, layer.columns):
            found.append(Layer(start, len(codes), columns))
            start += len(codes) * columns
    return found


def write_shapes(encoder: RangeEncoder, side: SideInformation, shapes: Sequence[Shape]) -> None:
    """Write what comes before the levels of factors.

    Args:
        encoder: that holds the mode.
        side: the layers, without a context.
        shapes: of those that have components, in the order of coding.
    """
    ranks, magnitudes = AdaptiveInteger(_DEPTH), AdaptiveInteger(_DEPTH)
    by_start = {shape.layer.start: len(shape.codes) for shape in shapes}
    for layer in layers_with_factors(side):
        ranks.encode(encoder, by_start.get(layer.start, 0))
    before = _FIRST_CODE
    for code in (code for shape in shapes for code in shape.codes):
        magnitudes.encode(encoder, zigzag(code - before))
        before = code


def read_shapes(decoder: RangeDecoder, side: SideInformation) -> list[Shape] | None:
    """Read that; None if the bytes do not determine it.

    Raises:
        MalformedBits: there are more components, or other magnitudes, than any encoder writes.
    """
    ranks, magnitudes = AdaptiveInteger(_DEPTH), AdaptiveInteger(_DEPTH)
    shapes, code = [], _FIRST_CODE
    for layer in layers_with_factors(side):
        rank = int(ranks.decode(decoder))
        if decoder.exhausted():
            return None
        if rank > most_components(layer):
            raise MalformedBits(f"{rank} components of a layer; expected at most {most_components(layer)}")
        if rank > 0:
            shapes.append(Shape(layer, [0] * rank))
    for shape in shapes:
        for i in range(len(shape.codes)):
            change = magnitudes.decode(decoder)
            if decoder.exhausted():
                return None
            code += rise_of(int(change))
            if not 0 < code < 1 << CODE_BITS:
                raise MalformedBits(f"code {code} of a component's magnitude; expected 1 to {(1 << CODE_BITS) - 1}")
            shape.codes[i] = code
    return shapes


class ReadFactors(NamedTuple):
    """What was read of factors.

    Attributes:
        shapes: of those that have components.
        values: of all, end to end; float32.
        sign_bits: of their signs, if they were measured.
    """

    shapes: list[Shape]
    values: Vector
    sign_bits: float

    def add_to(self, vector: Vector) -> None:
        """Add their products to what levels say of the layers; float32, shape (n,)."""
        start = 0
        for (first, rows, columns), codes in self.shapes:
            middle, end = start + len(codes) * rows, start + len(codes) * (rows + columns)
            sides = self.values[start:middle], self.values[middle:end]
            if sides[0].any():
                add_products(vector[first : first + rows * columns], columns, *sides, magnitudes_of_codes(codes))
            start = end


NO_FACTORS = ReadFactors([], np.empty(0, np.float32), 0.0)


def read_factors(decoder: RangeDecoder, side: SideInformation, measured: bool) -> ReadFactors:
    """Read factors, and pay for their products.

    Args:
        decoder: of the message, behind the mode, not exhausted.
        side: the layers, without a context.
        measured: whether to add up the bits of signs.

    Raises:
        MalformedBits: no encoder writes this.
    """
    if (shapes := read_shapes(decoder, side)) is None:
        return NO_FACTORS
    layers = layers_of_factors(shapes)
    values = np.zeros(sum(layer.rows * layer.columns for layer in layers), np.float32)
    sign_bits = read_levels(decoder, values, layers, measured).sign_bits
    for shape, left in zip(shapes, layers[::2], strict=True):
        decoder.spend(work_of_products(matrix_of(values, left), shape.layer.columns))
    return ReadFactors(shapes, values, sign_bits)


def magnitudes_of_codes(codes: Sequence[int]) -> Floats:
    """Magnitudes of components, float64."""
    return np.array([magnitude_of(code) for code in codes])


def work_of_products(lefts: NDArray[np.int32] | Vector, columns: int) -> int:
    """Work units of the products of a layer, from the levels of its left factor or their values."""
    return int(np.count_nonzero(lefts)) * columns // _PRODUCTS_PER_WORK
