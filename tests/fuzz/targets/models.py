"""Targets: models in bytes: compressed without loss, packed in a record, and as a model file with its sections."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from flwr.app import Array, ArrayRecord

from surp_fl import MalformedMessage, model_file
from surp_fl.flower.packed_model import Packed, unpack_model
from surp_fl.layout import Layout
from surp_fl.lossless import compress, decompress
from surp_fl.model_file.container import header_of, in_chunks, sections_of
from surp_fl.model_file.manifest import Entry, Role, read_manifest, write_manifest
from surp_fl.model_file.model import IN_MEMORY
from surp_fl.model_file.scales import Scales, read_scales, write_scales
from surp_fl.model_file.small_arrays import read_small, write_small
from tests.fuzz.targets.model import MODEL
from tests.fuzz.targets.target import Fields, Target, equal_bits, pieces

_SPECS = [(name, array.shape, array.dtype) for name, array in MODEL.items()]
_MOST_BYTES = 1 << 16  # of a model file's arrays
_RATIO = 1024  # bytes of a model for one of its message, at most; beside a file's small arrays and manifest
_SMALL = [
    Entry("bias", (5,), "F32", Role.SMALL),
    Entry("brain", (3,), "BF16", Role.SMALL),
    Entry("mean", (2, 2), "F16", Role.MEAN),
    Entry("variance", (2, 2), "F32", Role.VARIANCE),
    Entry("wide", (20,), "F64", Role.SMALL),
]
_SCALED = Layout.of({"w": np.zeros((3, 384), np.float32), "v": np.zeros((2, 3), np.float32)})


def lossless(data: bytes) -> None:
    """A compressed model as it comes."""
    try:
        arrays = decompress(data, _SPECS)
    except MalformedMessage:
        return
    assert [(name, array.shape, array.dtype) for name, array in arrays.items()] == _SPECS, "another model"
    again = decompress(compress(arrays), _SPECS)
    assert all(equal_bits(again[name], array) for name, array in arrays.items()), "other numbers come back"


def packed_model(data: bytes) -> None:
    """The first byte is the form of the packed array; then its manifest, as a piece, and the array."""
    fields = Fields(data)
    form, manifest, content = fields.number(1), fields.piece(), fields.rest()
    if form & 4:  # in front of the array's bytes is NumPy's header
        content = np.lib.format.magic(1, 0) + b"\x06\x00{    }" + content
    record = ArrayRecord({"model": Array(dtype="uint8", shape=(len(content),), stype="numpy.ndarray", data=content)})
    try:
        arrays = unpack_model(record, manifest, compressed=form & 3 == 1, is_file=form & 3 == 2)
    except MalformedMessage:
        return
    assert sum(array.nbytes for array in arrays.values()) <= _RATIO * len(content), "more than the bytes are worth"


def manifest(data: bytes) -> None:
    """The manifest of a model file, deflated here unless the first byte is 0."""
    try:
        found = read_manifest(data[1:] if data[:1] == b"\0" else _deflated(data[1:]))
    except MalformedMessage:
        return
    again = read_manifest(write_manifest(found))
    assert again == found, "another manifest comes back"


def small_arrays(data: bytes) -> None:
    """The small arrays and statistics of a model file."""
    try:
        arrays = read_small(data, _SMALL)
    except MalformedMessage:
        return
    for entry in _SMALL:
        array = arrays[entry.name]
        assert (array.shape, array.dtype) == (entry.shape, IN_MEMORY[entry.dtype]), "another array"
        assert np.isfinite(array).all(), "NaN or infinity"
    assert arrays["variance"].min() >= 0, "a variance below zero"


def scales(data: bytes) -> None:
    """The units, norms and shares of a model file."""
    try:
        found = read_scales(data, _SCALED)
    except MalformedMessage:
        return
    for place in range(len(_SCALED.floats)):
        assert 0 < found.unit(place) < np.inf, "no unit"
        norms = found.row_norms(place)
        assert norms.shape == (found.rows(place),), "norms of other rows"
        assert ((norms >= 0) & (norms < np.inf)).all(), "no norms"
    if not any(found.norms):
        return  # no encoder writes shares of no norm, and nothing comes of them
    again = read_scales(write_scales(found), _SCALED)
    assert (list(again.units), list(again.norms)) == (list(found.units), list(found.norms)), "others come back"
    assert [each.tolist() for each in again.shares] == [each.tolist() for each in found.shares], "others come back"


def model_in_file(data: bytes) -> None:
    """A model file of any sections, whose checks hold; its manifest is deflated here."""
    fields = Fields(data)
    sections = _deflated(fields.piece()), fields.piece(), fields.piece(), fields.piece()
    body = fields.rest()
    file = in_chunks(header_of(*sections, len(body), 9), body, 9)
    try:
        found = model_file.decompress_model(file, max_bytes=_MOST_BYTES)
    except MalformedMessage:
        return
    assert found.nbytes <= _MOST_BYTES, "more than is allowed"
    entries = read_manifest(sections[0]).entries
    assert list(found.arrays) == [entry.name for entry in entries], "other names"
    for entry, array in zip(entries, found.arrays.values(), strict=True):
        assert (array.shape, array.dtype) == (entry.shape, IN_MEMORY[entry.dtype]), "another array"
        assert entry.role == Role.EXACT or np.isfinite(array).all(), "NaN or infinity"


def _deflated(content: bytes) -> bytes:
    return zlib.compress(content, 1, -zlib.MAX_WBITS)


def _files() -> Iterator[bytes]:
    """Files of a model: with a message, and without."""
    rng = np.random.default_rng(0)
    weight = rng.laplace(size=(2, 384)).astype(np.float32)
    model = MODEL | {"big": weight, "copy": weight.copy()}
    for arrays in (model, MODEL, {"bias": MODEL["bias"]}):
        yield model_file.compress(arrays, budget=800)
        yield model_file.compress(arrays, budget=500, gain="norm", exact=["wide"] if "wide" in arrays else [])


def _seeds_of_files() -> Iterator[bytes]:
    for file in _files():
        found = sections_of(file)
        content = zlib.decompress(found.manifest, -zlib.MAX_WBITS)
        yield pieces(content, found.exact, found.small, found.scales) + found.body


def _seeds_of_manifests() -> Iterator[bytes]:
    for file in _files():
        yield b"\1" + zlib.decompress(sections_of(file).manifest, -zlib.MAX_WBITS)
        yield b"\0" + sections_of(file).manifest


def _seeds_of_packed() -> Iterator[bytes]:
    arrays = {"w": MODEL["weight"], "half": MODEL["half"], "none": MODEL["none"], "n": MODEL["many"]}
    packed = Packed.of(arrays)
    content = b"".join(array.tobytes() for array in arrays.values())
    yield b"\0" + pieces(packed.manifest) + content
    yield b"\4" + pieces(packed.manifest) + content
    yield b"\1" + pieces(packed.manifest) + compress(arrays)
    yield (
        b"\2" + pieces(Packed.of({"w": MODEL["bias"]}).manifest) + model_file.compress({"w": MODEL["bias"]}, budget=99)
    )


def _seeds_of_small() -> list[bytes]:
    rng = np.random.default_rng(0)
    arrays = {entry.name: np.abs(rng.normal(size=entry.shape)).astype(IN_MEMORY[entry.dtype]) for entry in _SMALL}
    return [write_small(_SMALL, arrays, precision) for precision in (5, 8)]


def _seeds_of_scales() -> list[bytes]:
    shares = [np.array([3, -5, 0]), np.array([], np.int64)]
    return [write_scales(each) for each in (Scales([32_768, 30_000], [7, 0]), Scales([9, 9], [7, 999], shares))]


TARGETS = (
    Target(lossless, "decompress", lambda: [compress(MODEL)], 400),
    Target(packed_model, "unpack_model", _seeds_of_packed, 400),
    Target(manifest, "read_manifest", _seeds_of_manifests),
    Target(small_arrays, "read_small", _seeds_of_small, 160),
    Target(scales, "read_scales", _seeds_of_scales, 64),
    Target(model_in_file, "model_file", _seeds_of_files, 900),
)
