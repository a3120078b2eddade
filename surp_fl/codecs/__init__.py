"""One file per scheme, and the one table in which a decoder finds a message's scheme by its id."""

from __future__ import annotations

from surp_fl.codecs import dense, paper, stc, surp
from surp_fl.codecs.codec import Codec, Reader
from surp_fl.message import SCHEME_NAMES, MalformedMessage, scheme_id_of

__all__ = ["READERS", "Codec", "Reader", "reader_of"]

READERS = {reader.scheme_id: reader for reader in (dense.READER, paper.READER, stc.READER, surp.READER)}


def reader_of(message: bytes) -> Reader:
    """Find who reads a message.

    Raises:
        MalformedMessage: no message of this version, or of a scheme that this version does not know.
    """
    found = scheme_id_of(message)
    if found not in READERS:
        raise MalformedMessage(
            f"scheme id {found}; this version knows {SCHEME_NAMES}: "
            "the message was damaged, or the client runs a newer surp-fl"
        )
    return READERS[found]
