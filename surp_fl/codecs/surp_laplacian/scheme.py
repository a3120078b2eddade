"""The paper's Algorithm 1, and its writing end: pairs of indices. The format is described in `decoder.py`.

Knows how a refinement becomes bits. Does not know how it is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from surp_fl.codecs.codec import Codec
from surp_fl.codecs.registry import Registration, with_memory
from surp_fl.codecs.surp_laplacian.decoder import READER, SIDE_BITS
from surp_fl.codecs.surp_laplacian.refinement import PairRefinement, bits_of, refine
from surp_fl.codecs.surp_paper.head import head_bits, index_bits_of, rounded, write_head
from surp_fl.codecs.surp_paper.options import RefinementOptions
from surp_fl.codecs.surp_paper.scales import codes_of, induced_l1, rms, scales_of
from surp_fl.codecs.surp_paper.schedule import Schedule
from surp_fl.entropy.bitio import BitWriter, width_of
from surp_fl.layout import Layout
from surp_fl.types import Reference, Vector


@dataclass(frozen=True)
class LaplacianSuRP(RefinementOptions):
    """Successive Refinement for Pruning, Algorithm 1: pairs of a positive and a negative coordinate, and no sign bits.

    A message ends at the first of `budget`, `steps` and `sparsity` that is reached; at least one must be given.

    Attributes:
        budget: bytes, whole message, at least 20; more bytes, less error.
        steps: refinement steps, of two indices each; more steps, less error.
        sparsity: share of coordinates that stay zero, 0 to 1, to within one coordinate; higher, fewer bytes.
        scale: what each layer, in its own shape, is divided by: `induced_l1` (the norm of the paper's Theorem 1), `l1`,
            `l2`, `rms`, or None for one scale over all layers. Scales cost two bytes a layer.
        beta: the paper's β; None stands for ln n. Larger, lower thresholds: more steps for the same magnitude.
        memory: what the client carries between rounds.

    Raises:
        ValueError: no limit is given, or one out of its range.

    Source: Isik, Weissman, No 2022, "An Information-Theoretic Justification for Model Pruning", Algorithm 1. What it
    leaves open, where a side has no candidate, is said in `refinement.py`.
    """

    SMALLEST_BUDGET: ClassVar[int] = 20

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        return Codec(READER, self._write)

    def _write(self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        beta, scale_codes = rounded(self.beta), codes_of(self.scale, vector, layout)
        index_bits = index_bits_of(layout.size)
        limits = self.limits(vector, head_bits(beta, scale_codes), bits_of(1, 0, 2, index_bits))
        refinement = PairRefinement(0, *4 * [np.empty(0, np.int64)])
        if layout.size > 0:
            schedule, scales = Schedule.of(layout.size, beta, sides=2), scales_of(scale_codes, layout)
            refinement = refine(vector, layout.ends, scales, schedule, limits, index_bits, rng)

        bits = BitWriter()
        write_head(bits, beta, scale_codes, refinement.steps, refinement.refresh_at.size - 1)
        if refinement.steps > 0:
            bits.write(refinement.refresh_code, 16)
            bits.write(refinement.refresh_sides, SIDE_BITS)
            bits.write(refinement.refresh_at[1:], width_of(refinement.steps))
            bits.write(refinement.indices, index_bits)
        return bits.to_bytes()


ROW = Registration(
    "surp-laplacian",
    READER,
    with_memory(LaplacianSuRP),
    examples={
        "laplacian 218 B": LaplacianSuRP(budget=218),
        "laplacian 218 B, induced L1 scales": LaplacianSuRP(budget=218, scale=induced_l1),
        "laplacian 218 B, RMS scales, beta 1.25": LaplacianSuRP(budget=218, scale=rms, beta=1.25),
        "laplacian 17 steps": LaplacianSuRP(steps=17),
        "laplacian 99 % sparse": LaplacianSuRP(sparsity=0.99),
    },
    value_bits=0,
    colour="C7",
    marker="h",
)
