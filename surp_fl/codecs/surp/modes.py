"""Which mode a message takes: groups of the largest coordinates, or the trellis, which tells every coordinate's level.

Groups are for far less than a tenth of a bit a coordinate, where most coordinates are never told; what both ends hold
makes them smaller, so that they stay ahead for longer where there is a reference. A body begins with its mode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.decoder import read
from surp_fl.codecs.surp.encoder import capacity_within, write_body
from surp_fl.codecs.surp.rank_one_selection import Term, flat, terms_within, without
from surp_fl.codecs.surp.trellis.body import write_trellis
from surp_fl.errors import DIVERGED
from surp_fl.layout import Layout
from surp_fl.memory import norm_of
from surp_fl.topk import on_host
from surp_fl.types import Reference, Vector
from surp_fl.updates import as_vector

if TYPE_CHECKING:
    import torch

# Bits a coordinate from which the trellis is used: without a reference, with the model, with an earlier one as well;
# and for updates without outliers, as AdamW's, of which a level for every coordinate says little in few bits. By
# recorded updates of LeNet-5, a CNN with batch normalization, a transformer and LoRA.
_TRELLIS_BITS, _TRELLIS_BITS_OF_FLAT = (0.1, 0.1, 0.25), 0.25
_MOST_TERM_BITS = 0.25  # a coordinate
_FEW, _MANY, _BITS_OF_MANY = 1 << 13, 1 << 18, 1.0  # coordinates for which both are made; and bits of one, if more


def write_better(
    vector: Vector | torch.Tensor,
    layout: Layout,
    reference: Reference,
    budget: int,
    progressive: bool,
    rank_one: float,
    delta: Vector | None,
) -> bytes:
    """Write the body of the mode that has the least squared error within a budget; arguments as of `write_body`.

    Returns:
        At most budget − HEADER_BYTES bytes; of the trellis mode only where `progressive` is not asked for.

    Raises:
        ValueError: the vector holds NaN or infinity.
    """
    capacity = capacity_within(budget, layout.size)
    known = 0 if reference is None else 1 if not isinstance(reference, tuple) else 2
    if progressive or 8 * capacity < _TRELLIS_BITS[known] * layout.size:
        return write_body(vector, layout, reference, budget, progressive, rank_one, delta)
    whole = on_host(vector)
    if not np.isfinite(whole).all():
        raise ValueError(DIVERGED)
    side = Context.of(layout, None).side
    is_flat = flat(whole if delta is None else delta, side)
    compared = layout.size <= _FEW or (layout.size <= _MANY and 8 * capacity < _BITS_OF_MANY * layout.size)
    if is_flat and not compared and 8 * capacity < _TRELLIS_BITS_OF_FLAT * layout.size:
        return write_body(vector, layout, reference, budget, progressive, rank_one, delta)
    terms: list[Term] = []
    if is_flat and rank_one:
        terms = terms_within(min(8.0 * capacity, _MOST_TERM_BITS * layout.size), rank_one, whole, delta, side)
    body = write_trellis(without(whole, terms, side) if terms else whole, side, capacity, terms)
    if body is not None and not compared:
        return body
    groups = write_body(vector, layout, reference, budget, progressive, rank_one, delta)
    if body is None:
        return groups
    errors = [norm_of(whole - as_vector(read(each, layout, reference), layout.size)) for each in (groups, body)]
    return body if errors[1] < errors[0] else groups
