"""What a client carries from round to round, as pure functions of an explicit state.

A memory is a pair of functions: `recall` gives what the client wants to send, `settle` gives the state after
it sent something. State goes in and comes out; an empty state is a client's first round. Does not know codecs
or Flower.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
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
    """

    def recall(self, delta: Vector, state: State) -> Vector:
        """Add the residual to the delta.

        Raises:
            ValueError: the residual is of another size than the delta.
        """
        if "residual" not in state:
            return delta
        residual = state["residual"]
        if residual.shape != delta.shape:
            raise ValueError(
                f"the residual kept by this client has shape {residual.shape}, the update {delta.shape}: "
                "the model changed under it; start from an empty state"
            )
        wanted: Vector = delta + residual
        return wanted

    def settle(self, wanted: Vector, sent: Vector, state: State) -> State:
        """Keep what is still owed."""
        return {"residual": wanted - sent}


@dataclass(frozen=True)
class NoMemory:
    """What was not sent is lost; nothing is kept."""

    def recall(self, delta: Vector, state: State) -> Vector:
        """Give the delta as it is."""
        return delta

    def settle(self, wanted: Vector, sent: Vector, state: State) -> State:
        """Keep nothing."""
        return {}
