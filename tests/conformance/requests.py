"""Requests to testees and what they have to answer: a line each, as `testee.c` describes them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from surp_fl.types import Vector
from tests.format_walk.cases import Case

REFUSED = "refused"  # stands for any answer that says why


class Asked(NamedTuple):
    """A request and the answer that is right: "ok" and the CRC-32 of the result, or `REFUSED`."""

    request: str
    answer: str

    @property
    def name(self) -> str:
        """Eight hexadecimal digits, by which lists of known failures name it."""
        return f"{zlib.crc32(self.request.encode()):08x}"


def asked(case: Case) -> Asked:
    """To decode a case of the walk."""
    setting = case.setting
    request = decode_request(case.fingerprint, setting.shapes, case.message, setting.model, setting.before)
    return Asked(request, REFUSED if case.vector is None else f"ok {crc_of(case.vector)}")


def decode_request(
    fingerprint: int,
    shapes: Sequence[tuple[int, ...]],
    message: bytes,
    model: Vector | None = None,
    before: Vector | None = None,
) -> str:
    """Decode a message for a model of these shapes."""
    return f"decode {fingerprint} {_arrays(shapes)} {message.hex() or '-'} {_digits(model)} {_digits(before)}"


def encode_request(
    fingerprint: int, shapes: Sequence[tuple[int, ...]], budget: int, update: Vector, model: Vector | None = None
) -> str:
    """Encode an update in a budget of bytes."""
    return f"encode {fingerprint} {_arrays(shapes)} {budget} {_digits(update)} {_digits(model)}"


def crc_of(vector: Vector) -> int:
    """Of the float32 values, little-endian, with 0.0 for every −0.0."""
    return zlib.crc32((vector + np.float32(0)).astype("<f4").tobytes())


def rows_and_columns(shape: tuple[int, ...]) -> tuple[int, int]:
    """Of an array, as the format has it: its first axis, and all others; one row below two dimensions."""
    return (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, math.prod(shape))


def _arrays(shapes: Sequence[tuple[int, ...]]) -> str:
    return ",".join("{}x{}".format(*rows_and_columns(shape)) for shape in shapes) or "-"


def _digits(vector: Vector | None) -> str:
    return "-" if vector is None else vector.astype("<f4").tobytes().hex() or "-"
