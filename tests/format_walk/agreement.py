"""Whether `surp_fl` reads a case as it is meant."""

from __future__ import annotations

import numpy as np

from surp_fl import Layout, MalformedMessage
from surp_fl.codecs import reader_of
from tests.format_walk.cases import Case
from tests.format_walk.side import Vector


def layout_of(case: Case) -> Layout:
    arrays = {name: np.zeros(shape, np.float32) for name, shape in zip(case.names, case.setting.shapes, strict=True)}
    return Layout.of(arrays, kinds={}, tied=False)


def read_by_library(case: Case) -> Vector | None:
    """What the library reads; None if it refuses the message."""
    setting = case.setting
    reference = setting.model if setting.before is None or setting.model is None else (setting.model, setting.before)
    try:
        return reader_of(case.message).decode(case.message, layout_of(case), reference=reference)
    except MalformedMessage:
        return None


def disagreement(case: Case) -> str:
    """What is different; empty if nothing is."""
    found = read_by_library(case)
    if case.vector is None:
        return "" if found is None else "the library reads a message that is malformed"
    if found is None:
        return "the library refuses a message that is not malformed"
    differ = (found != case.vector).nonzero()[0]
    if differ.size:
        at = int(differ[0])
        return f"{differ.size} of {found.size} values differ: {at} is {found[at]!r}, meant is {case.vector[at]!r}"
    return ""
