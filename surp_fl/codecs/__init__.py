"""Schemes: one file or folder each, and one row in the registry, in the order of legends. Nothing here knows Flower."""

from __future__ import annotations

from surp_fl.codecs import cast, dense, dgc, fedpaq, r_top_k, random_k, signsgd, stc, terngrad, top_k
from surp_fl.codecs.cast import Cast
from surp_fl.codecs.codec import Codec, Scheme
from surp_fl.codecs.dense import Dense
from surp_fl.codecs.dgc import DGC
from surp_fl.codecs.eden import scheme as _eden
from surp_fl.codecs.eden.scheme import EDEN
from surp_fl.codecs.fedpaq import FedPAQ
from surp_fl.codecs.power_sgd import scheme as _power_sgd
from surp_fl.codecs.power_sgd.scheme import PowerSGD
from surp_fl.codecs.qsgd import scheme as _qsgd
from surp_fl.codecs.qsgd.scheme import QSGD
from surp_fl.codecs.r_top_k import RTopK
from surp_fl.codecs.random_k import RandomK
from surp_fl.codecs.reader import READERS, Reader
from surp_fl.codecs.registry import SCHEMES, Registration, reader_of, register, scheme_named
from surp_fl.codecs.sbc import scheme as _sbc
from surp_fl.codecs.sbc.scheme import SBC
from surp_fl.codecs.signsgd import SignSGD
from surp_fl.codecs.stc import STC
from surp_fl.codecs.surp import scheme as _surp
from surp_fl.codecs.surp.scheme import SuRP
from surp_fl.codecs.surp_laplacian import scheme as _surp_laplacian
from surp_fl.codecs.surp_laplacian.scheme import LaplacianSuRP
from surp_fl.codecs.surp_paper import scheme as _surp_paper
from surp_fl.codecs.surp_paper.scheme import PaperSuRP
from surp_fl.codecs.surp_unbiased import scheme as _surp_unbiased
from surp_fl.codecs.surp_unbiased.scheme import UnbiasedSuRP
from surp_fl.codecs.terngrad import TernGrad
from surp_fl.codecs.top_k import TopK
from surp_fl.frame import HEADER_BYTES, shorten

for _row in (
    _surp.ROW, _surp_unbiased.ROW, stc.ROW, _sbc.ROW, r_top_k.ROW, dgc.ROW, top_k.ROW, random_k.ROW, _eden.ROW,
    _power_sgd.ROW, _qsgd.ROW, fedpaq.ROW, signsgd.ROW, terngrad.ROW, *cast.ROWS, dense.ROW, _surp_paper.ROW,
    _surp_laplacian.ROW,
):  # fmt: skip
    register(_row)

__all__ = [
    "DGC", "EDEN", "QSGD", "READERS", "SBC", "SCHEMES", "STC", "Cast", "Codec", "Dense", "FedPAQ", "LaplacianSuRP",
    "PaperSuRP", "PowerSGD", "RTopK", "RandomK", "Reader", "Registration", "Scheme", "SignSGD", "SuRP", "TernGrad",
    "TopK", "UnbiasedSuRP", "reader_of", "register", "scheme_named", "truncate",
]  # fmt: skip


def truncate(message: bytes, length: int) -> bytes:
    """Shorten a message without the vector, the model or the options that made it: for a relay, or a slower link.

    The error of what it decodes to never increases with the length. A damaged message stays damaged: its integrity
    check is updated, not computed anew.

    Args:
        message: of a progressive scheme; if it is not longer than `length`, it is returned as it is.
        length: bytes, whole message.

    Returns:
        A message of at most `length` bytes.

    Raises:
        MalformedMessage: not a message of this version.
        ValueError: the scheme's messages cannot be truncated, or `length` leaves no byte after the frame.

    >>> import numpy as np
    >>> from surp_fl import Layout
    >>> vector = np.linspace(-1, 1, 1000, dtype=np.float32)
    >>> message = SuRP(budget=400).codec.encode(vector, Layout.of({"w": vector}), rng=np.random.default_rng(0))
    >>> len(truncate(message, 100))
    100
    """
    reader = reader_of(message)
    if not reader.progressive:
        raise ValueError(f"a '{reader.name}' message cannot be cut: send SuRP where messages may have to be shortened")
    if length <= HEADER_BYTES:
        raise ValueError(f"{length} bytes; the frame alone takes {HEADER_BYTES}: keep at least {HEADER_BYTES + 1}")
    return message if len(message) <= length else shorten(message, length)
