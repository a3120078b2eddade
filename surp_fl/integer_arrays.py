"""Integer and boolean arrays ↔ the section of a change that tells how they differ, without loss.

    check      2 bytes  CRC-16 (CCITT) of what follows, big-endian
    form       1 byte   0: as it is; 1: deflated
    arrays              of each that changed: how many that did not come before it, as a varint, and its differences:
                        up to 16 numbers each as a varint of the difference, zigzag; more as little-endian integers

Knows layouts. Does not know codecs or Flower.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Mapping

import numpy as np

from surp_fl.errors import MalformedMessage
from surp_fl.layout import ArraySpec, Layout
from surp_fl.types import Array

_FEW = 16  # numbers of an array that are told one by one
_VARINT_GROUPS = 10  # of 7 bits: enough for 64
_STORED, _DEFLATED = 0, 1


def write_integers(before: Mapping[str, Array], after: Mapping[str, Array], layout: Layout) -> bytes:
    """Tell how integer and boolean arrays changed."""
    told = bytearray()
    unchanged = 0
    for spec in layout.exact:
        old, new = _bits_of(before[spec.name]), _bits_of(after[spec.name])
        if np.array_equal(old, new):
            unchanged += 1
            continue
        told += _varint(unchanged)
        unchanged = 0
        if spec.dtype.kind == "b":
            told += (old ^ new).tobytes()
        elif spec.size <= _FEW:
            for difference in (new - old).view(f"i{old.itemsize}").tolist():
                told += _varint(2 * difference if difference >= 0 else -2 * difference - 1)
        else:
            told += (new - old).astype(old.dtype.newbyteorder("<")).tobytes()
    if not told:
        return b""
    deflated = zlib.compress(told, 9, -zlib.MAX_WBITS)
    body = bytes([_DEFLATED]) + deflated if len(deflated) < len(told) else bytes([_STORED]) + bytes(told)
    return binascii.crc_hqx(body, 0).to_bytes(2, "big") + body


def read_integers(section: bytes, before: Mapping[str, Array], layout: Layout) -> dict[str, Array]:
    """Integer and boolean arrays after a change.

    Raises:
        MalformedMessage: the section is not valid.
    """
    arrays: dict[str, Array] = {spec.name: before[spec.name] for spec in layout.exact}
    if not section:
        return arrays
    told = _Told(_inflated(section, layout))
    place = -1
    while not told.ended:
        place += 1 + told.varint()
        if place >= len(layout.exact):
            raise MalformedMessage(f"an exact array of number {place} changed; this model has {len(layout.exact)}")
        spec = layout.exact[place]
        arrays[spec.name] = _moved(before[spec.name], spec, told)
    return arrays


def _moved(before: Array, spec: ArraySpec, told: _Told) -> Array:
    old = _bits_of(before)
    if spec.dtype.kind == "b":
        flags = old ^ np.frombuffer(told.take(spec.size), np.uint8)
        if flags.max(initial=0) > 1:
            raise MalformedMessage(f"the array '{spec.name}' of booleans changed to something that is none")
        return flags.view(np.bool_).reshape(spec.shape)
    if spec.size <= _FEW:
        differences = [told.varint() for _ in range(spec.size)]
        signed = [-(each + 1) // 2 if each % 2 else each // 2 for each in differences]
        if any(not -(1 << 8 * old.itemsize - 1) <= each < 1 << 8 * old.itemsize - 1 for each in signed):
            raise MalformedMessage(f"the array '{spec.name}' changed by more than {spec.dtype} holds")
        new = old + np.array(signed, f"i{old.itemsize}").view(old.dtype)
    else:
        new = old + np.frombuffer(told.take(spec.size * old.itemsize), old.dtype.newbyteorder("<"))
    return new.astype(old.dtype, copy=False).view(spec.dtype.newbyteorder("=")).reshape(spec.shape)


def _bits_of(array: Array) -> Array:
    """An exact array as unsigned integers, in which differences wrap around; flat."""
    native = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(-1)
    return native.view(f"u{native.itemsize}")


def _inflated(section: bytes, layout: Layout) -> bytes:
    if len(section) < 3 or binascii.crc_hqx(section[2:], 0).to_bytes(2, "big") != section[:2]:
        raise MalformedMessage(f"the section of exact arrays, {len(section)} bytes, is damaged: its check differs")
    form, body = section[2], section[3:]
    if form == _STORED:
        return body
    if form != _DEFLATED:
        raise MalformedMessage(f"the section of exact arrays has form {form}; this version knows 0 and 1")
    most = sum(_VARINT_GROUPS * (1 + min(spec.size, _FEW)) + spec.size * spec.dtype.itemsize for spec in layout.exact)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        told = inflater.decompress(body, most)
    except zlib.error as fault:
        raise MalformedMessage(f"the section of exact arrays cannot be inflated: {fault}") from fault
    if not inflater.eof or inflater.unused_data:
        raise MalformedMessage("the section of exact arrays ends too early, or holds more than this model's arrays")
    return told


def _varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(0x80 | value & 0x7F)
        value >>= 7
    return bytes([*groups, value])


class _Told:
    """Bytes from the front."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    @property
    def ended(self) -> bool:
        return self._at >= len(self._content)

    def take(self, count: int) -> bytes:
        self._at += count
        if self._at > len(self._content):
            raise MalformedMessage("the section of exact arrays ends within an array")
        return self._content[self._at - count : self._at]

    def varint(self) -> int:
        value = 0
        for group in range(_VARINT_GROUPS):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << 7 * group
            if byte < 0x80:
                return value
        raise MalformedMessage(f"a number of the exact arrays takes more than {7 * _VARINT_GROUPS} bits")
