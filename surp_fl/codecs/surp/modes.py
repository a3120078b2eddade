"""Which mode a message takes: groups of the largest coordinates, or the trellis, which tells every coordinate's level.

Groups are far below a tenth of a bit a coordinate, where most coordinates are never told; what both ends hold makes them
smaller, so that they stay ahead for longer where there is a reference. Each mode's body begins with what it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.decoder import read
from surp_fl.codecs.surp.encoder import capacity_within, write_body
from surp_fl.codecs.surp.trellis.body import write_trellis
from surp_fl.errors import DIVERGED
from surp_fl.layout import Layout
from surp_fl.memory import norm_of
from surp_fl.topk import on_host
from surp_fl.types import Reference, Vector
from surp_fl.updates import as_vector

if TYPE_CHECKING:
    import torch

# Bits a coordinate from which the trellis is used: without a reference, with the model, with an earlier one as well. By
# recorded updates of LeNet-5 and of a CNN with batch normalization, without a reference they are alike at 0.03.
_TRELLIS_BITS = (0.1, 0.1, 0.25)
_FEW = 1 << 16  # coordinates, for which both are made, and the better one is taken


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
    body = write_trellis(whole, Context.of(layout, None).side, capacity)
    if body is not None and layout.size > _FEW:
        return body
    groups = write_body(vector, layout, reference, budget, progressive, rank_one, delta)
    if body is None:
        return groups
    errors = [norm_of(whole - as_vector(read(each, layout, reference), layout.size)) for each in (groups, body)]
    return body if errors[1] < errors[0] else groups
