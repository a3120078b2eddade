"""The reading end of SuRP, and its format: groups of coordinates that share a magnitude, in a range coder.

Every symbol is range coded, in the context of what both ends hold:

    context      2 bits   0: none; 1: the model that the client was sent; 2: that, and the one it was sent before;
                          3: one of these follows in 2 bits, and then rank-one terms; or 3 follows, for the trellis
                          mode, whose format trellis/reader.py describes
    terms                 if there are any: how many, as `encode_uint`; then each, as in rank_one.py
    groups                until a count of zero, or until the bytes do not determine the next symbol
      count      k, as `encode_uint` of entropy/integers.py
      magnitude  13 bits (9 of exponent, 4 of mantissa) for the first group; then the change of that code, as
                 `encode_uint`: twice a rise, or twice a fall less one
      disjoint   whether no coordinate is in an earlier group; not sent for the first group, which is disjoint
      set        k coordinates and their signs, as in index_set.py
"""

from __future__ import annotations

import zlib

import numpy as np

from surp_fl.codecs.reader import BitBreakdown
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.groups import MALFORMED, OVERDRAWN, GroupReader, values_of_codes
from surp_fl.codecs.surp.trellis.reader import TRELLIS, is_trellis, read_trellis
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.entropy.integers import decode_bits
from surp_fl.entropy.range_coder import RangeDecoder
from surp_fl.layout import Layout
from surp_fl.types import Reference, Update

NO_CONTEXT, MODEL, HISTORY, WITH_TERMS = 0, 1, 2, 3
_NEEDS = {
    MODEL: "the model that the client was sent",
    HISTORY: "the model that the client was sent and the one that it was sent before",
}


def context_of(body: bytes) -> int:
    """Which reference a body was coded against: NO_CONTEXT, as in the trellis mode, MODEL or HISTORY."""
    decoder = RangeDecoder(body)
    context = decode_bits(decoder, 2)
    if context == WITH_TERMS:
        context = decode_bits(decoder, 2)
    return NO_CONTEXT if context == TRELLIS else int(context)


def read(body: bytes, layout: Layout, reference: Reference) -> Update:
    """Decode a body to indices and values, or to the whole vector if there are many indices.

    Args:
        body: without the frame.
        layout: of the model.
        reference: what the encoder was given.

    Raises:
        MalformedBits: no encoder writes this body, or it needs a reference that was not given.
    """
    if is_trellis(body):
        return read_trellis(body, layout.size, Context.of(layout, None).side)[0]
    return _read(body, layout, reference)[0]


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    """Bits of a valid body's indices, signs and magnitudes."""
    if is_trellis(body):
        return read_trellis(body, layout.size, Context.of(layout, None).side, measured=True)[1]
    return _read(body, layout, reference)[1]


def _read(body: bytes, layout: Layout, reference: Reference) -> tuple[Update, BitBreakdown]:
    decoder = RangeDecoder(body)
    decoder.grant(layout.size)
    reader = GroupReader(decoder, layout.size, _context(body, layout, reference).side)
    check(reader.read_context_and_groups())
    breakdown = BitBreakdown(reader.index_bits, reader.sign_bits, reader.magnitude_bits)
    with np.errstate(over="ignore"):
        if reader.is_dense:
            return np.asarray(reader.sums).astype(np.float32), breakdown
        indices, order = np.unique(reader.coordinates(), return_inverse=True)
        values = np.bincount(order, values_of_codes(reader.codes()), minlength=indices.size)
        return (indices, values.astype(np.float32)), breakdown


def check(fault: int) -> None:
    """Raise MalformedBits if the reader of groups found a fault."""
    if fault == OVERDRAWN:
        raise MalformedBits("it asks for more work than its bytes are worth")
    if fault == MALFORMED:
        raise MalformedBits("a group of no possible size or magnitude, or something after the end")


def associated_data(body: bytes, layout: Layout, reference: Reference) -> int:
    """32 bits that depend on everything that both ends must hold to read this body; part of the integrity check.

    Raises:
        MalformedBits: it needs a reference that was not given.
    """
    digest = _context(body, layout, reference).digest
    return zlib.crc32(digest.to_bytes(4, "little"), layout.fingerprint) if digest else layout.fingerprint


def _context(body: bytes, layout: Layout, reference: Reference) -> Context:
    context = context_of(body)
    if context == NO_CONTEXT:
        return Context.of(layout, None)
    if reference is None or (context == HISTORY and not isinstance(reference, tuple)):
        raise MalformedBits(f"it was coded against {_NEEDS[context]}, which this decoder was not given as `reference`")
    model = reference[0] if isinstance(reference, tuple) else reference
    return Context.of(layout, reference if context == HISTORY else model)
