"""Integer and boolean arrays: their lossless section of a change, and arithmetic that neither rounds nor wraps around.

The section:

    check      2 bytes  CRC-16 (CCITT) of what follows, big-endian
    form       1 byte   0: stored; 1: deflated
    arrays              of each that changed: the number of unchanged arrays before it, as a varint; then its
                        differences: of up to 16 elements as zigzag varints, of more as little-endian integers

Knows layouts. Does not know codecs or Flower.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surp_fl.array_spec import ArraySpec
from surp_fl.bit_patterns import bits_of
from surp_fl.errors import MalformedMessage
from surp_fl.inflate import inflated
from surp_fl.layout import Layout
from surp_fl.types import Array
from surp_fl.varints import ByteReader, varint

_MAX_VARINTS = 16  # elements of an array whose differences are varints
_VARINT_GROUPS = 10  # of 7 bits: enough for 64
_STORED, _DEFLATED = 0, 1


def write_integers(before: Mapping[str, Array], after: Mapping[str, Array], layout: Layout) -> bytes:
    """Encode how integer and boolean arrays changed.

    Args:
        before: the model that both ends hold; all arrays of the layout.
        after: what it became.
        layout: of both.

    Returns:
        The section; empty if no integer array changed.

    >>> layout = Layout.of({"steps": np.array(41)})
    >>> section = write_integers({"steps": np.array(41)}, {"steps": np.array(42)}, layout)
    >>> len(section), read_integers(section, {"steps": np.array(41)}, layout)
    (5, {'steps': array(42)})
    """
    content = bytearray()
    unchanged = 0
    for spec in layout.exact:
        old, new = bits_of(before[spec.name]), bits_of(after[spec.name])
        if np.array_equal(old, new):
            unchanged += 1
            continue
        content += varint(unchanged)
        unchanged = 0
        if spec.dtype.kind == "b":
            content += (old ^ new).tobytes()
        elif spec.size <= _MAX_VARINTS:
            for difference in (new - old).view(f"i{old.itemsize}").tolist():
                content += varint(2 * difference if difference >= 0 else -2 * difference - 1)
        else:
            content += (new - old).astype(old.dtype.newbyteorder("<")).tobytes()
    if not content:
        return b""
    deflated = zlib.compress(content, 9, -zlib.MAX_WBITS)
    body = bytes([_DEFLATED]) + deflated if len(deflated) < len(content) else bytes([_STORED]) + bytes(content)
    return binascii.crc_hqx(body, 0).to_bytes(2, "big") + body


def read_integers(section: bytes, before: Mapping[str, Array], layout: Layout) -> dict[str, Array]:
    """Decode integer and boolean arrays.

    Args:
        section: as it came.
        before: the model that both ends hold; all integer arrays of the layout.
        layout: of the model.

    Returns:
        The arrays after the change, by name; those of `before` where nothing changed.

    Raises:
        MalformedMessage: the section is not valid.
    """
    arrays: dict[str, Array] = {spec.name: before[spec.name] for spec in layout.exact}
    if not section:
        return arrays
    reader = _Section(_inflated(section, layout))
    place = -1
    while not reader.exhausted:
        place += 1 + reader.varint()
        if place >= len(layout.exact):
            raise MalformedMessage(f"integer array number {place} changed; this model has {len(layout.exact)}")
        spec = layout.exact[place]
        arrays[spec.name] = _read_array(before[spec.name], spec, reader)
    return arrays


def _read_array(before: Array, spec: ArraySpec, reader: _Section) -> Array:
    old = bits_of(before)
    if spec.dtype.kind == "b":
        flags = old ^ np.frombuffer(reader.take(spec.size), np.uint8)
        if flags.max(initial=0) > 1:
            raise MalformedMessage(f"the array '{spec.name}' of booleans has a value that is neither true nor false")
        return flags.view(np.bool_).reshape(spec.shape)
    if spec.size <= _MAX_VARINTS:
        differences = [reader.varint() for _ in range(spec.size)]
        signed = [-(each + 1) // 2 if each % 2 else each // 2 for each in differences]
        if any(not -(1 << 8 * old.itemsize - 1) <= each < 1 << 8 * old.itemsize - 1 for each in signed):
            raise MalformedMessage(f"the array '{spec.name}' changed by more than {spec.dtype} holds")
        new = old + np.array(signed, f"i{old.itemsize}").view(old.dtype)
    else:
        new = old + np.frombuffer(reader.take(spec.size * old.itemsize), old.dtype.newbyteorder("<"))
    return new.astype(old.dtype, copy=False).view(spec.dtype.newbyteorder("=")).reshape(spec.shape)


def _inflated(section: bytes, layout: Layout) -> bytes:
    if len(section) < 3 or binascii.crc_hqx(section[2:], 0).to_bytes(2, "big") != section[:2]:
        raise MalformedMessage(f"the section of integer arrays, {len(section)} bytes, is damaged: its check differs")
    form, body = section[2], section[3:]
    if form == _STORED:
        return body
    if form != _DEFLATED:
        raise MalformedMessage(f"the section of integer arrays has form {form}; this version knows 0 and 1")
    limit = sum(
        _VARINT_GROUPS * (1 + min(spec.size, _MAX_VARINTS)) + spec.size * spec.dtype.itemsize for spec in layout.exact
    )
    return inflated(body, limit, "the section of integer arrays")


class _Section(ByteReader):
    """Reads the section from front to back."""

    def varint(self) -> int:
        found = self.number(_VARINT_GROUPS)
        if found is None:
            raise MalformedMessage(f"a number of the integer arrays takes more than {7 * _VARINT_GROUPS} bits")
        return found[0]

    def ended_within(self, count: int) -> str:
        return "the section of integer arrays ends within an array"


def subtract(after: Array, before: Array) -> NDArray[np.float64]:
    """after − before in float64, rounded once: exact up to 2^53, without overflow for integers of any size.

    Args:
        after: integers, or floats.
        before: of the same shape; integers of the same dtype, or floats.

    >>> subtract(np.array([2**63, 3], np.uint64), np.array([0, 5], np.uint64))
    array([ 9.22337204e+18, -2.00000000e+00])
    """
    if after.dtype.kind not in "iu":
        return after.astype(np.float64) - before.astype(np.float64)
    unsigned = np.dtype(f"u{after.itemsize}")
    up = (after.astype(unsigned) - before.astype(unsigned)).astype(np.float64)  # differences wrap around
    down = (before.astype(unsigned) - after.astype(unsigned)).astype(np.float64)
    signed: NDArray[np.float64] = np.where(after >= before, up, -down)
    return signed


def add_saturated(before: Array, change: NDArray[np.float64]) -> Array:
    """before + change, saturated at the limits of the dtype, and exact for integers of any size.

    Args:
        before: integers or booleans; a boolean becomes true from 1/2 on.
        change: whole numbers in float64, of the same shape.

    Returns:
        A new array of the dtype of `before`.

    >>> add_saturated(np.array([100, -100], np.int8), np.array([50.0, -50.0]))
    array([ 127, -128], dtype=int8)
    """
    if before.dtype.kind == "b":
        return np.asarray(before + change >= 0.5)
    limits = np.iinfo(before.dtype)
    unsigned = np.dtype(f"u{before.itemsize}")
    bits = before.astype(unsigned)
    above = np.asarray(limits.max, before.dtype).astype(unsigned) - bits  # distance to the limits
    below = bits - np.asarray(limits.min, before.dtype).astype(unsigned)
    up, down = np.maximum(change, 0.0), np.maximum(-change, 0.0)
    too_high, too_low = up >= above.astype(np.float64), down >= below.astype(np.float64)
    step = np.where(too_high, 0.0, up).astype(unsigned) - np.where(too_low, 0.0, down).astype(unsigned)
    after = (bits + step).astype(unsigned).astype(before.dtype)
    after = np.where(too_high & (up > 0), limits.max, np.where(too_low & (down > 0), limits.min, after))
    return after.astype(before.dtype)


def cast_saturated(array: Array, dtype: np.dtype[Any]) -> Array:
    """Cast an array that a strategy averaged to the model's dtype: integers are rounded, and saturated at its limits.

    Args:
        array: of any float, integer or boolean dtype.
        dtype: of the model: float, integer or boolean; a boolean is true from 1/2 on.

    >>> cast_saturated(np.array([1.4, 300.0]), np.dtype(np.uint8))
    array([  1, 255], dtype=uint8)
    """
    if array.dtype == dtype or dtype.kind == "f":
        with np.errstate(over="ignore"):
            return array.astype(dtype, copy=False)
    if dtype.kind == "b":
        return np.asarray(array >= 0.5)
    if array.dtype.kind != "f":
        limits = np.iinfo(dtype)
        return np.clip(array, limits.min, limits.max).astype(dtype)
    return add_saturated(np.zeros(array.shape, dtype), np.rint(array.astype(np.float64)))
