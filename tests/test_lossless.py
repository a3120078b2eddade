"""Lossless compression: every bit comes back, noise is stored, and a message pays for all that a receiver does."""

from __future__ import annotations

import time
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from surp_fl.errors import MalformedMessage
from surp_fl.lossless import MAX_RATIO, Spec, compress, decompress
from surp_fl.types import Array, Arrays

DTYPES = "?bhilqBHILQefdgFD"
RNG = np.random.default_rng(0)
NORMAL = RNG.normal(0, 0.02, 300_000).astype(np.float32)  # more than two blocks
MODEL: Arrays = {
    "weight": NORMAL[:3000].reshape(60, 50),
    "bias": np.zeros(60, np.float32),
    "gain": np.ones(60, np.float32),
    "tied": NORMAL[:3000].reshape(50, 60),
    "pruned": np.where(np.arange(2000) % 11, 0, NORMAL[:2000]),
    "half": NORMAL[:500].astype(np.float16),
    "steps": np.array(300),
    "flags": RNG.random(100) < 0.2,
    "none": np.zeros((0, 4), np.float32),
}

# What `compress` made of GOLDEN with zlib 1.2.13; other versions of zlib may deflate otherwise, and read it the same.
GOLDEN: Arrays = {
    "weight": (np.arange(-48, 48) / 64).astype(np.float32).reshape(8, 12) * np.float32(1.1),
    "gain": np.ones(5, np.float32),
    "tied": (np.arange(-48, 48) / 64).astype(np.float32).reshape(12, 8) * np.float32(1.1),
    "pruned": np.array([0.0, -0.0, 1.5, 0.0], np.float32),
    "wide": np.array([1e-300, -2.5]),
    "steps": np.array(300, np.int64),
    "flags": np.array([True, False, True]),
}
GOLDEN_BYTES = (
    "01010001020000000000000101000000000000800000000000680020021d000000ababc300b5a8a00602aa81a0aaaab2b2aa0ac4820a"
    "a229c534abbe1e0001a69d948c837a716860574e453c342b22191008feecdbc9b8a6948371604e3c2b1908ecc9a683603c19eca66019"
    "a619191919a61960a6ec193c6083a6c9ec08192b3c4e60718394a6b8c9dbecfe081019222b343c454e576068717a838c949d0080022c"
    "00000055ca4b0d00400c42413ce1094f7842d4b649f7c7610ee4c901f5a1d00fb15844b05c53ffbb35fb3f4c7b0116023400000055c4"
    "c1110020080330dc095652ba52bb13aca49e2ff308d423d6173af45ab716e2d4188244262d8b659e277acd5bbe8ad3bfcc3600010380"
    "014a0801dc00013f0001850001f10001e60001b201000000000000000000000000000001002c0100e000a0"
)


def specs_of(arrays: Arrays) -> list[Spec]:
    return [(name, array.shape, array.dtype.newbyteorder("=")) for name, array in arrays.items()]


def size_of(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())


def bits_of(array: Array) -> bytes:
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def assert_same(found: Arrays, expected: Arrays) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype.newbyteorder("="))
        assert bits_of(found[name]) == bits_of(array), name


def assert_comes_back(arrays: Arrays) -> bytes:
    message = compress(arrays)
    assert_same(decompress(message, specs_of(arrays)), arrays)
    return message


shapes = arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9)


@st.composite
def models(draw: st.DrawFn) -> Arrays:
    """Arrays of all dtypes; some with any bits, some constant, some reversed, transposed, big-endian, or repeated."""
    found: Arrays = {}
    for number in range(draw(st.integers(0, 5))):
        dtype = np.dtype(draw(st.sampled_from(DTYPES)))
        shape = draw(shapes)
        if dtype.kind == "b" or dtype.char in "gFD":
            array = draw(arrays_of.arrays(dtype, shape))
        else:
            words = np.dtype(f"u{dtype.itemsize}")
            few = draw(st.sampled_from([None, [0], [0, 1 << (8 * dtype.itemsize - 1)], [7, 0]]))
            array = draw(arrays_of.arrays(words, shape, elements=None if few is None else st.sampled_from(few)))
            array = array.view(dtype) if array.ndim else array.reshape(1).view(dtype).reshape(())
        if draw(st.booleans()):
            array = array.T[::-1] if array.ndim else array
        if draw(st.booleans()):
            array = array.astype(array.dtype.newbyteorder(">"))
        found[str(number)] = array
        if draw(st.booleans()):
            found[f"again {number}"] = array.copy()
    return found


@given(models())
def test_every_bit_comes_back(arrays: Arrays) -> None:
    message = assert_comes_back(arrays)
    assert len(message) <= size_of(arrays) + 10 + 40 * len(arrays)


def test_nan_payloads_signed_zeros_and_denormals_come_back() -> None:
    words = np.array([0x7FC01234, 0xFF800001, 0x80000000, 0, 1, 0x807FFFFF, 0x7F800000, 0xFF800000], np.uint32)
    assert_comes_back({"odd": words.view(np.float32), "many": np.tile(words, 50_000).view(np.float32)})


@pytest.mark.parametrize("size", [(1 << 17) - 1, 1 << 17, (1 << 17) + 1, (1 << 18) + 1])
def test_arrays_are_cut_into_blocks_and_put_together(size: int) -> None:
    vector = RNG.integers(0, 5, 3 + size).astype(np.int16)
    assert_comes_back({"a": vector[:3], "b": vector[3:], "c": vector[: size // 2], "d": vector[: size // 2].copy()})


def test_exponents_of_normal_weights_save_a_seventh() -> None:
    message = assert_comes_back({"weight": NORMAL})
    assert len(message) <= 0.86 * NORMAL.nbytes
    half = NORMAL.astype(np.float16)
    assert len(assert_comes_back({"weight": half})) <= 0.87 * half.nbytes


def test_noise_grows_by_a_few_bytes() -> None:
    noise = RNG.integers(0, 1 << 32, 300_000, np.uint32).view(np.float32)
    assert len(assert_comes_back({"noise": noise})) <= noise.nbytes + 50
    assert len(assert_comes_back({"noise": noise.view(np.uint64)})) <= noise.nbytes + 100


@pytest.mark.parametrize(
    ("vector", "share"),
    [
        (np.zeros_like(NORMAL), 0.001),
        (np.full_like(NORMAL, 0.1), 0.001),
        (np.concatenate([NORMAL[:1000], np.zeros(99_000, np.float32)]), 0.012),
        (np.where(RNG.random(NORMAL.size) < 0.1, NORMAL, np.float32(0)), 0.11),
        (NORMAL * (RNG.random(NORMAL.size) < 0.1), 0.14),  # half of its zeros are negative: 0.9 bits for each number
        ((NORMAL.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32), 0.36),  # bfloat16 in float32
        (NORMAL.astype(np.float16).astype(np.float32), 0.46),
        (np.arange(100_000), 0.01),
        (RNG.random(100_000) < 0.1, 0.07),
    ],
    ids=["zeros", "constant", "mostly-zeros", "pruned", "signed-zeros", "bfloat16", "float16", "arange", "booleans"],
)
def test_what_repeats_shrinks(vector: Array, share: float) -> None:
    assert len(assert_comes_back({"vector": vector})) <= share * vector.nbytes + 20


def test_a_tied_array_costs_a_few_bytes() -> None:
    once, twice = compress({"a": NORMAL}), compress({"a": NORMAL, "b": NORMAL.reshape(3, -1).copy()})
    assert len(twice) <= len(once) + 10


def test_arrays_that_differ_in_the_middle_only_are_no_repetitions() -> None:
    other = NORMAL.copy()
    other[150_000] = 1
    assert_comes_back({"a": NORMAL, "b": other, "c": NORMAL.astype(np.float64), "d": NORMAL.view(np.int32)})


def test_a_model_without_arrays_comes_back() -> None:
    assert_comes_back({})


def test_what_are_no_numbers_is_refused() -> None:
    with pytest.raises(TypeError, match="expected numbers"):
        compress({"a": np.array(["text"])})


def test_stored_messages_are_read_as_ever() -> None:
    assert_same(decompress(bytes.fromhex(GOLDEN_BYTES), specs_of(GOLDEN)), GOLDEN)


def read_damaged(message: bytes, specs: list[Spec]) -> bool:
    """Whether it was refused; if not, the arrays are those of the specs."""
    try:
        found = decompress(message, specs)
    except MalformedMessage:
        return True
    assert [(name, array.shape, array.dtype) for name, array in found.items()] == specs
    return False


def test_a_truncated_message_is_refused() -> None:
    message, specs = compress(MODEL), specs_of(MODEL)
    for length in [*range(100), *range(100, len(message), 37), len(message) - 1]:
        with pytest.raises(MalformedMessage):
            decompress(message[:length], specs)
    with pytest.raises(MalformedMessage, match="follow"):
        decompress(message + b"\0", specs)


@given(st.integers(0, 1 << 30), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_numbers(place: int, change: int) -> None:
    message = bytearray(MESSAGE)
    message[place % (200 if place % 2 else len(message))] ^= change
    read_damaged(bytes(message), specs_of(MODEL))


@given(st.binary(max_size=300), st.booleans())
def test_random_bytes_are_refused_or_read(message: bytes, versioned: bool) -> None:
    small = {name: MODEL[name] for name in ("bias", "gain", "steps", "flags", "none")}
    read_damaged(b"\1" * versioned + message, specs_of(small))


MESSAGE = compress(MODEL)


def deflated(content: bytes, flushes: tuple[int, ...] = (zlib.Z_FINISH,), after: bytes = b"") -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    stream = deflater.compress(content) + b"".join(map(deflater.flush, flushes)) + after
    return b"\2" + len(stream).to_bytes(4, "little") + stream


ONE: list[Spec] = [("a", (100,), np.dtype(np.uint8))]
TWO: list[Spec] = [("a", (2,), np.dtype(np.uint8)), ("b", (2,), np.dtype(np.uint8)), ("c", (3,), np.dtype(np.uint8))]


@pytest.mark.parametrize(
    ("message", "specs", "found"),
    [
        (b"", ONE, "at least 1"),
        (b"\2\0\0", ONE, "version 2"),
        (b"\1\0\3", ONE, "form 3"),
        (b"\1\3\0", ONE, "plane of the compressed model has form 3"),
        (b"\1\0\0\2", ONE, "begins with 2"),
        (b"\1\0\0\0\0\5\0", ONE, "1 bytes follow"),
        (b"\1\0\0\0" + deflated(bytes(99)), ONE, "does not inflate to 100"),
        (b"\1\0\0\0" + deflated(bytes(101)), ONE, "does not inflate to 100"),
        (b"\1\0\0\0" + deflated(bytes(1 << 20)), ONE, "does not inflate to 100"),
        (b"\1\0\0\0" + deflated(bytes(100), (zlib.Z_SYNC_FLUSH,)), ONE, "does not inflate to 100"),  # has no end
        (b"\1\0\0\0" + deflated(bytes(100), after=b"\0"), ONE, "does not inflate to 100"),
        (b"\1\0\0\0\2\2\0\0\0\xff\xff", ONE, "cannot be inflated"),
        (b"\1\0\0\0\2\xff\xff\xff\xff", ONE, "ends too early"),
        (b"\1\0\2\0\0\0\7", ONE, "repeats array 0"),
        (b"\1\0\2\1\xff\xff\xff\xff\0\0\7", ONE, "repeats array 4294967295"),
        (b"\1\1\0\0\2\1\0\0\0\0\0\7", TWO, "repeats array 0"),  # of another size
        (b"\1\1\0\2\2\1" + bytes([0, 0, 0, 0, 1, 0, 0, 0]) + b"\0\7", [*TWO[:2], TWO[0]], "repeats array 1"),
        (b"\1\0\1", [("a", (0,), np.dtype(np.uint8))], "no numbers"),
        (b"\1\0\0\0\0\2", [("a", (9,), np.dtype(np.bool_))], "neither true nor false"),
    ],
)
def test_damage_is_named(message: bytes, specs: list[Spec], found: str) -> None:
    with pytest.raises(MalformedMessage, match=found):
        decompress(message, specs)


def test_any_deflate_stream_of_the_right_size_is_read() -> None:
    """Other versions of zlib cut blocks elsewhere, and may end with an empty one."""
    content = bytes(range(100))
    message = b"\1\0\0\0" + deflated(content, (zlib.Z_FULL_FLUSH, zlib.Z_FINISH))
    assert decompress(message, ONE)["a"].tobytes() == content


def traced(message: bytes, specs: list[Spec]) -> tuple[int, float]:
    """Peak of what is allocated until a message is refused, in bytes; and the seconds."""
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(MalformedMessage):
        decompress(message, specs)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, time.perf_counter() - began


@pytest.mark.parametrize("form", [b"\0", b"\1"], ids=["coded", "constant"])
def test_a_short_message_of_a_huge_model_is_refused_before_memory_grows(form: bytes) -> None:
    specs: list[Spec] = [("a", (1 << 40,), np.dtype(np.float32))]
    peak, seconds = traced(b"\1\0" + form + b"\1\0\x80\0\0" + bytes(1000), specs)
    assert peak < 100_000
    assert seconds < 1


def test_what_a_plane_inflates_to_beyond_its_size_is_not_made() -> None:
    peak, seconds = traced(b"\1\0\0\0" + deflated(bytes(1 << 26)), ONE)
    assert peak < 300_000  # the message itself is 65 kB
    assert seconds < 1


def test_a_message_is_at_least_a_fixed_share_of_its_model() -> None:
    zeros = {"a": np.zeros(1_000_000, np.float32)}
    message = assert_comes_back(zeros)
    assert len(message) == -(-size_of(zeros) // MAX_RATIO)
    for damaged in (message[:-1], message[:-1] + b"\1"):
        with pytest.raises(MalformedMessage):
            decompress(damaged, specs_of(zeros))


def test_what_comes_back_can_be_written_to_and_shares_nothing() -> None:
    found: dict[str, Any] = decompress(MESSAGE, specs_of(MODEL))
    for array in found.values():
        assert array.flags.writeable
    found["weight"][:] = 0
    assert_same({"tied": found["tied"]}, {"tied": MODEL["tied"]})
