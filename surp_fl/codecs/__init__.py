"""One file per scheme, and the one table in which a decoder finds a message's scheme by its id."""

from __future__ import annotations

from surp_fl.codecs import dense, paper, qsgd, sparse, stc, surp
from surp_fl.codecs.codec import Codec, Reader
from surp_fl.message import HEADER_BYTES, SCHEME_NAMES, MalformedMessage, scheme_id_of, shorten

__all__ = ["READERS", "Codec", "Reader", "reader_of", "truncate"]

_ALL = (dense.READER, paper.READER, stc.READER, surp.READER, sparse.READER, qsgd.READER)
READERS = {reader.scheme_id: reader for reader in _ALL}


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


def truncate(message: bytes, length: int) -> bytes:
    """Shorten a message, without the vector, the model or the options that made it: for a relay, or a worse link.

    The error of what it decodes to never grows with the length. A damaged message stays one: its check is moved along,
    not made anew.

    Args:
        message: of a progressive scheme; a shorter one is given back as it is.
        length: bytes, whole message.

    Raises:
        MalformedMessage: no message of this version.
        ValueError: the scheme's messages cannot be cut, or too little would be left.
    """
    reader = reader_of(message)
    if not reader.progressive:
        raise ValueError(f"a '{reader.name}' message cannot be cut: send SuRP where messages may have to be shortened")
    if length <= HEADER_BYTES:
        raise ValueError(f"{length} bytes; the frame alone takes {HEADER_BYTES}: keep at least {HEADER_BYTES + 1}")
    return message if len(message) <= length else shorten(message, length)
