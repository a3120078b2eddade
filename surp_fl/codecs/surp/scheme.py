"""SuRP, fitted to real updates: the default scheme. Which file does what:

rate_distortion.py   which coordinates, in which groups, within a number of bits; rates from rate_model.py, groups
                     from magnitude_groups.py
encoder.py           groups → bytes, within the budget
quantised_body.py    a whole vector → bytes, at any rate: another encoder of the same format, for models; its levels
                     from scalar_quantiser.py
trellis/             the other mode, for a twentieth of a bit a coordinate and more: a level for every coordinate, in
                     the contexts of its row and column, on a path of least error; modes.py chooses
decoder.py           bytes → indices and values; the format
groups.py            one group ↔ the range coder
rank_one.py          one rank-one term of a layer ↔ the range coder; which ones: rank_one_selection.py, which seeks them
                     by rank_one_search.py
context_model.py     reference → layers.py, the side information of both ends
layer_weights.py     probabilities of a layer's rows and columns
index_set.py         a set of coordinates ↔ the range coder, layer by layer
index_tree.py        the picks of one layer ↔ the range coder: cell_ranges.py, halved, by beta_binomial.py
coded_state.py       what earlier sets of a message tell; which cells, in coded_set.py
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from surp_fl.codecs.codec import Budgeted, Codec
from surp_fl.codecs.reader import Reader
from surp_fl.codecs.registry import Registration, with_memory
from surp_fl.codecs.surp.decoder import associated_data, count_bits, read
from surp_fl.codecs.surp.modes import write_better
from surp_fl.layout import Layout
from surp_fl.memory import ErrorFeedback, Memory
from surp_fl.types import Reference, Vector

if TYPE_CHECKING:
    import torch

SMALLEST_BUDGET = Budgeted.SMALLEST_BUDGET  # bytes

MEMORY = ErrorFeedback(step_ahead=0.5)
READER = Reader(3, "surp", read, count_bits, associated_data, contextual=True, progressive=True, takes_tensors=True)


@dataclass(frozen=True)
class SuRP(Budgeted):
    """Successive Refinement for Pruning, fitted to real updates: the least squared error for a number of bytes.

    In the context of a model that both ends hold, indices cost less where the model's rows and columns are large. A
    message may be truncated anywhere (`surp_fl.truncate`); a prefix is a message, with a larger error. From about a
    twentieth of a bit a coordinate on, a message has a level for every coordinate.

    Attributes:
        budget: bytes, whole message; more bytes, less error.
        ratio: instead of a budget, how many times smaller than the n trained parameters in float32 a message is: a
            budget of 4n / ratio bytes, and at least SMALLEST_BUDGET.
        progressive: make truncated messages near-optimal for their length. Costs about a twentieth of the bytes;
            without it, a truncated message may waste up to a third of what is left of it, and one with a level for
            every coordinate, which this is never used with, loses all coordinates behind the cut.
        memory: what the client carries between rounds: error feedback, and half of what clients owe is added before
            local training where they sit out many rounds.
        rank_one: largest share of a message that products of a vector of a layer's rows and one of its columns may
            take, 0 to 1; 0 for none. Rank-one terms are used in rounds whose update they hold clearly more of than
            single coordinates do, as with AdamW, where no weight moves much more than the others; low-rank factors
            beside levels of all coordinates, where they lower the error.

    Raises:
        ValueError: not exactly one of budget and ratio is given, the budget is below SMALLEST_BUDGET, the ratio
            below 1, or rank_one is not from 0 to 1.

    >>> import numpy as np
    >>> from surp_fl import Layout
    >>> vector = np.array([0, 0, -3, 0], np.float32)
    >>> layout, codec = Layout.of({"w": vector}), SuRP(budget=40).codec
    >>> message = codec.encode(vector, layout, rng=np.random.default_rng(0))
    >>> len(message), codec.decode(message, layout)
    (8, array([ 0.,  0., -3.,  0.], dtype=float32))
    """

    progressive: bool = False
    memory: Memory = MEMORY
    rank_one: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.rank_one <= 1:
            raise ValueError(f"rank_one = {self.rank_one}; expected a share of the message, from 0 to 1")

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        return Codec(READER, self._write, self._write)

    def _write(
        self,
        vector: Vector | torch.Tensor,
        layout: Layout,
        rng: np.random.Generator,
        reference: Reference,
        *,
        delta: Vector | None = None,
    ) -> bytes:
        budget = self.bytes_for(layout)
        return write_better(vector, layout, reference, budget, self.progressive, self.rank_one, delta)


ROW = Registration(
    "surp",
    READER,
    with_memory(SuRP, MEMORY),
    examples={
        "surp 40 B": SuRP(budget=40),
        "surp 218 B": SuRP(budget=218),
        "surp 900 B, progressive": SuRP(budget=900, progressive=True),
    },
    value_bits=0,
    colour="C0",
    marker="o",
)
