"""Uniform quantisation of whole models: each array as multiples of a step, for a number of bits a value.

The step of an array is a power of two, so that values are exact in any float dtype that is wide enough, and the same on
every machine. What the multiples take is left to an entropy coder: with a step of s for normal values of deviation σ
that is about log2(σ √(2πe) / s) bits, a quarter of a bit above what rate–distortion theory allows for so small an error
(Gish and Pierce 1968, "Asymptotically efficient quantizing"). Knows arrays. Does not know messages.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from surp_fl.bit_patterns import unzigzag, zigzag
from surp_fl.errors import MalformedMessage
from surp_fl.lossless import Spec
from surp_fl.types import Array, Arrays

EXACT = 1 << 15  # in place of an exponent: the array is not quantised
_NORMAL = math.log2(math.sqrt(2 * math.pi * math.e))  # bits of a normal value of deviation 1 in steps of 1
_MIN_SIZE = 64  # values of an array; smaller ones are cheap, and often biases or scales
_MOST_MULTIPLE = 1 << 24  # beyond it float32 does not hold every multiple
_MULTIPLES = np.dtype(np.uint32)


def quantised(arrays: Mapping[str, Array], bits: float, names: Iterable[str]) -> tuple[Arrays, list[int]]:
    """Replace arrays by their multiples.

    Args:
        arrays: a model.
        bits: that a value should take, about.
        names: of the float arrays that may be quantised.

    Returns:
        The arrays, where they are quantised as zigzag multiples, uint32; and for each the exponent of its step, or
        `EXACT`.
    """
    may = set(names)
    found: Arrays = {}
    exponents = []
    for name, array in arrays.items():
        exponent = _exponent_of(array, bits) if name in may else EXACT
        exponents.append(exponent)
        if exponent == EXACT:
            found[name] = array
        else:
            multiples = np.rint(np.ldexp(array.astype(np.float64), -exponent)).astype(np.int64)
            found[name] = zigzag(multiples).astype(_MULTIPLES)
    return found, exponents


def specs_of_quantised(specs: list[Spec], exponents: list[int]) -> list[Spec]:
    """What `quantised` makes of arrays of these specs.

    Raises:
        MalformedMessage: there is not one exponent for each array, or one for an array that is not float.
    """
    if len(exponents) != len(specs):
        raise MalformedMessage(f"the quantised model has {len(exponents)} exponents for {len(specs)} arrays")
    for exponent, (name, _, dtype) in zip(exponents, specs, strict=True):
        if exponent != EXACT and (dtype.kind != "f" or not -1100 <= exponent <= 1100):
            raise MalformedMessage(f"the array '{name}' of {dtype} has a step of 2 to the power of {exponent}")
    return [
        (name, shape, dtype if exponent == EXACT else _MULTIPLES)
        for (name, shape, dtype), exponent in zip(specs, exponents, strict=True)
    ]


def dequantised(arrays: Mapping[str, Array], exponents: list[int], specs: list[Spec]) -> Arrays:
    """The model that the multiples stand for; new arrays where they are quantised.

    Args:
        arrays: as `quantised` gives them.
        exponents: the same.
        specs: of the model.
    """
    found: Arrays = {}
    for exponent, (name, _, dtype) in zip(exponents, specs, strict=True):
        if exponent == EXACT:
            found[name] = arrays[name]
            continue
        multiples = unzigzag(arrays[name].astype(np.int64))
        with np.errstate(over="ignore"):
            found[name] = np.ldexp(multiples.astype(np.float64), exponent).astype(dtype)
    return found


def _exponent_of(array: Array, bits: float) -> int:
    """The exponent of an array's step; `EXACT` where it is small, constant or not finite, or its values too uneven.

    Too uneven are also values of which the largest would become infinite, as in masks that hold the least float.
    """
    if array.dtype.kind != "f" or array.size < _MIN_SIZE:
        return EXACT
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = float(np.std(array, dtype=np.float64))
    if not math.isfinite(deviation) or deviation == 0:
        return EXACT
    exponent = round(math.log2(deviation) + _NORMAL - bits)
    largest = float(np.abs(array).max()) * 2.0**-exponent if exponent > -1000 else math.inf
    fits = largest < _MOST_MULTIPLE and math.ldexp(round(largest), exponent) <= float(np.finfo(array.dtype).max)
    return exponent if fits else EXACT
