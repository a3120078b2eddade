"""Random layouts, models and earlier models, many of them awkward."""

from __future__ import annotations

import math
from random import Random

import numpy as np

from tests.format_walk.body import Setting
from tests.format_walk.frame import Shape
from tests.format_walk.side import Vector


def random_shape(rng: Random, most: int) -> Shape:
    """The shape of an array of at most this many elements."""

    def up_to(limit: int) -> int:
        return max(1, int(limit ** rng.random()))

    kind = rng.choice(("scalar", "empty", "vector", "row", "column", "wide", "tall", "square", "conv", "cube"))
    if kind == "scalar":
        return ()
    if kind == "empty":
        return rng.choice([(0,), (0, 5), (4, 0), (3, 0, 2)])
    if kind == "vector":
        return (up_to(most),)
    if kind in ("row", "column"):
        size = up_to(most)
        return (1, size) if kind == "row" else (size, 1)
    if kind in ("conv", "cube"):
        kernel = rng.choice((2, 3)) if kind == "conv" else 1
        area = kernel**2
        rows = up_to(max(1, most // area))
        columns = max(1, most // (area * rows))
        return (rows, columns, kernel, kernel) if kind == "conv" else (rows, columns, 1)
    rows = up_to(min(most, 12)) if kind == "wide" else up_to(most) if kind == "tall" else math.isqrt(most)
    return rows, up_to(max(1, most // rows)) if kind == "tall" else max(1, most // rows)


def random_setting(rng: Random) -> Setting:
    """A model of up to 70,000 coordinates, most of a few hundred, and an earlier one."""
    most = rng.choice((8, 60, 60, 300, 300, 300, 1000, 3000))
    if rng.random() < 0.004:
        most = 70_000
    shapes, left = [], most
    for _ in range(rng.randint(1, 6)):
        shapes.append(random_shape(rng, max(1, int(left * rng.uniform(0.3, 1)))))
        left = max(0, left - math.prod(shapes[-1]))
    n = sum(math.prod(shape) for shape in shapes)
    numbers = np.random.default_rng(rng.getrandbits(32))
    model = random_model(shapes, numbers)
    return Setting(tuple(shapes), model, changed(model, n, rng, numbers))


def random_model(shapes: list[Shape], numbers: np.random.Generator) -> Vector:
    parts = [np.zeros(0)]
    for shape in shapes:
        rows = shape[0] if len(shape) > 1 else 1
        part = numbers.standard_normal((rows, math.prod(shape) // rows if rows else 0))
        part *= numbers.lognormal(0, numbers.choice([0, 1, 4]), (part.shape[0], 1))
        part *= numbers.lognormal(0, numbers.choice([0, 1, 3]), part.shape[1])
        which = numbers.integers(0, 8)
        if which == 0:
            part = np.round(part)  # ties, zeros, and zeros of both signs
        elif which == 1:
            part[: rows // 2] = 0
        elif which == 2:
            part *= 1e-41  # subnormal, or zero
        elif which == 3 and rows > 1:
            part[::2] = part[0]
        elif which == 4:
            part *= 10.0 ** numbers.integers(-44, 36, (*part.shape[:1], 1))
        parts.append(part.ravel())
    flat = np.concatenate(parts)
    return np.clip(flat, -3e38, 3e38).astype(np.float32)


def changed(model: Vector, n: int, rng: Random, numbers: np.random.Generator) -> Vector:
    """The model before: a few coordinates differ, by little or much; or about a sixteenth; or all."""
    before = model.copy()
    share = rng.choice((0, 1 / 300, 1 / 60, 1 / 20, 1 / 16, 1 / 16, 1))
    places = numbers.permutation(n)[: math.ceil(share * n) if rng.random() < 0.5 else int(share * n)]
    if rng.random() < 0.5:
        before[places] += (numbers.standard_normal(places.size) * 0.1).astype(np.float32)
    else:
        steps = numbers.choice([-300, -17, -16, -2, 15, 16, 17, 18, 1000], places.size)
        steps = steps.astype(np.int32)
        bits = before.view(np.int32)
        magnitudes = np.clip((bits[places] & 0x7FFFFFFF) + steps, 0, 0x7F000000)
        bits[places] = magnitudes | (bits[places] & np.int32(-0x80000000))
    flips = places[numbers.random(places.size) < 0.2]
    before[flips] = -before[flips]
    return before
