"""Targets: the sections of a change, and whole changes, merged or one by one; given a model of every kind of array."""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Iterator, Mapping

import numpy as np

from surp_fl import Dense, MalformedMessage, SuRP
from surp_fl.array_spec import specs_of
from surp_fl.change import Change, change_of
from surp_fl.codecs import READERS
from surp_fl.codecs.codec import Scheme
from surp_fl.flower.delta import Delta, apply_delta, reference_of
from surp_fl.frame import HEADER_BYTES
from surp_fl.integer_arrays import read_integers, write_integers
from surp_fl.layout import Layout
from surp_fl.merged_change import apply_merged, merge
from surp_fl.statistics_section import read_statistics, write_statistics
from surp_fl.types import Array, Arrays
from tests.fuzz.targets.messages import framed
from tests.fuzz.targets.model import MODEL, MODEL_LAYOUT
from tests.fuzz.targets.target import Fields, Target, equal_bits, pieces

_REFERENCE = reference_of(MODEL_LAYOUT, MODEL, None)
_DEFLATED = 1  # form of the section of integer arrays
_READERS = sorted(each for each in READERS if each < 24)  # others are of other packages


def _section(data: bytes) -> bytes:
    """A section of integer arrays whose check holds; half of those that are deflated, deflated here."""
    form, body = data[:1], data[1:]
    if form == b"\xff":
        form, body = bytes([_DEFLATED]), zlib.compress(body, 9, -zlib.MAX_WBITS)
    content = form + body
    return binascii.crc_hqx(content, 0).to_bytes(2, "big") + content


def integer_arrays(data: bytes) -> None:
    """The first byte is the form; 255 for what is deflated here."""
    try:
        after = read_integers(_section(data), MODEL, MODEL_LAYOUT)
    except MalformedMessage:
        return
    _check(after, {spec.name: MODEL[spec.name] for spec in MODEL_LAYOUT.exact})
    assert after["mask"].view(np.uint8).max() <= 1, "a boolean that is neither true nor false"
    again = read_integers(write_integers(MODEL, MODEL | after, MODEL_LAYOUT), MODEL, MODEL_LAYOUT)
    assert all(equal_bits(again[name], array) for name, array in after.items()), "other numbers come back"


def statistics_section(data: bytes) -> None:
    """The first byte is the scheme of the section, of which two are valid; then its body."""
    section = message_of(data, MODEL_LAYOUT.of_statistics)
    try:
        after = read_statistics(section, MODEL, MODEL_LAYOUT)
    except MalformedMessage:
        return
    _check(after, {name: MODEL[name] for name, _ in MODEL_LAYOUT.kinds})
    assert all(np.isfinite(array).all() for array in after.values()), "NaN or infinity"
    assert after["norm.running_var"].min() >= 0, "a variance below zero"


def change(data: bytes) -> None:
    """The first byte says whether tied arrays are told apart; then message, statistics and integers, as pieces."""
    fields = Fields(data)
    untied = bool(fields.number(1) & 1)
    layout = MODEL_LAYOUT.untied if untied else MODEL_LAYOUT
    message, statistics, integers = (fields.piece() for _ in range(3))
    told = Change(
        message_of(message, layout),
        message_of(statistics, layout.of_statistics) if statistics else b"",
        _section(integers) if integers else b"",
    )
    try:
        after = apply_delta(layout, MODEL, Delta(b"", told, untied), reference_of(layout, MODEL, None))
    except MalformedMessage:
        return
    _check(after, MODEL)  # trained floats may overflow: the model's digest, or the server, tells


def merged_change(data: bytes) -> None:
    """A merged change as it comes; floats may be any, since the model's digest is compared."""
    try:
        after = apply_merged(MODEL, data)
    except MalformedMessage:
        return
    _check(after, MODEL)
    again = merge(MODEL, after)
    if again is not None:
        found = apply_merged(MODEL, again)
        assert all(equal_bits(found[name], array) for name, array in after.items()), "other numbers come back"


def message_of(data: bytes, layout: Layout) -> bytes:
    """The message of a scheme, which the first byte chooses, with a check that holds."""
    reader = READERS[_READERS[(data[0] if data else 0) % len(_READERS)]]
    reference = _REFERENCE if layout == MODEL_LAYOUT else None
    return framed(reader, data[1:], layout, reference)


def _check(after: Mapping[str, Array], before: Mapping[str, Array]) -> None:
    assert specs_of(after) == specs_of(before), "arrays of other names, shapes or dtypes"


def changed() -> Arrays:
    """The model after a sparse change of every kind of array."""
    after = {name: array.copy() for name, array in MODEL.items()}
    for name in ("weight", "tied"):
        after[name][1, 2:4] += np.float32(0.25)
    after["half"][0, 0] = 2
    after["norm.running_mean"] += np.float32(1)
    after["steps"] += 1
    after["mask"][1] = True
    after["many"] += 300
    return after


def _input(message: bytes) -> bytes:
    """The inverse of `message_of`."""
    return bytes([_READERS.index(message[0] & 31)]) + message[HEADER_BYTES:]


def _seeds_of_changes() -> Iterator[bytes]:
    rng, after = np.random.default_rng(0), changed()
    wanted = MODEL_LAYOUT.difference(after, MODEL)
    schemes: list[Scheme] = [SuRP(60), SuRP(400), Dense()]
    for scheme in schemes:
        made = change_of(scheme, wanted, MODEL, after, MODEL_LAYOUT, rng, _REFERENCE)
        yield b"\0" + pieces(
            _input(made.message), _input(made.statistics) if made.statistics else b"", made.integers[2:]
        )


def _seeds_of_statistics() -> list[bytes]:
    rng, after = np.random.default_rng(0), changed()
    return [_input(write_statistics(MODEL, after, MODEL_LAYOUT, size, rng)) for size in (16, 300)]


def _seeds_of_merged() -> list[bytes]:
    apart = changed()
    apart["tied"][0, 0] = 3
    found = [merge(MODEL, after) for after in (changed(), apart, MODEL)]
    return [each for each in found if each is not None]


def _seeds_of_integers() -> list[bytes]:
    section = write_integers(MODEL, changed(), MODEL_LAYOUT)[2:]
    return [section, b"\xff" + zlib.decompress(section[1:], -zlib.MAX_WBITS) if section[0] else b"\xff" + section[1:]]


TARGETS = (
    Target(integer_arrays, "read_integers", _seeds_of_integers, 160),
    Target(statistics_section, "read_statistics", _seeds_of_statistics, 80),
    Target(change, "apply_delta", _seeds_of_changes, 400),
    Target(merged_change, "apply_merged", _seeds_of_merged, 400),
)
