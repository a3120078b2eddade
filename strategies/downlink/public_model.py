"""The public model: the versions of the model that clients are sent, and the changes that lead to the latest one.

A version is the one before it plus one codec message, which encodes the difference between the strategy's model and the
public model as well as the budget allows; what is lost stays in that difference (error feedback). Knows changes and
layouts. Does not know messages or nodes.
"""

from __future__ import annotations

import logging
from collections import deque

import numpy as np

from surp_fl.array_spec import specs_of
from surp_fl.change import change_of
from surp_fl.codecs.codec import Scheme
from surp_fl.flower.model_messages import Delta, apply_delta
from surp_fl.flower.packed_model import Packed, digest_of
from surp_fl.immutable import immutable
from surp_fl.layout import Layout
from surp_fl.merged_change import merge
from surp_fl.statistics import Kinds
from surp_fl.strategies.downlink.history import History
from surp_fl.strategies.downlink.initial import KnownInitial
from surp_fl.types import Arrays
from surp_fl.uniform_quantiser import dequantised, quantised

log = logging.getLogger("flwr")

_MAX_DELTAS = 128  # in a chain; a client applies them one after the other, each in one pass over its model
_DELTA_OVERHEAD = 16  # bytes of a delta beside its payload: the digest of its base, and lengths


class PublicModel:
    """The latest version, and what leads to it from earlier ones: deltas, one merged change, or the full model.

    Args:
        scheme: compresses the deltas; its memory is not used. None makes none: a new version is the strategy's model.
        kinds: which arrays are running statistics; None recognises them by name.
        initial: the model that clients can make by themselves; None if they cannot.
        bits: that a value of a model takes, about, which is sent in full because no version leads to it; what is lost
            comes with later deltas. None sends it as it is.
        exact: without a scheme, whether clients keep versions all the same, which merged changes lead on from.
        seed: of the encoder's random choices.

    Attributes:
        version: digest of the latest version.
    """

    def __init__(
        self,
        scheme: Scheme | None,
        kinds: Kinds | None = None,
        initial: KnownInitial | None = None,
        bits: float | None = None,
        exact: bool = False,
        seed: int = 0,
    ) -> None:
        self._scheme = scheme
        self._exact = exact
        self._bits = bits
        self._kinds = kinds
        self._initial = initial
        self._rng = np.random.default_rng([seed, 1])
        self._deltas: deque[Delta] = deque()
        self._history: History | None = None
        self._layout: Layout | None = None
        self._vector = np.zeros(0, np.float32)
        self._arrays: Arrays = {}
        self._model: Arrays = {}  # the strategy's, as the latest version approximates it
        self._source = b""  # digest of the strategy's model that the latest version approximates
        self._packed: Packed | None = None
        self._merged: dict[bytes, bytes | None] = {}  # by version, the merged change to the latest one
        self.version = b""

    @property
    def arrays(self) -> Arrays:
        """The latest version; read-only."""
        return self._arrays

    def advance(self, model: Arrays) -> None:
        """Make a new version that approximates the strategy's model, if that changed since the last call."""
        if self._initial is not None:
            self._initial.resolve(model)
        source = digest_of(model)
        if source == self._source:
            return
        delta, before = self._delta_to(model), self._arrays
        self._packed, self._merged = None, {}
        if delta is None:
            self._deltas.clear()
            self._arrays = self._in_full(model)
        else:
            assert self._layout is not None
            vector = None if delta.untied else self._vector
            self._arrays = apply_delta(self._layout, self._arrays, delta, vector)
        last, self.version = self.version, digest_of(self._arrays)
        self._source, self._model = source, model
        if self.version == last:
            return
        if self._scheme is not None:
            self._layout = Layout.of(self._arrays, self._kinds)
            self._vector = immutable(self._layout.flatten(self._arrays))
        if self._scheme is not None or self._exact:
            self._remember(last, before, delta)

    def _in_full(self, model: Arrays) -> Arrays:
        """The version that is sent in full for a model: itself, or what is left of it after quantisation."""
        known = self._initial is not None and digest_of(model) == self._initial.version
        if self._scheme is None or self._bits is None or known:
            return model
        layout = Layout.of(model, self._kinds)
        trained = [spec.name for spec in layout.floats]
        multiples, exponents = quantised(model, self._bits, [*trained, *(name for name, _ in layout.copies)])
        specs = [(spec.name, spec.shape, spec.dtype) for spec in layout.arrays]
        arrays = dequantised(multiples, exponents, specs)
        self._packed = Packed.of_quantised(arrays, multiples, exponents)
        return arrays

    def _remember(self, last: bytes, before: Arrays, delta: Delta | None) -> None:
        """Keep the delta, and the values that were overwritten: of these no more than the model's bytes."""
        self._history = self._history or History(self.full_bytes)
        if delta is not None:
            self._deltas.append(delta)
            self._drop_long_chains()
        if delta is not None or (self._exact and specs_of(before) == specs_of(self._arrays)):
            self._history.push(last, before, self._arrays)
        else:
            self._history.clear()

    def _delta_to(self, model: Arrays) -> Delta | None:
        """The delta towards a model; None where the full model is needed, or takes at most twice the bytes."""
        layout = self._layout
        if self._scheme is None or layout is None or Layout.of(model, self._kinds).arrays != layout.arrays:
            return None
        vector, untied = self._vector, any(not np.array_equal(model[name], model[of]) for name, of in layout.copies)
        if untied:
            layout = layout.untied
            vector = immutable(layout.flatten(self._arrays))
        wanted = layout.difference(model, self._arrays)
        if not np.isfinite(wanted).all():
            return None
        moved = layout.difference(model, self._model)
        try:
            change = change_of(self._scheme, wanted, self._arrays, model, layout, self._rng, vector, moved)
        except ValueError as fault:
            log.warning("surp-fl: the model's change cannot be encoded, the full model is sent: %s", fault)
            return None
        delta = Delta(self.version, change, untied)
        return delta if change.payload + _DELTA_OVERHEAD <= self.full_bytes // 2 else None

    def _drop_long_chains(self) -> None:
        """Drop the oldest deltas until the chain has at most half the model's bytes and 128 deltas."""
        chain_bytes = sum(delta.change.payload + _DELTA_OVERHEAD for delta in self._deltas)
        while chain_bytes > self.full_bytes // 2 or len(self._deltas) > _MAX_DELTAS:
            chain_bytes -= self._deltas.popleft().change.payload + _DELTA_OVERHEAD

    def chain_from(self, version: bytes) -> list[Delta] | None:
        """The deltas since a version, oldest first; None where some of them are no longer kept."""
        if version == self.version:
            return []
        places = [place for place, delta in enumerate(self._deltas) if delta.base == version]
        return list(self._deltas)[places[0] :] if places else None

    def merged_from(self, version: bytes) -> bytes | None:
        """All that changed since a version as one message; None where that version is not kept."""
        if version not in self._merged:
            base = self._kept(version)
            self._merged[version] = None if base is None else merge(base, self._arrays, self._kinds)
        return self._merged[version]

    def _kept(self, version: bytes) -> Arrays | None:
        """The arrays of a version; None where it is not kept."""
        if self._history is not None and version in self._history:
            return self._history.arrays_of(version, self._arrays)
        if self._initial is not None and version == self._initial.version:
            return self._initial.arrays
        return None

    @property
    def packed(self) -> Packed:
        """The latest version in full, as one array; made once."""
        self._packed = self._packed or Packed.of(self._arrays)
        return self._packed

    @property
    def full_bytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self._arrays.values())
