"""The public model: the versions of the model that clients are sent, and the changes that lead to the latest one.

A version is the one before it plus one codec message, which encodes the difference between the strategy's model and the
public model as well as the budget allows; what is lost stays in that difference (error feedback). Knows changes and
layouts. Does not know messages or nodes.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from surp_fl.array_spec import specs_of
from surp_fl.change import change_of
from surp_fl.codecs.codec import Scheme
from surp_fl.flower.delta import Delta, apply_delta, changed_since, reference_of
from surp_fl.flower.packed_model import Packed, digest_of
from surp_fl.flower.protocol import MAX_DELTAS
from surp_fl.layout import Layout
from surp_fl.lossless import MAX_RATIO
from surp_fl.merged_change import merge
from surp_fl.model_file import approximate, decompress
from surp_fl.statistics import Kinds
from surp_fl.strategies.downlink.history import History
from surp_fl.strategies.downlink.initial import KnownInitial
from surp_fl.types import Arrays, Reference

log = logging.getLogger("flwr")

_DELTA_OVERHEAD = 16  # bytes of a delta beside its payload: the digest of its base, and lengths


@dataclass
class Origin:
    """The model that a chain of deltas began with; see delta.py.

    Attributes:
        arrays: of the model.
        version: its digest.
        made: the model as one array, if it was made already.
    """

    arrays: Arrays
    version: bytes
    made: Packed | None

    @property
    def packed(self) -> Packed:
        """The model as one array; made once."""
        self.made = self.made or Packed.of(self.arrays)
        return self.made


class PublicModel:
    """The latest version, and what leads to it from earlier ones: deltas, one merged change, or the full model.

    Args:
        scheme: compresses the deltas, or gives the scheme of a round; its memory is not used. None makes none: a new
            version is the strategy's model.
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
        scheme: Scheme | Callable[[int], Scheme] | None,
        kinds: Kinds | None = None,
        initial: KnownInitial | None = None,
        bits: float | None = None,
        exact: bool = False,
        seed: int = 0,
    ) -> None:
        self._scheme = scheme if not callable(scheme) else None  # of the round
        self._scheme_of = scheme if callable(scheme) else None
        self._exact = exact
        self._bits = bits
        self._kinds = kinds
        self._initial = initial
        self._rng = np.random.default_rng([seed, 1])
        self._deltas: deque[Delta] = deque()
        self._history: History | None = None
        self._layout: Layout | None = None
        self._arrays: Arrays = {}
        self._model: Arrays = {}  # the strategy's, as the latest version approximates it
        self._source = b""  # digest of the strategy's model that the latest version approximates
        self._packed: Packed | None = None
        self._origin: Origin | None = None
        self._references: dict[tuple[tuple[str, str], ...], Reference] = {}  # by the copies of the layout
        self._merged: dict[bytes, bytes | None] = {}  # by version, the merged change to the latest one
        self.version = b""

    @property
    def arrays(self) -> Arrays:
        """The latest version; read-only."""
        return self._arrays

    def advance(self, model: Arrays, server_round: int = 1) -> None:
        """Make a new version that approximates the strategy's model, if that changed since the last call.

        Args:
            model: the strategy's.
            server_round: counted from 1; the scheme may depend on it.
        """
        if self._scheme_of is not None:
            self._scheme = self._scheme_of(server_round)
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
            self._arrays = self._after(delta)
        last, self.version = self.version, digest_of(self._arrays)
        self._source, self._model = source, model
        if self.version == last:
            return
        if self._scheme is not None:
            self._layout = Layout.of(self._arrays, self._kinds)
            self._update_origin(begins=delta is None)
        if self._scheme is not None or self._exact:
            self._remember(last, before, delta)

    def _in_full(self, model: Arrays) -> Arrays:
        """The version that is sent in full for a model: itself, or what a model file keeps of it."""
        known = self._initial is not None and digest_of(model) == self._initial.version
        if self._scheme is None or self._bits is None or known or self._near_initial(model):
            return model
        layout = Layout.of(model, self._kinds)
        trained = {spec.name for spec in layout.floats} | {name for name, _ in layout.copies}
        try:
            file = approximate(model, self._bits, model.keys() - trained, self._kinds)
        except (TypeError, ValueError) as fault:
            log.warning("surp-fl: the first model is sent as it is: %s", fault)
            return model
        nbytes = sum(array.nbytes for array in model.values())
        if nbytes > MAX_RATIO * len(file):  # nearly all zeros: lossless coding is enough, and no client would read this
            return model
        arrays = decompress(file, max_bytes=nbytes)
        self._packed = Packed.of_file(arrays, file)
        return arrays

    def _update_origin(self, begins: bool) -> None:
        """Begin a chain of deltas at the latest version, or at the initial model; give an origin up if it is far away.

        Args:
            begins: whether the latest version is one that no delta led to.
        """
        assert self._scheme is not None
        self._references = {}
        if begins:
            self._origin = self._first_origin() if self._scheme.codec.reader.contextual else None
        elif self._origin is not None and changed_since(self._origin.arrays, self._arrays, self._kinds) is None:
            self._origin = None

    def _first_origin(self) -> Origin | None:
        """The initial model, if that is near; none if clients come from there all the same, and know no other one."""
        initial = self._initial
        if initial is not None and initial.version != self.version:
            if self._near_initial(self._arrays):
                return Origin(initial.arrays, initial.version, None)
            if self.merged_from(initial.version) is not None:
                return None
        return Origin(self._arrays, self.version, self._packed)

    def _near_initial(self, model: Arrays) -> bool:
        """Whether the initial model is known, and could be the origin of a model."""
        return self._initial is not None and changed_since(self._initial.arrays, model, self._kinds) is not None

    def _reference(self, layout: Layout) -> Reference:
        """What a delta to the latest version is coded against; the same objects until there is another version."""
        if layout.copies not in self._references:
            reference = reference_of(layout, self._arrays, None if self._origin is None else self._origin.arrays)
            self._references[layout.copies] = reference
        return self._references[layout.copies]

    def _after(self, delta: Delta) -> Arrays:
        """The version after a delta to the latest one."""
        assert self._layout is not None
        layout = self._layout.untied if delta.untied else self._layout
        return apply_delta(layout, self._arrays, delta, self._reference(layout))

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
        untied = any(not np.array_equal(model[name], model[of]) for name, of in layout.copies)
        layout = layout.untied if untied else layout
        wanted = layout.difference(model, self._arrays)
        if not np.isfinite(wanted).all():
            return None
        moved = layout.difference(model, self._model)
        try:
            reference = self._reference(layout)
            change = change_of(self._scheme, wanted, self._arrays, model, layout, self._rng, reference, moved)
        except ValueError as fault:
            log.warning("surp-fl: the model's change cannot be encoded, the full model is sent: %s", fault)
            return None
        delta = Delta(self.version, change, untied, self._origin is not None)
        return delta if change.payload + _DELTA_OVERHEAD <= self.full_bytes // 2 else None

    def _drop_long_chains(self) -> None:
        """Drop the oldest deltas until the chain has at most half the model's bytes and 128 deltas."""
        chain_bytes = sum(delta.change.payload + _DELTA_OVERHEAD for delta in self._deltas)
        while chain_bytes > self.full_bytes // 2 or len(self._deltas) > MAX_DELTAS:
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
        if self._origin is not None and version == self._origin.version:
            return self._origin.arrays
        if self._initial is not None and version == self._initial.version:
            return self._initial.arrays
        return None

    @property
    def origin(self) -> Origin | None:
        """The model that the deltas are coded against, beside their base; None if they are coded against that alone."""
        return self._origin

    def drop_origin(self) -> None:
        """Code further deltas against their base alone."""
        self._origin, self._references = None, {}

    @property
    def packed(self) -> Packed:
        """The latest version in full, as one array; made once."""
        self._packed = self._packed or Packed.of(self._arrays)
        return self._packed

    @property
    def full_bytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self._arrays.values())
