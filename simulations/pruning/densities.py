"""Which distribution fits weights and updates: Laplacian or Gaussian, for each layer and for all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from surp_fl.types import Array

_BINS = 81
_WIDTH = 8.0  # of the histogram, in mean magnitudes to both sides


@dataclass(frozen=True)
class Fit:
    """The maximum-likelihood fits of zero mean to some values, and how they are distributed.

    Attributes:
        name: of the layer, or what the values are together.
        count: of the values that are not zero.
        laplacian: nats a value under a Laplacian of their mean magnitude: ln(2b) + 1, in units of that magnitude.
        gaussian: nats a value under a Gaussian of their mean square: ½ ln(2πeσ²), in the same units.
        kurtosis: fourth moment over the squared second: 6 for a Laplacian, 3 for a Gaussian.
        density: of the values in units of their mean magnitude, `_BINS` bins over ±`_WIDTH`; empty for single layers.
    """

    name: str
    count: int
    laplacian: float
    gaussian: float
    kurtosis: float
    density: tuple[float, ...] = ()

    @classmethod
    def of(cls, name: str, values: Array, histogram: bool = False) -> Fit:
        """Fit both to the values that are not zero.

        >>> fit = Fit.of("w", np.random.default_rng(0).laplace(size=100_000))
        >>> round(fit.kurtosis), fit.laplacian < fit.gaussian
        (6, True)
        """
        found = values[values != 0].astype(np.float64)
        found = found / np.abs(found).mean()
        square = float(np.square(found).mean())
        density: tuple[float, ...] = ()
        if histogram:
            bars, _ = np.histogram(found, _BINS, (-_WIDTH, _WIDTH))
            density = tuple(float(f"{bar / found.size * _BINS / (2 * _WIDTH):.3g}") for bar in bars)
        return cls(
            name, found.size, math.log(2) + 1, round(0.5 * math.log(2 * math.pi * math.e * square), 4),
            round(float((found**4).mean()) / square**2, 2), density,
        )  # fmt: skip


def centres() -> Array:
    """The middles of the histogram's bins, in mean magnitudes."""
    edges = np.linspace(-_WIDTH, _WIDTH, _BINS + 1)
    return (edges[1:] + edges[:-1]) / 2


def fits_of(layers: Mapping[str, Array], scales: Mapping[str, float]) -> list[Fit]:
    """Fits of each layer, of all layers as they are, and of all layers divided by their norms.

    Args:
        layers: weights, or what an update changes them by, by name.
        scales: the norm of each layer.
    """
    whole = np.concatenate([array.ravel() for array in layers.values()])
    normalised = np.concatenate([array.ravel() / scales[name] for name, array in layers.items() if scales[name]])
    single = [Fit.of(name, array.ravel()) for name, array in layers.items() if np.count_nonzero(array) > 1]
    return [*single, Fit.of("all", whole, histogram=True), Fit.of("all, normalised", normalised, histogram=True)]
