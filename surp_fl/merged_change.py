"""The lossless difference between two versions of a model: what a chain of changes did, in one message.

A value that several changes touched is told once. Sparse changes leave a value at its old one plus a multiple of some
power of two, but for rounding: so that multiple is coded, and a correction in units of the last place, both by models
that adapt (`entropy/changed_values.py`). Everything else that changed (running statistics, integers, float64 arrays) is
sent as it is, compressed without loss. The message:

    form        1 byte    bit 0: tied arrays are coded separately, as they are no longer equal
    exponent    1 byte    of the power of two, signed
    changes     4 bytes   k, the number of values that are coded; little-endian
    coded       4 bytes   length of the range-coded changes; little-endian
    changes               of each change: a gap, a step, a correction; places count over all coded arrays
    flags                 one bit for each other array, in the layout's order: whether it changed
    others                those that changed, as in lossless/; absent if none did

Knows arrays and layouts. Does not know Flower.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from surp_fl.array_spec import ArraySpec, specs_of
from surp_fl.bit_patterns import bits_of, unzigzag, zigzag
from surp_fl.entropy.changed_values import ChangedValues
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.errors import MalformedMessage
from surp_fl.layout import Layout
from surp_fl.lossless import compress, decompress
from surp_fl.statistics import Kinds
from surp_fl.types import Array, Arrays, Integers

_HEADER = struct.Struct("<BbII")
_UNTIED = 1
_CODED_DTYPES = (np.dtype(np.float16), np.dtype(np.float32))
_EXPONENTS = range(-40, 0)
_SAMPLE = 4096  # changes that the exponent is chosen by
_MAX_CODED = 1 << 33  # what a model of integers holds; corrections are below it: float32 has fewer values than 2**32
_MAX_CHANGES_PER_BYTE = 64  # of the message: bounds a reader's memory; a change that chains make takes a byte and more


@dataclass(frozen=True)
class _Parts:
    """The arrays of a model: those whose values are coded, and the others.

    Attributes:
        coded: float16 and float32 arrays that are trained; of tied ones, the first.
        others: running statistics, integers, float64 arrays.
        copies: pairs of name and the name of the array that it equals, a coded or another one.
    """

    coded: list[ArraySpec]
    others: list[ArraySpec]
    copies: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, layout: Layout) -> _Parts:
        coded = [spec for spec in layout.floats if spec.dtype in _CODED_DTYPES]
        apart = {spec.name for spec in coded} | {name for name, _ in layout.copies}
        return cls(coded, [spec for spec in layout.arrays if spec.name not in apart], layout.copies)


def merge(base: Mapping[str, Array], target: Mapping[str, Array], kinds: Kinds | None = None) -> bytes | None:
    """Encode all that differs between two models.

    Args:
        base: the model that the reader holds.
        target: the model that it is to hold, bit by bit.
        kinds: which arrays are running statistics; None recognises them by name.

    Returns:
        The message; None if most values changed, so that the model itself is as short, or if names, their order, shapes
        or dtypes did.
    """
    if specs_of(base) != specs_of(target):
        return None
    layout = Layout.of(base, kinds)
    untied = any(not np.array_equal(bits_of(target[name]), bits_of(target[first])) for name, first in layout.copies)
    parts = _Parts.of(layout.untied if untied else layout)
    size = sum(spec.size for spec in parts.coded)
    differ = [bits_of(base[spec.name]) != bits_of(target[spec.name]) for spec in parts.coded]
    if sum(int(np.count_nonzero(each)) for each in differ) > size // 2:
        return None  # before the places take eight bytes each
    found = [np.flatnonzero(each) for each in differ]
    old = [base[spec.name].reshape(-1)[places] for spec, places in zip(parts.coded, found, strict=True)]
    new = [target[spec.name].reshape(-1)[places] for spec, places in zip(parts.coded, found, strict=True)]
    exponent = _best_exponent(old, new)
    steps, corrections = _steps_and_corrections(old, new, exponent)
    starts = np.cumsum([0, *(spec.size for spec in parts.coded)])
    places = np.concatenate(
        [np.zeros(0, np.int64), *(each + start for each, start in zip(found, starts, strict=False))]
    )
    encoder = RangeEncoder(64 + 16 * len(places))
    ChangedValues().encode(encoder, np.diff(places, prepend=-1) - 1, steps, corrections)
    coded = encoder.finish() if len(places) else b""
    changed = [not np.array_equal(bits_of(base[spec.name]), bits_of(target[spec.name])) for spec in parts.others]
    others = {spec.name: target[spec.name] for spec, each in zip(parts.others, changed, strict=True) if each}
    message = _HEADER.pack(_UNTIED if untied else 0, exponent, len(places), len(coded)) + coded
    message += np.packbits(np.array(changed, bool)).tobytes() + (compress(others) if others else b"")
    return message if len(places) <= _MAX_CHANGES_PER_BYTE * len(message) else None


def apply_merged(base: Mapping[str, Array], message: bytes, kinds: Kinds | None = None) -> Arrays:
    """Decode a message of `merge`.

    Args:
        base: the model that it was made for.
        message: as it came.
        kinds: as for `merge`.

    Returns:
        New arrays; those that did not change are the base's.

    Raises:
        MalformedMessage: it is not valid for this model.
    """
    layout = Layout.of(base, kinds)
    if len(message) < _HEADER.size:
        raise MalformedMessage(f"a merged change has {len(message)} bytes; its header alone needs {_HEADER.size}")
    form, exponent, count, length = _HEADER.unpack_from(message)
    parts = _Parts.of(layout.untied if form & _UNTIED else layout)
    size = sum(spec.size for spec in parts.coded)
    end = _HEADER.size + length
    if form > _UNTIED or end > len(message) or count > min(size, _MAX_CHANGES_PER_BYTE * len(message)):
        raise MalformedMessage(
            f"a merged change of {len(message)} bytes, form {form}, says {count} changes in {length} bytes; "
            f"the model has {size} values"
        )
    places, steps, corrections = (np.empty(count, np.int64) for _ in range(3))
    decoder = RangeDecoder(message[_HEADER.size : end])
    if count and not ChangedValues().decode(decoder, size, places, steps, corrections):
        raise MalformedMessage(
            "a merged change ends before its last value, or tells values that the model does not have"
        )
    after: Arrays = {}
    start = 0
    for spec in parts.coded:
        first, last = np.searchsorted(places, (start, start + spec.size))
        after[spec.name] = base[spec.name]
        if last > first:
            flat = base[spec.name].flatten()
            here = places[first:last] - start
            flat[here] = _moved(flat[here], steps[first:last], corrections[first:last], exponent)
            after[spec.name] = flat.reshape(spec.shape)
        start += spec.size
    after |= _read_others(message[end:], base, parts.others)
    after |= {name: after[first].copy() for name, first in parts.copies}
    return {spec.name: after[spec.name] for spec in layout.arrays}


def _read_others(section: bytes, base: Mapping[str, Array], specs: list[ArraySpec]) -> Arrays:
    """Decode the arrays that are sent as they are."""
    head = -(-len(specs) // 8)
    flags = np.unpackbits(np.frombuffer(section, np.uint8, min(head, len(section))))[: len(specs)]
    if len(section) < head:
        raise MalformedMessage(f"a merged change has {len(section)} bytes of flags; expected {head}")
    changed = [spec for spec, flag in zip(specs, flags.tolist(), strict=True) if flag]
    if not changed and len(section) > head:
        raise MalformedMessage(f"{len(section) - head} bytes follow a merged change")
    after = decompress(section[head:], [(spec.name, spec.shape, spec.dtype) for spec in changed]) if changed else {}
    return {spec.name: after.get(spec.name, base[spec.name]) for spec in specs}


def _best_exponent(old: list[Array], new: list[Array]) -> int:
    """The power of two for which steps and corrections of a sample take the fewest bits."""
    total = sum(map(len, old))
    every = -(-total // _SAMPLE) if total else 1
    old, new = [each[::every] for each in old], [each[::every] for each in new]

    def bits(exponent: int) -> float:
        steps, corrections = _steps_and_corrections(old, new, exponent)
        return float(np.log2(1.0 + steps).sum() + 2 * np.log2(1.0 + corrections).sum())

    return min(_EXPONENTS, key=bits) if total else 0


def _steps_and_corrections(old: list[Array], new: list[Array], exponent: int) -> tuple[Integers, Integers]:
    """Of each change: the nearest multiple of the power of two, and what is left of it; zigzag, int64, shape (k,)."""
    steps, corrections = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for before, after in zip(old, new, strict=True):
        with np.errstate(invalid="ignore"):
            multiple = np.rint(np.ldexp(after.astype(np.float64) - before, -exponent))
        multiple = np.where(np.abs(multiple) < _MAX_CODED // 2, multiple, 0).astype(np.int64)  # no NaN, no infinity
        predicted = _stepped(before, multiple, exponent)
        steps.append(zigzag(multiple))
        corrections.append(zigzag(_ordered(after) - _ordered(predicted)))
    return np.concatenate(steps), np.concatenate(corrections)


def _moved(before: Array, steps: Integers, corrections: Integers, exponent: int) -> Array:
    """Values after their changes: the inverse of `_steps_and_corrections` for one array."""
    predicted = _stepped(before, unzigzag(steps), exponent)
    order = _ordered(predicted) + unzigzag(corrections)
    unsigned = np.where(order < 0, _sign_bit(before.dtype) - 1 - order, order)
    return unsigned.astype(f"u{before.dtype.itemsize}").view(before.dtype)


def _stepped(before: Array, multiple: Integers, exponent: int) -> Array:
    """Values plus multiples of a power of two, in their own dtype: the same bits on every machine."""
    with np.errstate(over="ignore", invalid="ignore"):
        return (before.astype(np.float64) + np.ldexp(multiple.astype(np.float64), exponent)).astype(before.dtype)


def _ordered(values: Array) -> Integers:
    """Integers in the order of float values, one apart where no value lies between: units in the last place."""
    unsigned = bits_of(values).astype(np.int64)
    sign = _sign_bit(values.dtype)
    return np.where(unsigned >= sign, sign - 1 - unsigned, unsigned)


def _sign_bit(dtype: np.dtype[Any]) -> int:
    return 1 << (8 * dtype.itemsize - 1)
