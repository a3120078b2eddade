"""Client memories, such as error feedback, as pure functions of an explicit state.

A memory is a pair of functions: `recall` gives the vector that the client wants to send, `settle` the state after it
sent an approximation of it. An empty state is a client's first round. Does not know codecs
or Flower.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from surp_fl.types import Vector

State = Mapping[str, NDArray[Any]]

LAST_SENT = "last sent"  # what the last message said; shape (n,)
VECTORS = ("residual", "velocity")  # in states of these memories: float32, shape (n,)
SENT_SHARE = "sent share"  # of the squared norm of what the client wanted to send, in its last message; shape ()


class Memory(Protocol):
    """The contract of a client memory; all vectors are float32 of shape (n,)."""

    def recall(self, delta: Vector, state: State) -> Vector:
        """Give the vector that the client wants the server to add: this round's delta, plus what the state adds.

        Args:
            delta: trained model minus received model.
            state: after the last `settle`; empty in the first round.
        """
        ...

    def settle(self, wanted: Vector, sent: Vector, state: State) -> State:
        """Give the state after a message.

        Args:
            wanted: as `recall` gave it.
            sent: the decoded message.
            state: that `recall` was given.
        """
        ...


@runtime_checkable
class StepsAhead(Protocol):
    """What a memory has that lets local training start ahead of the model that was received."""

    @property
    def step_ahead(self) -> float:
        """The largest share of the residual that training starts from; 0 for never."""
        ...

    def ahead(self, state: State, presence: float) -> Vector | None:
        """Give what is added to the received model before local training; None for nothing.

        Args:
            state: after the last `settle`.
            presence: share of the rounds, from the client's first on, in which it took part, 0 to 1.
        """
        ...


@dataclass(frozen=True)
class ErrorFeedback:
    """Error feedback: the compression error is added to the next update.

    wanted = delta + keep · residual, residual ← wanted − sent.

    With `step_ahead`, a client that sits out many rounds trains from the model plus a share of its residual: what it
    then learns goes with what it owes, where from the model alone it would learn much of that again, and owe more. A
    client that takes part in every round starts from the model. Where residuals decay, the share is that of what will
    be sent before it decays: the model will never have the rest.

    Source: Seide et al. 2014, "1-bit SGD"; Stich et al. 2018, "Sparsified SGD with memory"; SA-PEF, "step-ahead partial
    error feedback", arXiv 2601.20738, where the share is the same for all clients.

    Attributes:
        keep: decay of the residual from round to round, 0 to 1; below 1, older errors count less.
        step_ahead: share, 0 to 1, of the part of the residual that will be sent; added before training by clients that
            take part in half of the rounds or fewer; it falls to nothing for those that take part in all.

    Raises:
        ValueError: `keep` or `step_ahead` is not from 0 to 1.

    >>> memory, delta = ErrorFeedback(), np.array([3, 1], np.float32)
    >>> wanted = memory.recall(delta, {})
    >>> state = memory.settle(wanted, sent=np.array([3, 0], np.float32), state={})
    >>> memory.recall(delta, state)
    array([3., 2.], dtype=float32)
    """

    keep: float = 1.0
    step_ahead: float = 0.0

    def __post_init__(self) -> None:
        _check_keep(self.keep)
        if not 0 <= self.step_ahead <= 1:
            raise ValueError(f"step_ahead = {self.step_ahead}; expected a share of the residual, from 0 to 1")

    def ahead(self, state: State, presence: float) -> Vector | None:
        """Give what is added to the received model before local training; None for nothing.

        Args:
            state: after the last `settle`.
            presence: share of the rounds, from the client's first on, in which it took part, 0 to 1.
        """
        share = self.step_ahead * min(2 * (1 - presence), 1) * self._share_to_be_sent(state)
        return np.float32(share) * state["residual"] if share > 0 and "residual" in state else None

    def _share_to_be_sent(self, state: State) -> float:
        """The share of the residual that will be sent, if each message holds as much as the last; the rest decays."""
        if self.keep == 1 or SENT_SHARE not in state:
            return self.keep
        each = float(state[SENT_SHARE])
        return self.keep * each / (1 - self.keep * (1 - each))

    def recall(self, delta: Vector, state: State) -> Vector:
        """Add the residual to the delta.

        Raises:
            ValueError: the residual is of another size than the delta.
        """
        if "residual" not in state:
            return delta
        _check_size(state, delta)
        wanted: Vector = delta + _decayed_residual(state, self.keep)
        return wanted

    def settle(self, wanted: Vector, sent: Vector, state: State) -> State:
        """Store the compression error wanted − sent as the residual; and what share was sent, if residuals decay."""
        residual = wanted - sent
        whole = norm_of(wanted) if self.step_ahead and self.keep < 1 else 0.0
        if not 0 < whole < math.inf:
            return {"residual": residual}
        share = min(max(1 - (norm_of(residual) / whole) ** 2, 0.0), 1.0)
        return {"residual": residual, SENT_SHARE: np.asarray(share, np.float32)}


@dataclass(frozen=True)
class ErrorFeedbackAndLastSent(ErrorFeedback):
    """Error feedback that keeps the last message as well, for an encoder that starts from it, such as PowerSGD's.

    A client stores a second float32 vector of the model's size.

    Attributes:
        keep: as of `ErrorFeedback`.
        step_ahead: as of `ErrorFeedback`.
    """

    def settle(self, wanted: Vector, sent: Vector, state: State) -> State:
        """Store the compression error, and what was sent."""
        return {**super().settle(wanted, sent, state), LAST_SENT: sent}


@dataclass(frozen=True)
class MomentumCorrection:
    """Momentum on the client, before error feedback.

    u ← m·u + g, wanted = v + u, then v ← wanted − sent, and u ← 0 where a coordinate was sent. Here g is the round's
    delta, u the velocity and v the residual. The local optimiser must not use momentum itself.

    Source: Lin et al. 2018, "Deep Gradient Compression", section 3: momentum correction, momentum factor masking and
    local gradient clipping. There v is zero where a coordinate was sent; here it keeps the rounding error.

    Attributes:
        momentum: m.
        clip: largest L2 norm of a delta; None for no clipping.
        keep: decay of the residual from round to round, 0 to 1.

    Raises:
        ValueError: a setting is out of its range.
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
        """Clip the delta, add it to the velocity, and that to the residual.

        Raises:
            ValueError: the state is of another size than the delta.
        """
        norm = float(np.sqrt(np.square(delta, dtype=np.float64).sum())) if self.clip is not None else 0.0
        clipped = delta * np.float32(self.clip / norm) if self.clip is not None and norm > self.clip else delta
        if "residual" not in state:
            return clipped
        _check_size(state, delta)
        velocity = np.float32(self.momentum) * state["velocity"] + clipped if "velocity" in state else clipped
        wanted: Vector = _decayed_residual(state, self.keep) + velocity
        return wanted

    def settle(self, wanted: Vector, sent: Vector, state: State) -> State:
        """Store the compression error as the residual, and the velocity where nothing was sent."""
        velocity = wanted - _decayed_residual(state, self.keep) if "residual" in state else wanted
        return {"residual": wanted - sent, "velocity": velocity * (sent == 0)}


MAX_RESIDUAL_RATIO = 1e4  # residual norm / (model norm + update norm): without divergence, it stayed below 10


def norm_of(vector: Vector) -> float:
    """L2 norm, accumulated in float64, so that it is finite for every finite float32 array."""
    flat = vector.reshape(-1)
    return math.sqrt(float(np.einsum("i,i->", flat, flat, dtype=np.float64)))


def fault_of(state: State, scale: float) -> str | None:
    """Check a client's memory, so that a client whose training diverged once does not send that residual for ever.

    Args:
        state: of the memory.
        scale: norm of the model that the client was sent, plus norm of its delta; 0 is no measure.

    Returns:
        A description of the fault; None for a memory that can be used.
    """
    for name, vector in state.items():
        if vector.dtype.kind != "f" or not vector.ndim:
            continue
        norm = norm_of(vector)
        if not math.isfinite(norm) or norm > MAX_RESIDUAL_RATIO * scale > 0:
            return f"the {name} has norm {norm:g}, and the model and its update {scale:g} together"
    return None


def _check_keep(keep: float) -> None:
    if not 0 <= keep <= 1:
        raise ValueError(f"keep = {keep}; expected a share from 0 to 1")


def _decayed_residual(state: State, keep: float) -> Vector:
    residual: Vector = state["residual"]
    return residual if keep == 1 else np.float32(keep) * residual


def _check_size(state: State, delta: Vector) -> None:
    for name in VECTORS:
        vector = state.get(name, delta)
        if vector.shape != delta.shape:
            raise ValueError(
                f"the {name} kept by this client has shape {vector.shape}, the update {delta.shape}: "
                "the model changed under it; start from an empty state"
            )


@dataclass(frozen=True)
class NoMemory:
    """No memory: the compression error is lost."""

    def recall(self, delta: Vector, state: State) -> Vector:
        """Give the delta unchanged."""
        return delta

    def settle(self, wanted: Vector, sent: Vector, state: State) -> State:
        """Give an empty state."""
        return {}
