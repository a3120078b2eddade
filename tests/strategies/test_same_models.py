"""What training gives, pinned by SHA-256: moving code must not change a model.

The run is arithmetic that every machine does alike: differences and products of float32 one by one, no sums whose
order a library chooses.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from surp_fl import STC, CompressUpdates, PaperSuRP, SuRP
from surp_fl.codecs.codec import Scheme
from surp_fl.strategies import DecodeUpdates
from tests.flower_app import Arrays, app_with, fedavg, run

SHAPES = {"conv.weight": (20, 1, 5, 5), "conv.bias": (20,), "fc.weight": (60, 320), "fc.bias": (60,)}
SHA256 = {
    "surp up": "b05f92e7a1730eb7a4cef3963271b73c75a6fdbbcd533dbc243e840e4740b313",
    "surp both ways": "fccaf3fefec3c96d452915ef01f91bd1902a118bf09e8cfdcd600dd77081a499",
    "stc up": "c4444e7910ef3135fe82e2064225dffc3b4013657be1a092afb246c8fb10f12e",
    "surp-paper up": "9898b4a6c79774257924702d255dd407f98a44088c17db2c151d2dc1a386378d",
}


def whole_numbers(seed: int, count: int) -> NDArray[np.int64]:
    """Of a linear congruential generator, −1000 to 1000."""
    state, found = seed + 12345, []
    for _ in range(count):
        state = (1103515245 * state + 12345) % 2**31
        found.append((state >> 8) % 2001 - 1000)
    return np.array(found, np.int64)


def start() -> Arrays:
    return {
        name: (whole_numbers(seed, int(np.prod(shape))) / 8192).astype(np.float32).reshape(shape)
        for seed, (name, shape) in enumerate(SHAPES.items())
    }


def learn(arrays: Arrays, node: int, server_round: int) -> Arrays:
    """Steps with heavy tails, towards a third of every weight."""
    for place, array in enumerate(arrays.values()):
        noise = whole_numbers(1000 * node + 10 * server_round + place, array.size).astype(np.float32) / np.float32(1024)
        array -= np.float32(0.125) * array
        array += (noise * noise * noise).reshape(array.shape) * np.float32(0.0625)
    return arrays


def sha256_of(scheme: Scheme, downlink: Scheme | None) -> str:
    strategy: Any = DecodeUpdates(fedavg(), downlink=downlink)
    result = run(app_with([CompressUpdates(scheme)], learn), strategy, rounds=4, start=start).result
    return hashlib.sha256(b"".join(array.numpy().tobytes() for array in result.arrays.values())).hexdigest()


@pytest.mark.parametrize(
    ("name", "scheme", "downlink"),
    [
        ("surp up", SuRP(218), None),
        ("surp both ways", SuRP(218), SuRP(1000)),
        ("stc up", STC(218), None),
        ("surp-paper up", PaperSuRP(218), None),
    ],
)
def test_a_short_run_ends_with_the_same_model_as_ever(name: str, scheme: Scheme, downlink: Scheme | None) -> None:
    assert sha256_of(scheme, downlink) == SHA256[name]
