"""Which mode a message takes: groups of the largest coordinates, or the trellis, which tells every coordinate's level.

Groups are for far less than a twentieth of a bit a coordinate, where most coordinates are never told; what both ends
hold makes them smaller, so that they stay ahead for longer where there is a reference. A body begins with its mode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.decoder import read
from surp_fl.codecs.surp.encoder import capacity_within, write_body
from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.rank_one_selection import flat, in_range
from surp_fl.codecs.surp.trellis.level_fit import Body, LevelFit
from surp_fl.codecs.surp.trellis.low_rank import ADVANTAGE, LowRankSearch
from surp_fl.errors import DIVERGED
from surp_fl.layout import Layout
from surp_fl.memory import norm_of
from surp_fl.topk import on_host
from surp_fl.types import Reference, Vector
from surp_fl.updates import as_vector

if TYPE_CHECKING:
    import torch

# Bits a coordinate from which the trellis is used; and below which groups are made as well, where they may be better:
# with a reference, and for updates without outliers, as AdamW's. By recorded updates of LeNet-5, a CNN with batch
# normalization, a transformer and LoRA.
_TRELLIS_BITS, _CLOSE_BITS = 0.06, 0.25
_FEW = 1 << 14  # coordinates for which all are always made
_MANY, _CLOSE_BITS_OF_MANY = 1 << 18, 1.0  # the same below so many bits
_SLIGHT_ADVANTAGE = 0.97  # of factors in layers of few coordinates
_SAMPLE, _FEW_MAGNITUDES = 1 << 12, 64  # coordinates; distinct magnitudes among them


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
    bits = 8 * capacity / max(layout.size, 1)
    if progressive or bits < _TRELLIS_BITS:
        return write_body(vector, layout, reference, budget, progressive, rank_one, delta)
    whole = on_host(vector)
    if not np.isfinite(whole).all():
        raise ValueError(DIVERGED)
    side = Context.of(layout, None).side
    bodies = _bodies_of_levels(whole, side, capacity, rank_one)
    close = bits < _CLOSE_BITS and (reference is not None or flat(whole if delta is None else delta, side))
    few = layout.size <= _FEW or (layout.size <= _MANY and bits < _CLOSE_BITS_OF_MANY)
    if close or few or all(each.content is None for each in bodies) or _few_magnitudes(whole):
        content = write_body(vector, layout, reference, budget, progressive, rank_one, delta)
        bodies.append(Body(content, norm_of(whole - as_vector(read(content, layout, reference), layout.size))))
    _, content = min((each.error, each.content) for each in bodies if each.content is not None)
    return content


def _bodies_of_levels(vector: Vector, side: SideInformation, capacity: int, share: float) -> list[Body]:
    """Beside factors where a sample tells that they are better; of levels alone where they are not; both if close."""
    few, bodies, close = vector.size <= _FEW, list[Body](), False
    search = LowRankSearch(vector, side, 8.0 * capacity, share if in_range(vector) else 0.0)
    for most_left in (ADVANTAGE, _SLIGHT_ADVANTAGE) if few else (ADVANTAGE,):
        if (factors := search.find(most_left)) is not None:
            bodies.append(LevelFit.of(factors.subtracted_from(vector), side, capacity, factors).body())
        close = close or search.is_close
    if few or close or all(each.content is None for each in bodies):
        bodies.append(LevelFit.of(vector, side, capacity).body())
    return bodies


def _few_magnitudes(vector: Vector) -> bool:
    """Whether groups may hold a vector without loss, by a sample: of ternary updates, and of the first step of Adam."""
    sample = np.abs(vector[:: vector.size // _SAMPLE + 1])
    return bool(np.unique(sample).size <= _FEW_MAGNITUDES)
