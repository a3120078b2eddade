"""SuRP as in the paper, and its writing end: every index in ⌈log2 n⌉ bits. The format is described in `decoder.py`.

Knows how a refinement becomes bits. Does not know how it is computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surp_fl.codecs.codec import Codec
from surp_fl.codecs.registry import Registration, with_memory
from surp_fl.codecs.surp_paper.decoder import READER
from surp_fl.codecs.surp_paper.head import head_bits, index_bits_of, rounded, write_head
from surp_fl.codecs.surp_paper.options import RefinementOptions
from surp_fl.codecs.surp_paper.refinement import Refinement, bits_of, refine
from surp_fl.codecs.surp_paper.scales import codes_of, induced_l1, l1, l2, rms, scales_of
from surp_fl.codecs.surp_paper.schedule import Schedule
from surp_fl.entropy.bitio import BitWriter, width_of
from surp_fl.layout import Layout
from surp_fl.types import Reference, Vector

__all__ = ["ROW", "PaperSuRP", "induced_l1", "l1", "l2", "rms"]


@dataclass(frozen=True)
class PaperSuRP(RefinementOptions):
    """Successive Refinement for Pruning, Algorithm 2, with the paper's choices.

    A message ends at the first of `budget`, `steps` and `sparsity` that is reached; at least one must be given.

    Attributes:
        budget: bytes, whole message; more bytes, less error.
        steps: refinement steps; more steps, less error.
        sparsity: share of coordinates that stay zero, 0 to 1; higher, fewer bytes.
        scale: what each layer, in its own shape, is divided by: `induced_l1` (the norm of the paper's Theorem 1), `l1`,
            `l2`, `rms`, or None for one scale over all layers. Scales cost two bytes a layer.
        beta: the paper's β; None stands for ln n. Larger, lower thresholds: more steps for the same magnitude.
        memory: what the client carries between rounds.

    Raises:
        ValueError: no limit is given, or one out of its range.

    Source: Isik, Weissman, No 2022, "An Information-Theoretic Justification for Model Pruning", Algorithm 2.
    """

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        return Codec(READER, self._write)

    def _write(self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        beta, scale_codes = rounded(self.beta), codes_of(self.scale, vector, layout)
        index_bits = index_bits_of(layout.size)
        limits = self.limits(vector, head_bits(beta, scale_codes), bits_of(1, 0, 1, index_bits))
        refinement = Refinement(*3 * [np.empty(0, np.int64)])
        if layout.size > 0:
            schedule, scales = Schedule.of(layout.size, beta), scales_of(scale_codes, layout)
            refinement = refine(vector, layout.ends, scales, schedule, limits, index_bits, rng)

        bits = BitWriter()
        write_head(bits, beta, scale_codes, refinement.indices.size, refinement.refresh_at.size - 1)
        if refinement.indices.size > 0:
            bits.write(refinement.refresh_code[:1], 16)
            bits.write(refinement.indices, index_bits)
            bits.write(np.signbit(vector[np.unique(refinement.indices)]).astype(np.int64), 1)
            bits.write(refinement.refresh_at[1:], width_of(refinement.indices.size))
            bits.write(refinement.refresh_code[1:], 16)
        return bits.to_bytes()


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
