"""Target: whole messages of every scheme, whose check holds, against a small model, with what both ends hold or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from surp_fl import MalformedMessage, SuRP, truncate
from surp_fl.codecs import READERS, SCHEMES, reader_of
from surp_fl.codecs.reader import Reader
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.frame import HEADER_BYTES, pack
from surp_fl.layout import Layout
from surp_fl.types import Reference
from surp_fl.updates import as_vector
from tests.fuzz.targets.model import LAYOUT, REFERENCES, VECTOR
from tests.fuzz.targets.target import Target, equal_bits

_GOLDEN = Path(__file__).parents[2] / "golden"
_BUILT_IN = 24  # scheme ids from here on are of other packages
_LONGEST_SEED = 400  # bytes


def framed(reader: Reader, body: bytes, layout: Layout, reference: Reference) -> bytes:
    """A body in a frame whose check holds, as far as one can: a context that is not there has no share."""
    try:
        shared = reader.associated_data(body, layout, reference)
    except MalformedBits:
        shared = layout.fingerprint
    return pack(reader.scheme_id, body, shared)


def message(data: bytes) -> None:
    """The first byte is the scheme, the second what both ends hold and what is asked beside the vector; then the body.

    A message is decoded to a vector. Its indices and values give the same, its bits are no more than it has; of a
    progressive scheme, half of it is a message too.
    """
    if len(data) < 2 or data[0] % _BUILT_IN not in READERS:
        return
    asked, held = divmod(data[1], len(REFERENCES))
    reader, reference, body = READERS[data[0] % _BUILT_IN], REFERENCES[held], data[2:]
    whole = framed(reader, body, LAYOUT, reference)
    try:
        decoded = reader.decode(whole, LAYOUT, reference=reference)
    except MalformedMessage:
        return
    assert (decoded.shape, decoded.dtype) == ((LAYOUT.size,), np.dtype(np.float32)), "no vector of the model"
    assert np.isfinite(decoded).all(), "NaN or infinity"
    if asked % 3 == 0:
        indices, values = sparse = reader.decode_sparse(whole, LAYOUT, reference=reference)
        assert indices.shape == values.shape, "more indices than values, or fewer"
        assert (np.diff(indices, prepend=-1, append=LAYOUT.size) > 0).all(), "no ascending indices"
        assert equal_bits(as_vector(sparse, LAYOUT.size), decoded), "other numbers without the zeros"
    elif asked % 3 == 1:
        bits = reader.bit_breakdown(whole, LAYOUT, reference=reference)
        assert min(bits) > -1e-6, f"{bits} are fewer than none"
        assert sum(bits) <= 8 * len(body) + 48, f"{bits} are more than {len(body)} bytes"
    elif reader.progressive and len(body) > 1:
        half = truncate(whole, HEADER_BYTES + len(body) // 2)
        assert np.isfinite(reader.decode(half, LAYOUT, reference=reference)).all(), "half of it is none"


def _seeds() -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    for row in SCHEMES.values():
        for scheme in row.examples.values():
            yield _input(scheme.codec.encode(VECTOR, LAYOUT, rng=rng), 0)
    low_rank = VECTOR.copy()
    ends = dict(zip([spec.name for spec in LAYOUT.floats], LAYOUT.ends.tolist(), strict=True))
    low_rank[ends["fc"] - 120 : ends["fc"]] = np.outer(np.sign(np.arange(12) - 5.5), np.ones(10)).ravel()
    for held, reference in enumerate(REFERENCES):
        for vector in (VECTOR, low_rank):
            for budget in (30, 60, 218):
                yield _input(SuRP(budget).codec.encode(vector, LAYOUT, rng=rng, reference=reference), held)
                progressive = SuRP(budget, progressive=True).codec
                yield _input(progressive.encode(vector, LAYOUT, rng=rng, reference=reference), held)
    for path in sorted(_GOLDEN.glob("*/*.json")):
        held = 2 if "history" in path.name else int("model" in path.name)
        yield _input(bytes.fromhex(json.loads(path.read_text())["message"]), held)


def _input(whole: bytes, held: int) -> bytes:
    asked = len(whole) % 3
    return bytes([reader_of(whole).scheme_id, held + asked * len(REFERENCES)]) + whole[HEADER_BYTES:_LONGEST_SEED]


TARGETS = (Target(message, "READERS", _seeds, 400),)
