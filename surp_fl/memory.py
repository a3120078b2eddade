"""What a client carries from round to round, as pure functions of an explicit state.

A memory is a pair of functions: `recall` gives what the client wants to send, `settle` gives the state after
it sent something. State goes in and comes out; an empty state is a client's first round. Does not know codecs
or Flower.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from surp_fl.types import Vector

State = Mapping[str, NDArray[Any]]


class Memory(Protocol):
    """The contract of a client memory; all vectors are float32 of shape (n,)."""

    def recall(self, delta: Vector, state: State) -> Vector:
        """Give what the client wants the server to add: this round's delta and what it still owes."""
        ...

    def settle(self, wanted: Vector, sent: Vector, state: State) -> State:
        """Give the state after the server was sent `sent` of `wanted`."""
        ...


@dataclass(frozen=True)
class ErrorFeedback:
    """What was not sent is owed and sent later: wanted = delta + residual, residual ← wanted − sent.

    Source: Seide et al. 2014, "1-bit SGD"; Stich et al. 2018, "Sparsified SGD with memory".

    Attributes:
        keep: share of the debt that is carried into the next round; below 1, what waits for long fades.
    """

    keep: float = 1.0

    def __post_init__(self) -> None:
        _check_keep(self.keep)

    def recall(self, delta: Vector, state: State) -> Vector:
        """Add the residual to the delta.

        Raises:
            ValueError: the residual is of another size than the delta.
        """
        if "residual" not in state:
            return delta
        _check_size(state, delta)
        wanted: Vector = delta + _owed(state, self.keep)
        return wanted

    def settle(self, wanted: Vector, sent: Vector, state: State) -> State:
        """Keep what is still owed."""
        return {"residual": wanted - sent}


@dataclass(frozen=True)
class MomentumCorrection:
    """Momentum on the client, before what is not sent is owed: u ← m·u + g, wanted = v + u; u is zero where sent.

    Source: Lin et al. 2018, "Deep Gradient Compression", momentum correction, momentum factor masking and local
    gradient clipping; v too is zero where it was sent as it is, and keeps what rounding left. g is a round's delta; the
    local optimiser must have no momentum of its own.

    Attributes:
        momentum: m.
        clip: largest L2 norm of a delta; None for no clipping.
        keep: share of the debt that is carried into the next round.
    """

    momentum: float = 0.9
    clip: float | None = None
    keep: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum = {self.momentum}; expected 0 or more, and less than 1")
        _check_keep(self.keep)
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip = {self.clip}; expected a positive norm, or None")

    def recall(self, delta: Vector, state: State) -> Vector:
        """Clip the delta, add it to the momentum, and that to what is owed.

        Raises:
            ValueError: the state is of another size than the delta.
        """
        norm = float(np.sqrt(np.square(delta, dtype=np.float64).sum())) if self.clip is not None else 0.0
        clipped = delta * np.float32(self.clip / norm) if self.clip is not None and norm > self.clip else delta
        if "residual" not in state:
            return clipped
        _check_size(state, delta)
        velocity = np.float32(self.momentum) * state["velocity"] + clipped if "velocity" in state else clipped
        wanted: Vector = _owed(state, self.keep) + velocity
        return wanted

    def settle(self, wanted: Vector, sent: Vector, state: State) -> State:
        """Keep what is still owed, and the momentum where nothing was sent."""
        velocity = wanted - _owed(state, self.keep) if "residual" in state else wanted
        return {"residual": wanted - sent, "velocity": velocity * (sent == 0)}


MAX_RESIDUAL_RATIO = 1e4  # times the model and its update: honest debts have stayed below a thousandth of that


def norm_of(vector: Vector) -> float:
    """L2 norm, added up in float64: of any finite float32 array it is finite."""
    flat = vector.reshape(-1)
    return math.sqrt(float(np.einsum("i,i->", flat, flat, dtype=np.float64)))


def fault_of(state: State, scale: float) -> str | None:
    """What is wrong with a client's memory, if anything: a client whose training exploded must not owe that for ever.

    Args:
        state: of the memory.
        scale: norm of the model that the client was sent, plus that of what it learned now; 0 tells nothing.

    Returns:
        What was found; None for a memory that can be used.
    """
    for name, vector in state.items():
        if vector.dtype.kind != "f":
            continue
        norm = norm_of(vector)
        if not math.isfinite(norm) or norm > MAX_RESIDUAL_RATIO * scale > 0:
            return f"the {name} has norm {norm:g}, and the model and its update {scale:g} together"
    return None


def _check_keep(keep: float) -> None:
    if not 0 <= keep <= 1:
        raise ValueError(f"keep = {keep}; expected a share from 0 to 1")


def _owed(state: State, keep: float) -> Vector:
    residual: Vector = state["residual"]
    return residual if keep == 1 else np.float32(keep) * residual


def _check_size(state: State, delta: Vector) -> None:
    for name in ("residual", "velocity"):
        vector = state.get(name, delta)
        if vector.shape != delta.shape:
            raise ValueError(
                f"the {name} kept by this client has shape {vector.shape}, the update {delta.shape}: "
                "the model changed under it; start from an empty state"
            )


@dataclass(frozen=True)
class NoMemory:
    """What was not sent is lost; nothing is kept."""

    def recall(self, delta: Vector, state: State) -> Vector:
        """Give the delta as it is."""
        return delta

    def settle(self, wanted: Vector, sent: Vector, state: State) -> State:
        """Keep nothing."""
        return {}
