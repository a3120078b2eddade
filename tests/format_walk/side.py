"""What a model, and the one before it, say of where an update is large: tables, the recent layer, and their digest."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tests.format_walk.frame import Shape
from tests.format_walk.layers import Integers, Layer, Tables, layers_of

Vector = NDArray[np.float32]

LEAST = -5120  # of log2 weights
APART = 16  # steps between floats; a coordinate is in the recent layer if its last change was longer

LOG2 = [round(256 * math.log2(1 + m / 256)) for m in range(256)]


@dataclass(frozen=True)
class Side:
    """Layers in the order of coding, the recent one first if there is one."""

    layers: list[Layer]
    digest: int = 0


def side_of(shapes: Sequence[Shape], model: Vector | None, before: Vector | None) -> Side:
    layers = layers_of(shapes)
    if model is None:
        return Side(layers)
    layers = [replace(layer, tables=tables_of(layer, model)) for layer in layers]
    tables = [layer.tables for layer in layers if layer.tables is not None]
    digest = 0
    for which in (0, 1):
        for table in tables:
            digest = zlib.crc32(table.weights[which].astype("<i4").tobytes(), digest)
    for which in (0, 1):
        for table in tables:
            digest = zlib.crc32(table.order[which].astype("<i4").tobytes(), digest)
    recent = None if before is None else recent_layer(model, before)
    if recent is None or recent.fell is None:
        return Side(layers, digest)
    digest = zlib.crc32(recent.coordinates.astype("<i8").tobytes(), digest)
    digest = zlib.crc32(np.packbits(recent.fell).tobytes(), digest)
    return Side([recent, *(with_marks(layer, recent) for layer in layers)], digest)


def tables_of(layer: Layer, model: Vector) -> Tables | None:
    if min(layer.rows, layer.columns) < 2 or 4 * (layer.rows + layer.columns) > layer.size:
        return None
    sizes = np.abs(model[layer.coordinates])
    weights, orders = [], []
    for largest in (sizes.max(axis=1), sizes.max(axis=0)):
        found = np.array([log2_weight(bits) for bits in largest.view(np.uint32).tolist()], np.int64)
        found = np.maximum(found - found.max(), LEAST)
        order = np.argsort(-found, kind="stable")
        weights.append(found[order])
        orders.append(order.astype(np.int64))
    return Tables((weights[0], weights[1]), (orders[0], orders[1]))


def log2_weight(bits: int) -> int:
    """Of a positive float32, by its bits."""
    exponent = bits >> 23
    return 256 * exponent + LOG2[bits >> 15 & 255] if exponent else 0


def recent_layer(model: Vector, before: Vector) -> Layer | None:
    change = signed(model) - signed(before)
    found = np.flatnonzero(np.abs(change) > APART)
    if not found.size or 16 * found.size > model.size:
        return None
    return Layer(found[None, :], fell=change[found] < 0)


def signed(vector: Vector) -> Integers:
    """The bits of floats as sign and magnitude: neighbours differ by 1."""
    bits = vector.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def with_marks(layer: Layer, recent: Layer) -> Layer:
    marked = np.flatnonzero(np.isin(layer.ranked.ravel(), recent.coordinates))
    return replace(layer, marked=marked.tolist())
