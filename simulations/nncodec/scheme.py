"""NNCodec within a budget, as a scheme of the experiments: "nncodec:15000", with error feedback around its codec.

The environment variable SURP_FL_NNCODEC names the Python of the environment that has NNCodec, which `make peers` makes.
A peer in experiments of one process, not a scheme for others: what it decodes, NNCodec must have made.
"""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from simulations.nncodec.process import Process
from simulations.nncodec.updates import arrays_of, coarsest, encoded, fitting, vector_of
from surp_fl.codecs import READERS, Codec, Reader, Registration
from surp_fl.codecs.codec import Budgeted
from surp_fl.codecs.reader import BitBreakdown
from surp_fl.codecs.registry import with_memory
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.errors import DIVERGED
from surp_fl.frame import HEADER_BYTES
from surp_fl.layout import Layout
from surp_fl.memory import ErrorFeedback, Memory
from surp_fl.types import Reference, Vector

VARIABLE = "SURP_FL_NNCODEC"
_NEAR = 16  # 64ths of an octave


@dataclass(frozen=True)
class NNCodecScheme(Budgeted):
    """NNCodec's bitstream with about the finest step that fits the budget, sought near that of the message before.

    Attributes:
        scale: λ of its rate–distortion optimised quantisation; higher, fewer coordinates and a finer step.
        own_steps: whether its own rule chooses a step for each array.
        memory: what the client carries between rounds.
    """

    scale: float = field(default=2.0, kw_only=True)
    own_steps: bool = field(default=False, kw_only=True)
    memory: Memory = field(default_factory=ErrorFeedback, kw_only=True)
    _before: list[int] = field(default_factory=list, init=False, repr=False, compare=False)  # the last step, if any

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        return Codec(READER, self._write)

    def _write(self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        if not np.isfinite(vector).all():
            raise ValueError(DIVERGED)
        process, settings = process_of_the_environment(), {"lambda_scale": self.scale, "opt_qp": self.own_steps}
        process.hold(arrays_of(vector, layout))
        largest, steps = self.bytes_for(layout) - HEADER_BYTES, dict[bytes, int]()

        def messages_at(qp: int) -> list[bytes]:
            messages = encoded(process, qp, settings)
            steps[messages[-1]] = qp
            return messages

        near = [fitting(messages_at, largest, step + _NEAR, _NEAR) for step in self._before]
        found = next(filter(None, near), None) or fitting(messages_at, largest, coarsest(vector))
        if found is None:
            raise ValueError(f"budget = {self.bytes_for(layout)} bytes; NNCodec says nothing in so few: raise it")
        self._before[:] = [steps[found[-1]]]
        return found[-1]


@cache
def process_of_the_environment() -> Process:
    """The process that all messages of this one go through, started for the first.

    Raises:
        ValueError: the environment does not name an interpreter.
    """
    if not os.environ.get(VARIABLE):
        raise ValueError(f"{VARIABLE} is not set; expected the Python of an environment with NNCodec: see `make peers`")
    process = Process(Path(os.environ[VARIABLE]))
    atexit.register(process.close)
    return process


def read(body: bytes, layout: Layout, reference: Reference) -> Vector:
    """Decode a body to the vector: float32, shape (n,).

    Raises:
        MalformedBits: it is not of this layout.
    """
    try:
        return vector_of(process_of_the_environment().decode(body), layout)
    except ValueError as fault:
        raise MalformedBits(f"NNCodec's arrays are not those of this model: {fault}") from fault


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    """Bits of a valid body: it does not tell them apart."""
    return BitBreakdown(0, 0, 8 * len(body))


READER = Reader(31, "nncodec", read, count_bits)


def _make(own_steps: float = 0, **options: Any) -> NNCodecScheme:
    process_of_the_environment()
    READERS[READER.scheme_id] = READER  # nothing but what this process makes is read by it
    return NNCodecScheme(own_steps=bool(own_steps), **options)


ROW = Registration(
    "nncodec",
    READER,
    with_memory(_make),
    examples={"nncodec 15,000 B": NNCodecScheme(15_000)},
    keeps_signs=False,
    contractive=False,
    colour="C6",
    marker="P",
)
