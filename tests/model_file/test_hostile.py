"""Files that someone made to do harm: an error of one class or a model, in bounded memory and time."""

from __future__ import annotations

import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surp_fl import Layout, MalformedMessage
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.decoder import NO_CONTEXT
from surp_fl.codecs.surp.encoder import begun
from surp_fl.codecs.surp.rate_distortion import Group
from surp_fl.model_file import compress, decompress, small_arrays
from surp_fl.model_file.container import header_of, in_chunks, sections_of
from surp_fl.model_file.decoding import MAX_BYTES
from surp_fl.model_file.manifest import Entry, Manifest, Role, read_manifest, write_manifest
from surp_fl.model_file.varints import ByteReader, varint
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


def weight(*shape: int, name: str = "w", dtype: str = "F32", role: Role = Role.WEIGHT) -> Entry:
    return Entry(name, shape, dtype, role)


def deflated(content: bytes) -> bytes:
    return zlib.compress(content, 9, -zlib.MAX_WBITS)


INFLATED = zlib.decompress(claiming(weight(4, 4)), -zlib.MAX_WBITS)
HUGE = {
    "10^12 weights": (claiming(weight(10**6, 10**6)), "take 4,000,000,000,000; at most 1,073,741,824"),
    "more than any address": (claiming(weight(1 << 62, 1 << 62)), "no array can have"),
    "a byte too many": (
        claiming(weight(MAX_BYTES, dtype="I8", role=Role.EXACT), weight(1, name="v", dtype="I8", role=Role.EXACT)),
        "take 1,073,741,825",
    ),
    "many small arrays": (
        claiming(*(weight(1 << 16, name=f"w{each}", role=Role.SMALL) for each in range(65))),
        "small arrays of 4,259,840 coordinates",
    ),
    "a bomb": (deflated(varint(1 << 16) + bytes(1 << 26)), "holds more than"),
    "names without end": (
        deflated(varint(20_000) + (b"\0" + varint(99) + b"n" * 99 + b"\0") * 20_000 + b"\0"),
        "twice",
    ),
    "an array twice": (claiming(weight(4, 4), weight(4, 4)), "twice"),
    "something after its end": (deflated(INFLATED + b"\0"), "goes on after its end"),
    "something after what is deflated": (deflated(INFLATED) + b"\0", "bytes follow its end"),
    "a copy of itself": (claiming(weight(4, 4, role=Role.COPY)), "no copy of array number 0"),
    "a copy of another shape": (claiming(weight(4, 3, name="v"), weight(4, 4, role=Role.COPY)), "no copy"),
    "an empty array of weights": (claiming(weight(3, 0)), "is empty"),
    "an empty variance": (claiming(weight(0, 7, role=Role.VARIANCE)), "is empty"),
    "axes beyond an address": (claiming(weight(0, 1 << 62, role=Role.EXACT)), "no array can have"),
    "weights of integers": (claiming(weight(4, 4, dtype="I32")), "not of floats"),
    "a dtype of another version": (deflated(INFLATED[:1] + b"\x9f" + INFLATED[2:]), "dtype 31, unknown"),
    "a role of another version": (deflated(INFLATED[:1] + b"\xc0" + INFLATED[2:]), "role 6"),
    "a name that is no text": (deflated(INFLATED.replace(b"w", b"\xff")), "not UTF-8"),
}


@pytest.mark.parametrize("kind", HUGE)
def test_what_a_manifest_claims_is_checked_before_anything_is_allocated(kind: str) -> None:
    manifest, says = HUGE[kind]
    file = with_sections(manifest)
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(MalformedMessage, match=says):
            decompress(file)
        assert tracemalloc.get_traced_memory()[1] < 8 * MOST_MEMORY
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < 5


def test_a_sum_of_groups_beyond_float32_is_malformed() -> None:
    """The largest magnitude twice at one coordinate, which a message can say."""
    layout = Layout.of({"w": np.zeros((2, 2), np.float32)})
    largest = Group(np.array([1]), np.array([False]), 3.4e38)
    message = begun(NO_CONTEXT, Context.of(layout, None).side, 100).with_groups([largest], disjoint=True)
    body = message.with_groups([largest], disjoint=False).to_bytes()
    with pytest.raises(MalformedMessage, match="infinity"):
        decompress(with_sections(claiming(weight(2, 2)), scales=b"\0", body=body))


def test_a_step_that_no_float_has_is_malformed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_arrays, "_exponent_for", lambda entry, values, precision: 1100)
    entries = [weight(3, role=Role.SMALL)]
    section = small_arrays.write_small(entries, {"w": np.zeros(3)}, 8)
    with pytest.raises(MalformedMessage, match="a step of 2 to the power of 1100"):
        small_arrays.read_small(section, entries)


@pytest.mark.parametrize("chunk", [0, 5, 25, 200])
def test_a_chunk_of_no_possible_size_is_malformed(chunk: int) -> None:
    header = header_of(claiming(weight(2, 2)), b"", b"", b"\0", 40, chunk)
    with pytest.raises(MalformedMessage, match="chunks of 2 to the power of"):
        sections_of(header)


def test_numbers_have_one_form() -> None:
    assert ByteReader(varint((1 << 63) - 1)).varint() == (1 << 63) - 1
    for encoded in (b"\x80\0", b"\xff\0", b"\xff" * 10, varint(1 << 63)):
        with pytest.raises(MalformedMessage, match="not in its shortest form"):
            ByteReader(encoded).varint()
    with pytest.raises(MalformedMessage, match="beyond 7"):
        ByteReader(varint(8)).varint(7)


def test_decoding_takes_five_times_the_memory_of_the_arrays_at_most() -> None:
    dense = compress({"w": np.random.default_rng(0).normal(size=(1000, 4000)).astype(np.float32)}, budget=500_000)
    for file in (dense, with_sections(claiming(Entry("w", (4000, 1000), "F32", Role.WEIGHT)), scales=b"\0")):
        tracemalloc.start()
        try:
            nbytes = decompress(file)["w"].nbytes
            assert tracemalloc.get_traced_memory()[1] < 5 * nbytes + (32 << 20)
        finally:
            tracemalloc.stop()


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
