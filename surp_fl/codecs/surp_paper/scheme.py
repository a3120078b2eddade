"""SuRP as in the paper, and its writing end: every index in ⌈log2 n⌉ bits. The format is described in `decoder.py`.

Knows how a refinement becomes bits. Does not know how it is computed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.codec import Codec
from surp_fl.codecs.registry import Registration, with_memory
from surp_fl.codecs.surp_paper.decoder import BETA, READER, SCALES, index_bits_of, scales_of
from surp_fl.codecs.surp_paper.refinement import Limits, Refinement, Schedule, bits_of, refine
from surp_fl.entropy.bitio import BitWriter, width_of
from surp_fl.entropy.minifloat import encode_minifloat
from surp_fl.frame import HEADER_BYTES
from surp_fl.layout import Layout
from surp_fl.memory import ErrorFeedback, Memory
from surp_fl.types import Reference, Vector

_SMALLEST_BUDGET = 16  # bytes: a frame and one step in any model of up to 2**40 coordinates, without scales

Scale = Callable[[Vector], float]  # one layer of the vector → s


def l1(layer: Vector) -> float:
    """The layer's L1 norm, as in the paper.

    >>> l1(np.array([3, -4], np.float32))
    7.0
    """
    return float(np.abs(layer).sum(dtype=np.float64))


def l2(layer: Vector) -> float:
    """The layer's L2 norm, as in the authors' published code.

    >>> l2(np.array([3, -4], np.float32))
    5.0
    """
    return float(np.sqrt(np.square(layer, dtype=np.float64).sum()))


def rms(layer: Vector) -> float:
    """The layer's root mean square: layers of all sizes get the same share of steps a coordinate."""
    return l2(layer) / float(np.sqrt(max(layer.size, 1)))


@dataclass(frozen=True)
class PaperSuRP:
    """Successive Refinement for Pruning, Algorithm 2, with the paper's choices.

    A message ends at the first of `budget`, `steps` and `sparsity` that is reached; at least one must be given.

    Attributes:
        budget: bytes, whole message; more bytes, less error.
        steps: refinement steps; more steps, less error.
        sparsity: share of coordinates that stay zero, 0 to 1; higher, fewer bytes.
        scale: what each layer is divided by: `l1`, `l2`, `rms`, or None for one scale over all layers. Scales
            cost two bytes a layer.
        beta: the paper's β; None stands for ln n. Larger, lower thresholds: more steps for the same magnitude.
        memory: what the client carries between rounds.

    Raises:
        ValueError: no limit is given, or one out of its range.

    Source: Isik, Weissman, No 2022, "An Information-Theoretic Justification for Model Pruning", Algorithm 2.
    """

    budget: int | None = None
    steps: int | None = None
    sparsity: float | None = None
    scale: Scale | None = None
    beta: float | None = None
    memory: Memory = field(default_factory=ErrorFeedback)

    def __post_init__(self) -> None:
        if self.budget is None and self.steps is None and self.sparsity is None:
            raise ValueError("PaperSuRP needs to know where to stop: give a budget in bytes, steps, or a sparsity")
        if self.budget is not None and self.budget < _SMALLEST_BUDGET:
            raise ValueError(f"budget = {self.budget} bytes; a message with one step needs up to {_SMALLEST_BUDGET}")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps = {self.steps}; expected at least 1")
        if self.sparsity is not None and not 0 <= self.sparsity < 1:
            raise ValueError(f"sparsity = {self.sparsity}; expected the share of zeros, from 0 up to below 1")
        if self.beta is not None and not 0 < self.beta < np.inf:
            raise ValueError(f"beta = {self.beta}; expected a positive number")

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        return Codec(READER, self._write)

    def _write(self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        beta = None if self.beta is None else float(np.float32(self.beta))
        scale_codes = self._scale_codes(vector, layout)
        scales = scales_of(scale_codes, layout)
        index_bits = index_bits_of(layout.size)
        fixed_bits = 8 + 32 * (beta is not None) + 16 * scale_codes.size
        limits = self._limits(vector, fixed_bits, index_bits)
        refinement = Refinement(*3 * [np.empty(0, np.int64)])
        if layout.size > 0:
            schedule = Schedule.of(layout.size, beta)
            refinement = refine(vector, layout.ends, scales, schedule, limits, index_bits, rng)

        bits = BitWriter()
        bits.write_one(SCALES * (self.scale is not None) | BETA * (beta is not None), 8)
        if beta is not None:
            bits.write_one(int.from_bytes(struct.pack(">f", beta), "big"), 32)
        bits.write_varint(refinement.indices.size)
        if refinement.indices.size > 0:
            bits.write_varint(refinement.refresh_at.size - 1)
            bits.write(scale_codes, 16)
            bits.write(refinement.refresh_code[:1], 16)
            bits.write(refinement.indices, index_bits)
            bits.write(np.signbit(vector[np.unique(refinement.indices)]).astype(np.int64), 1)
            bits.write(refinement.refresh_at[1:], width_of(refinement.indices.size))
            bits.write(refinement.refresh_code[1:], 16)
        return bits.to_bytes()

    def _limits(self, vector: Vector, fixed_bits: int, index_bits: int) -> Limits:
        bits = -1
        if self.budget is not None:
            bits = 8 * (self.budget - HEADER_BYTES) - fixed_bits
            smallest = bits_of(1, 0, 1, index_bits)
            if bits < smallest:
                needed = HEADER_BYTES + -(-(fixed_bits + smallest) // 8)
                raise ValueError(
                    f"budget = {self.budget} bytes, but one step with its {fixed_bits // 8} bytes of options and "
                    f"scales needs {needed}: raise the budget, or use scale=None"
                )
        distinct = -1
        if self.sparsity is not None:
            target = max(1, round((1 - self.sparsity) * vector.size))
            distinct = min(target, int(np.count_nonzero(vector)))
        return Limits(bits, -1 if self.steps is None else self.steps, distinct)

    def _scale_codes(self, vector: Vector, layout: Layout) -> NDArray[np.int64]:
        if self.scale is None:
            return np.empty(0, np.int64)
        found = np.array([self.scale(layer) for layer in np.split(vector, layout.ends[:-1])])[: layout.ends.size]
        if not np.isfinite(found).all():
            raise ValueError("a layer's scale is NaN or infinite: the training diverged; lower its learning rate")
        return np.array([encode_minifloat(scale) for scale in found], np.int64)


ROW = Registration(
    "surp-paper",
    READER,
    with_memory(PaperSuRP),
    examples={
        "paper 218 B": PaperSuRP(budget=218),
        "paper 218 B, L1 scales": PaperSuRP(budget=218, scale=l1),
        "paper 218 B, L2 scales": PaperSuRP(budget=218, scale=l2),
        "paper 218 B, RMS scales, beta 1.5": PaperSuRP(budget=218, scale=rms, beta=1.5),
        "paper 17 steps": PaperSuRP(steps=17),
        "paper 99 % sparse": PaperSuRP(sparsity=0.99),
    },
    value_bits=0,
    colour="C6",
    marker="p",
)
