"""Every reader of bytes in the library, each with bytes that it reads: the table that `test_prefixes.py` goes through.

Knows which exception each reader documents. Does not know what is done to the bytes.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from surp_fl import Dense, Layout, MalformedMessage, SuRP, lossless, model_file, truncate, varints
from surp_fl.change import Change
from surp_fl.codecs import SCHEMES, reader_of
from surp_fl.flower.packed_model import Packed, digest_of, unpack_model
from surp_fl.flower.protocol import ARRAYS_NAME, BASES, DELTAS, INTEGER_ARRAYS, MERGED, NAME, SECTIONS, STATS, VERSION
from surp_fl.flower.received_model import receive_model
from surp_fl.flower.records import from_record
from surp_fl.frame import HEADER_BYTES, pack, scheme_id_of, unpack
from surp_fl.inflate import inflated
from surp_fl.integer_arrays import read_integers, write_integers
from surp_fl.merged_change import apply_merged, merge
from surp_fl.model_file.container import sections_of
from surp_fl.model_file.varints import ByteReader
from surp_fl.statistics_section import read_statistics
from surp_fl.types import Arrays, Vector

Read = Callable[[bytes], object]
RNG = np.random.default_rng(0)
SHAPES = {"conv": (4, 1, 3, 3), "fc": (8, 6), "bias": (6,), "none": (0, 3), "scalar": (), "norm.running_mean": (9,)}


@dataclass(frozen=True)
class Case:
    """A reader and bytes for it.

    Attributes:
        name: of both.
        whole: bytes that it reads to a value.
        read: raises nothing but `error`.
        error: the one exception that the reader documents.
        again: gives a prefix of what checks cover with checks that hold, as someone who makes messages would; or None.
    """

    name: str
    whole: bytes
    read: Read
    error: type[Exception] = MalformedMessage
    again: Callable[[bytes], bytes] | None = None


def model(seed: int = 0) -> Arrays:
    """A model of few coordinates, with an array of every kind: trained, empty, statistics, counters, booleans."""
    rng = np.random.default_rng(seed)
    floats: Arrays = {name: rng.standard_t(2, size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    return floats | {"steps": np.array(40 + seed), "mask": rng.random(60) < 0.5}


BEFORE, AFTER = model(), model(1)
LAYOUT = Layout.of(BEFORE)


def framed_again(message: bytes) -> bytes:
    """A message whose check is right for its bytes, whatever these are."""
    if len(message) < HEADER_BYTES:
        return message
    reader, body = reader_of(message), message[HEADER_BYTES:]
    return pack(reader.scheme_id, body, reader.associated_data(body, LAYOUT, None))


def _messages() -> Iterator[Case]:
    delta: Vector = LAYOUT.difference(AFTER, BEFORE)
    examples = {name: scheme for row in SCHEMES.values() for name, scheme in row.examples.items()}
    for name, scheme in examples.items():
        message = scheme.codec.encode(delta, LAYOUT, rng=RNG)[:]
        reader = reader_of(message)
        for call in (reader.decode, reader.decode_sparse, reader.bit_breakdown):
            if len(message) <= 400 or call == reader.decode:
                read = partial(call, layout=LAYOUT)
                yield Case(f"{name}: {call.__name__}", message, read, again=framed_again)
    frame = Dense().codec.encode(delta, LAYOUT, rng=RNG)
    yield Case("frame: scheme id", frame, scheme_id_of)
    yield Case("frame: reader", frame, reader_of)
    yield Case("frame: unpack", frame, lambda data: unpack(data, LAYOUT.fingerprint), again=framed_again)
    progressive = SuRP(budget=100).codec.encode(delta, LAYOUT, rng=RNG)
    yield Case("frame: truncate", progressive, lambda data: truncate(data, 20))


def checked_again(section: bytes) -> bytes:
    """A section of integer arrays with a check that holds."""
    return binascii.crc_hqx(section[2:], 0).to_bytes(2, "big") + section[2:]


def _sections() -> Iterator[Case]:
    of_statistics = LAYOUT.of_statistics
    changes = RNG.normal(size=of_statistics.size).astype(np.float32)
    for scheme in (Dense(), SuRP(budget=20)):
        section = scheme.codec.encode(changes, of_statistics, rng=RNG)
        yield Case(f"statistics: {type(scheme).__name__}", section, lambda data: read_statistics(data, BEFORE, LAYOUT))
    integers = write_integers(BEFORE, AFTER, LAYOUT)
    stored = checked_again(b"..\0" + zlib.decompress(integers[3:], -zlib.MAX_WBITS) if integers[2] else integers)
    for form, section in (("as written", integers), ("stored", stored)):
        yield Case(f"integers: {form}", section, lambda data: read_integers(data, BEFORE, LAYOUT), again=checked_again)
    dense = Dense().codec.encode(changes, of_statistics, rng=RNG)
    yield Case("change: integers", integers, lambda data: Change(b"", dense, data).untrained(BEFORE, LAYOUT))


def told_again(merged: bytes) -> bytes:
    """A merged change that says how many of its bytes are coded: all of them."""
    return merged[:6] + max(0, len(merged) - 10).to_bytes(4, "little") + merged[10:] if len(merged) >= 10 else merged


def _models() -> Iterator[Case]:
    near = AFTER | {name: BEFORE[name].copy() for name in ("conv", "fc")}
    near["conv"][2, 0, 1] += 1
    merged = merge(BEFORE, near)
    assert merged is not None
    yield Case("merged change", merged, lambda data: apply_merged(BEFORE, data), again=told_again)
    specs = [(name, array.shape, array.dtype) for name, array in BEFORE.items()]
    yield Case("lossless model", lossless.compress(BEFORE), lambda data: lossless.decompress(data, specs))
    file = model_file.compress(BEFORE, ratio=1.2)
    yield Case("model file", file, model_file.decompress)
    yield Case("model file: sections", file, sections_of)
    manifest, packed = (
        Packed.of(BEFORE).manifest,
        np.concatenate([each.reshape(-1).view("u1") for each in BEFORE.values()]),
    )
    forms = {"plain": packed.tobytes(), "compressed": lossless.compress(BEFORE), "file": file}
    for form, data in forms.items():
        options = {"compressed": form == "compressed", "is_file": form == "file"}
        yield Case(f"packed: {form}", data, lambda part, o=options: unpack_model(_record(part), manifest, **o))  # type: ignore[misc]
    yield Case("packed: manifest", manifest, lambda part: unpack_model(_record(packed.tobytes()), part))
    yield Case(
        "packed: array", _record(packed.tobytes())["model"].data, lambda part: unpack_model(_array(part), manifest)
    )
    yield from _downlink(merged, digest_of(near))


def _downlink(merged: bytes, version: bytes) -> Iterator[Case]:
    base, message = digest_of(BEFORE), SuRP(budget=50).codec.encode(LAYOUT.difference(AFTER, BEFORE), LAYOUT, rng=RNG)
    sections = b"".join(len(each).to_bytes(4, "little") + each for each in (b"", write_integers(BEFORE, AFTER, LAYOUT)))
    entries: dict[str, Any] = {VERSION: version, ARRAYS_NAME: "arrays", BASES: [base]}
    delta = entries | {DELTAS: [message], SECTIONS: [sections]}
    for key, whole in ((DELTAS, message), (SECTIONS, sections), (BASES, base)):
        yield Case(f"downlink: {key}", whole, lambda part, key=key: _received(delta | {key: [part]}))  # type: ignore[misc]
    yield Case("downlink: merged", merged, lambda part: _received(entries | {MERGED: part}))
    yield Case("downlink: version", version, lambda part: _received(entries | {MERGED: merged, VERSION: part}))
    reply: dict[str, Any] = {NAME: message, STATS: bytes(20), INTEGER_ARRAYS: b"123", "loss": 1.0}
    for key in (NAME, STATS, INTEGER_ARRAYS):
        yield Case(f"reply: {key}", reply[key], lambda part, key=key: from_record(ConfigRecord(reply | {key: part})))  # type: ignore[misc]


def _received(entries: dict[str, Any]) -> object:
    return receive_model(RecordDict({"config": ConfigRecord(entries)}), BEFORE)


def _record(data: bytes) -> ArrayRecord:
    return ArrayRecord({"model": Array(np.frombuffer(data, np.uint8))})


def _array(data: bytes) -> ArrayRecord:
    return ArrayRecord({"model": Array("uint8", (len(data),), "numpy.ndarray", data)})


def _bytes() -> Iterator[Case]:
    numbers = varints.varint(300) + varints.varint(1 << 62)
    yield Case("varint", numbers, lambda data: varints.ByteReader(data).number(9))
    yield Case("varints", numbers, lambda data: (each := varints.ByteReader(data), each.number(9), each.number(9)))
    yield Case("bytes", numbers, lambda data: varints.ByteReader(data).take(5))
    yield Case("varint of a model file", numbers, lambda data: ByteReader(data).varint())
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = deflater.compress(b"a text, a text, another text" * 3) + deflater.flush()
    yield Case("deflated bytes", deflated, lambda data: inflated(data, 84, "it"))


CASES = [*_messages(), *_sections(), *_models(), *_bytes()]
