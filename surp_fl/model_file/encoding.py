"""A model → the bytes of a model file, within a budget; `decoding.py` mirrors it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from surp_fl import lossless
from surp_fl.codecs.surp.quantised_body import write_quantised
from surp_fl.frame import HEADER_BYTES
from surp_fl.model_file.container import CHECK_BYTES, chunk_for, header_of, in_chunks, room_in
from surp_fl.model_file.decoding import layout_of, vector_of_body
from surp_fl.model_file.gains import BETWEEN, GAINS, NO_GAIN, norms_of
from surp_fl.model_file.manifest import Manifest, Role, write_manifest
from surp_fl.model_file.model import Model
from surp_fl.model_file.roles import entries_of
from surp_fl.model_file.scales import Scales, rows_of, scales_of, write_scales
from surp_fl.model_file.small_arrays import PRECISIONS, write_small
from surp_fl.model_file.weighting import codes_of_units
from surp_fl.statistics import Kinds
from surp_fl.types import Array, Vector

_SHARE_OF_SMALL = 24  # small arrays get the highest precision at which they take one in so many bytes; docs/models.md
_POINTS = (4,)  # progressive: a prefix of one in so many bytes is as good as a file made for it; docs/models.md
_SMALLEST_BODY = 16  # bytes
_SHARE_OF_ROWS = 40  # rows have norms of their own where these take one byte in so many of the message and of them
_SPARE_ROWS = 1.15  # bytes that are reserved for them, in those of the model's own norms
_TRIES = 3  # encodings, until they fit


@dataclass(frozen=True)
class Options:
    """How a model is coded; see `compress`."""

    weighting: str = "lamp"
    gain: str = BETWEEN
    progressive: bool = False
    exact: Collection[str] = ()
    kinds: Kinds | None = None

    def __post_init__(self) -> None:
        if self.gain not in GAINS:
            raise ValueError(f"gain = {self.gain!r}; expected one of {', '.join(GAINS)}")


class Compressor:
    """Encodes one model in any number of sizes: what does not depend on the size is done once.

    Args:
        model: its arrays by name, or a `Model`.
        options: how.

    Raises:
        TypeError: an array has a dtype that cannot be stored.
        ValueError: the options do not fit the model.
    """

    def __init__(self, model: Model | Mapping[str, Array], options: Options) -> None:
        self.model, self._options = Model.of(model), options
        self._manifest = Manifest(entries_of(self.model, options.exact, options.kinds), self.model.metadata)
        self._layout = layout_of(self._manifest)
        self._weights = {spec.name: self.model.arrays[spec.name] for spec in self._layout.floats}
        exact = {entry.name: self.model.arrays[entry.name] for entry in self._manifest.of(Role.EXACT)}
        self._sections = write_manifest(self._manifest), lossless.compress(exact) if exact else b""
        self._small: dict[int, bytes] = {}  # by precision

    def of_budget(self, budget: int) -> bytes:
        """The file of least error with at most `budget` bytes; fewer if these say all that there is.

        Raises:
            ValueError: the budget does not hold what cannot be coarser.
        """
        least = self.least_budget
        if budget < least:
            raise ValueError(
                f"budget = {budget:,} bytes; names, shapes, small arrays and those without loss take nearly {least:,}: "
                "give at least that"
            )
        units, small = self._units(budget), self._small_within(budget)
        if not units:
            return header_of(*self._sections, small, b"", 0, chunk_for(budget))
        vector = self._in_units(units)
        room, one, by_row = budget - self._front(units, small, budget), [1] * len(units), rows_of(self._layout)
        if self._options.gain != NO_GAIN and by_row != one:
            likely = scales_of(units, norms_of(vector, self._layout, by_row))  # before they are known
            reserve = int(_SPARE_ROWS * len(write_scales(likely))) - len(write_scales(replace(likely, shares=())))
            for _ in range(_TRIES if _SHARE_OF_ROWS * reserve <= room else 0):
                file = self._file(units, small, vector, by_row, budget, reserve)
                if len(file) <= budget:
                    return file
                reserve += len(file) - budget
        return self._file(units, small, vector, one, budget, 0)

    def _file(
        self, units: list[int], small: bytes, vector: Vector, rows: list[int], budget: int, reserve: int
    ) -> bytes:
        """A file of `budget` bytes, of which some are reserved for the norms of rows."""
        chunk = chunk_for(budget)
        room = room_in(budget - reserve - self._front(units, small, budget), chunk)
        points = [HEADER_BYTES + room // each for each in _POINTS] if self._options.progressive else []
        body = write_quantised(vector, self._layout, HEADER_BYTES + room, points)
        decoded = vector_of_body(body, self._layout)
        scales = write_scales(scales_of(units, GAINS[self._options.gain](vector, decoded, self._layout, rows)))
        return in_chunks(header_of(*self._sections, small, scales, len(body), chunk), body, chunk)

    @property
    def least_budget(self) -> int:
        """Bytes of the smallest file."""
        units = self._units(0)
        body = _SMALLEST_BODY + CHECK_BYTES if units else 0
        return self._front(units, self._small_within(0), 0) + body

    @property
    def weights(self) -> int:
        """Values in the SuRP message."""
        return self._layout.size

    def _front(self, units: list[int], small: bytes, budget: int) -> int:
        """Bytes of a header, at most."""
        scales = write_scales(Scales(units, [int(self._options.gain != NO_GAIN)] * len(units)))
        return len(header_of(*self._sections, small, scales, budget, chunk_for(budget)))

    def _small_within(self, budget: int) -> bytes:
        """Small arrays, of the highest precision at which they take their share of the budget."""
        for precision in reversed(PRECISIONS):
            if precision not in self._small:
                entries = self._manifest.of(Role.SMALL, Role.MEAN, Role.VARIANCE)
                self._small[precision] = write_small(entries, self.model.arrays, precision)
            if _SHARE_OF_SMALL * len(self._small[precision]) <= budget:
                break
        return self._small[precision]

    def _units(self, budget: int) -> list[int]:
        """The code of each array's unit."""
        return codes_of_units(self._weights, self._options.weighting, budget) if self._weights else []

    def _in_units(self, units: list[int]) -> Vector:
        """The vector that is coded: each array as multiples of its unit."""
        scales = Scales(units, [0] * len(units))
        scaled = {
            name: array.astype(np.float64) / scales.unit(place)
            for place, (name, array) in enumerate(self._weights.items())
        }
        return self._layout.flatten_floats(scaled)
