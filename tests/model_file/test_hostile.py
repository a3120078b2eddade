"""Files that someone made to do harm: an error of one class or a model, in bounded memory and time."""

from __future__ import annotations

import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surp_fl import MalformedMessage, lossless
from surp_fl.model_file import compress, decompress
from surp_fl.model_file.container import header_of, in_chunks, sections_of
from surp_fl.model_file.decoding import MAX_BYTES
from surp_fl.model_file.manifest import Entry, Manifest, Role, read_manifest, write_manifest
from surp_fl.model_file.varints import varint
from tests.model_file.models import trained, with_every_dtype

FILES = [compress(trained(), ratio=12), compress(with_every_dtype(), budget=3000)]
MOST_MEMORY = 8 << 20  # bytes


def with_sections(
    manifest: bytes, exact: bytes = b"", small: bytes = b"", scales: bytes = b"", body: bytes = b""
) -> bytes:
    """A file whose checks hold."""
    return in_chunks(header_of(manifest, exact, small, scales, len(body), 9), body, 9)


def claiming(*entries: Entry) -> bytes:
    return write_manifest(Manifest(entries, {}))


@given(st.sampled_from(FILES), st.data())
@settings(max_examples=150)
def test_random_damage_gives_an_error_or_a_model(file: bytes, data: st.DataObject) -> None:
    damaged = bytearray(file)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        new = data.draw(st.binary(max_size=5))
        damaged[place : place + data.draw(st.integers(0, 5))] = new
    with_errors_of_one_class(bytes(damaged))


@given(st.sampled_from(FILES), st.integers(0, 4), st.data())
@settings(max_examples=300)
def test_damage_behind_checks_that_hold_gives_an_error_or_a_model(file: bytes, which: int, data: st.DataObject) -> None:
    found = sections_of(file)
    sections = [found.manifest, found.exact, found.small, found.scales, found.body]
    if which == 0 and data.draw(st.booleans()):  # damage what is deflated, not the deflated bytes
        inflated = damaged_copy(zlib.decompress(found.manifest, -zlib.MAX_WBITS), data)
        sections[0] = zlib.compress(inflated, 9, -zlib.MAX_WBITS)
    else:
        sections[which] = damaged_copy(sections[which], data)
    with_errors_of_one_class(with_sections(*sections))


def damaged_copy(section: bytes, data: st.DataObject) -> bytes:
    damaged = bytearray(section)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, max(len(damaged) - 1, 0)))
        damaged[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    return bytes(damaged)


def with_errors_of_one_class(file: bytes) -> None:
    try:
        arrays = decompress(file, max_bytes=1 << 24)
    except MalformedMessage:
        return
    assert sum(array.nbytes for array in arrays.values()) <= 2 << 24


HUGE = {
    "10^12 weights": claiming(Entry("w", (10**6, 10**6), "F32", Role.WEIGHT)),
    "more than any address": claiming(Entry("w", (1 << 62, 1 << 62), "F32", Role.WEIGHT)),
    "a large array without loss": claiming(
        Entry("w", (MAX_BYTES,), "I8", Role.EXACT), Entry("v", (1,), "I8", Role.EXACT)
    ),
    "many small arrays": claiming(*(Entry(f"w{each}", (1 << 16,), "F32", Role.SMALL) for each in range(65))),
    "a bomb": zlib.compress(varint(1 << 16) + bytes(1 << 26), 9, -zlib.MAX_WBITS),
    "names without end": zlib.compress(varint(20_000) + (b"\0" + varint(99) + b"n" * 99 + b"\0") * 20_000, 9, -15),
    "an array twice": claiming(Entry("w", (4, 4), "F32", Role.WEIGHT), Entry("w", (4, 4), "F32", Role.WEIGHT)),
    "a copy of itself": claiming(Entry("w", (4, 4), "F32", Role.COPY)),
    "a copy of another shape": claiming(Entry("v", (4, 3), "F32", Role.WEIGHT), Entry("w", (4, 4), "F32", Role.COPY)),
    "an empty array of weights": claiming(Entry("w", (3, 0), "F32", Role.WEIGHT)),
    "an empty variance": claiming(Entry("w", (0, 1 << 62), "F32", Role.VARIANCE)),
    "axes beyond an address": claiming(Entry("w", (0, 1 << 62), "F32", Role.EXACT)),
    "weights of integers": claiming(Entry("w", (4, 4), "I32", Role.WEIGHT)),
}


@pytest.mark.parametrize("kind", HUGE)
def test_what_a_manifest_claims_is_checked_before_anything_is_allocated(kind: str) -> None:
    file = with_sections(HUGE[kind], exact=lossless.compress({"empty": np.zeros(0)}))
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(MalformedMessage):
            decompress(file)
        assert tracemalloc.get_traced_memory()[1] < 8 * MOST_MEMORY
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < 5


def test_the_limit_is_named_and_may_be_raised() -> None:
    file = with_sections(claiming(Entry("w", (300, 1000), "F32", Role.WEIGHT)), scales=b"\0")
    assert not decompress(file)["w"].any()
    assert not decompress(file, max_bytes=1_200_000)["w"].any()
    with pytest.raises(MalformedMessage, match=r"take 1,200,000; at most 1,199,999 are allowed: .* larger max_bytes"):
        decompress(file, max_bytes=1_199_999)


def test_sections_without_arrays_are_refused() -> None:
    empty = write_manifest(Manifest((), {}))
    assert decompress(with_sections(empty)) == {}
    for sections in ({"exact": b"\1"}, {"small": b"\1"}, {"scales": b"\0"}, {"body": b"\1\2\3"}):
        with pytest.raises(MalformedMessage):
            decompress(with_sections(empty, **sections))


def test_a_manifest_comes_back() -> None:
    manifest = Manifest(
        (
            Entry("w", (3, 1 << 40, 1), "BF16", Role.WEIGHT),
            Entry("ü", (), "F8_E5M2", Role.EXACT),
            Entry("again", (3, 1 << 40, 1), "BF16", Role.COPY, 0),
        ),
        {"format": "pt", "": ""},
    )
    assert read_manifest(write_manifest(manifest)) == manifest


def test_a_writer_writes_no_manifest_that_a_reader_refuses() -> None:
    with pytest.raises(ValueError, match="divide the model"):
        compress({str(each): np.zeros(0) for each in range((1 << 16) + 1)}, budget=1 << 20)
