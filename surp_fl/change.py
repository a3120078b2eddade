"""What is sent of the difference between two models of one layout, in either direction: up to three sections.

    message      bytes    trained arrays: the message of a scheme
    statistics   bytes    running statistics: a message of their own, in units of their own; empty where none changed
    exact        bytes    integer and boolean arrays that changed: their differences, without loss; empty where none did

    exact section:
      check      2 bytes  CRC-16 (CCITT) of what follows, big-endian
      form       1 byte   0: as it is; 1: deflated
      arrays              of each that changed: how many that did not come before it, as a varint, and its differences:
                          up to 16 numbers each as a varint of the difference, zigzag; more as little-endian integers

All sections count: together they are the payload. Knows layouts and codecs. Does not know Flower.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surp_fl import statistics
from surp_fl.codecs import dense, reader_of, surp
from surp_fl.codecs.codec import Scheme, with_budget
from surp_fl.codecs.dense import Dense, longest
from surp_fl.codecs.surp import SMALLEST_BUDGET, SuRP
from surp_fl.context import Reference
from surp_fl.layout import ArraySpec, Layout
from surp_fl.message import HEADER_BYTES, MalformedMessage

Array = NDArray[Any]

_IN_UNITS, _AS_THEY_ARE = surp.READER, dense.READER  # of statistics
_SHARE = 4  # of a budget is the statistics'
_FEW = 16  # numbers of an exact array that are told one by one
_VARINT_GROUPS = 10  # of 7 bits: enough for 64
_STORED, _DEFLATED = 0, 1


@dataclass(frozen=True)
class Change:
    """The sections of one change, as they travel.

    Attributes:
        message: of the trained arrays.
        statistics: of the running statistics; empty where none changed.
        exact: of the integer and boolean arrays; empty where none changed.
    """

    message: bytes
    statistics: bytes = b""
    exact: bytes = b""

    @property
    def payload(self) -> int:
        """Bytes of all sections."""
        return len(self.message) + len(self.statistics) + len(self.exact)

    def others(self, before: Mapping[str, Array], layout: Layout) -> dict[str, Array]:
        """Statistics and exact arrays after this change; new arrays, or those of `before` where nothing changed.

        Args:
            before: those that both ends hold; all of the layout.
            layout: of the model.

        Raises:
            MalformedMessage: a section is not valid.
        """
        return read_statistics(self.statistics, before, layout) | read_exact(self.exact, before, layout)


def change_of(
    scheme: Scheme,
    wanted: NDArray[np.float32],
    before: Mapping[str, Array],
    after: Mapping[str, Array],
    layout: Layout,
    rng: np.random.Generator,
    reference: Reference,
) -> Change:
    """Make all sections, within the scheme's budget: what the others leave of it is the message's.

    Integer arrays that changed travel in any case, beyond the budget where they have to. Without a budget, statistics
    take no more than the message.

    Args:
        scheme: of the message.
        wanted: for the message; float32, shape (n,).
        before: the model that both ends hold.
        after: what it became.
        layout: of both.
        rng: of the encoder's random choices.
        reference: what the message is coded against.

    Raises:
        ValueError: the change holds NaN or infinity.
    """
    exact = write_exact(before, after, layout)
    budget: int | None = getattr(scheme, "budget", None)
    if budget is None:
        message = _message(scheme, wanted, layout, rng, reference)
        return Change(message, write_statistics(before, after, layout, len(message), rng), exact)
    left = max(budget - len(exact), min(budget, SMALLEST_BUDGET))
    statistics = write_statistics(before, after, layout, share_of(left), rng)
    if statistics or exact:
        scheme = with_budget(scheme, left - len(statistics))
    return Change(_message(scheme, wanted, layout, rng, reference), statistics, exact)


def _message(
    scheme: Scheme, wanted: NDArray[np.float32], layout: Layout, rng: np.random.Generator, reference: Reference
) -> bytes:
    message = scheme.codec.encode(wanted, layout, rng=rng, reference=reference)
    if len(message) <= longest(layout):
        return message
    return Dense().codec.encode(wanted, layout, rng=rng)  # a model of a few coordinates: all of it, in fewer bytes


def share_of(budget: int) -> int:
    """Bytes of a budget that running statistics may take: a quarter, or what makes a message where as much is left."""
    return max(budget // _SHARE, SMALLEST_BUDGET) if budget >= 2 * SMALLEST_BUDGET else 0


def write_statistics(
    before: Mapping[str, Array], after: Mapping[str, Array], layout: Layout, size: int, rng: np.random.Generator
) -> bytes:
    """Tell how running statistics changed, in no more than `size` bytes: as they are if they fit, else in units.

    What is not told is not owed: who estimates statistics anew will tell it again.

    Args:
        before: what the other end holds too; all arrays of the layout.
        after: what they became.
        layout: of the model.
        size: bytes, the whole section.
        rng: of the encoder's random choices.

    Raises:
        ValueError: a statistic became NaN or infinite.
    """
    of_statistics = layout.of_statistics
    if all(np.array_equal(before[name], after[name]) for name, _ in layout.kinds):
        return b""
    if HEADER_BYTES + 4 * of_statistics.size <= size:
        exactly = of_statistics.difference(
            {name: after[name] for name, _ in layout.kinds}, {name: before[name] for name, _ in layout.kinds}
        )
        return Dense().codec.encode(exactly, of_statistics, rng=rng)
    if size < SMALLEST_BUDGET:
        return b""
    changes = of_statistics.flatten(statistics.in_units(before, after, dict(layout.kinds)))
    return SuRP(size).codec.encode(changes, of_statistics, rng=rng)


def read_statistics(section: bytes, before: Mapping[str, Array], layout: Layout) -> dict[str, Array]:
    """Running statistics after a change.

    Raises:
        MalformedMessage: the section is not valid.
    """
    kinds = dict(layout.kinds)
    if not section:
        return {name: before[name] for name in kinds}
    reader = reader_of(section)
    if reader not in (_IN_UNITS, _AS_THEY_ARE):
        raise MalformedMessage(
            f"the section of running statistics is a '{reader.name}' message; expected dense or surp"
        )
    told = reader.decode(section, layout.of_statistics)
    if reader is _IN_UNITS:
        return statistics.moved(before, layout.of_statistics.floats_of(told), kinds)
    after = layout.of_statistics.moved(before, told)
    return {
        name: statistics.as_dtype(np.asarray(after[name], np.float64), before[name].dtype, kind)
        for name, kind in kinds.items()
    }


def write_exact(before: Mapping[str, Array], after: Mapping[str, Array], layout: Layout) -> bytes:
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


def read_exact(section: bytes, before: Mapping[str, Array], layout: Layout) -> dict[str, Array]:
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
