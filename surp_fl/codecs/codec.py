"""The contract of every scheme: a codec with pure functions `encode` and `decode`, and a client memory.

A scheme provides a function `write` that makes the body of its messages, and the reader of that; checks that all
schemes share are here, once. Does not know Flower.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from surp_fl.codecs.reader import Reader, check_vector, checked_reference
from surp_fl.frame import pack
from surp_fl.layout import Layout
from surp_fl.memory import Memory
from surp_fl.topk import on_host
from surp_fl.types import Reference, Sparse, Vector

if TYPE_CHECKING:
    import torch


class Write(Protocol):
    """Makes a body from a float32 vector of shape (n,); a tensor only if the scheme's reader takes tensors."""

    def __call__(self, vector: Any, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        """Write within the scheme's budget; raise ValueError for a vector that cannot be sent."""
        ...


@dataclass(frozen=True)
class Codec:
    """Both ends of a scheme.

    Attributes:
        reader: the receiving end.
        write: makes the body, with the scheme's options.
    """

    reader: Reader
    write: Write

    def encode(
        self,
        vector: Vector | torch.Tensor,
        layout: Layout,
        *,
        rng: np.random.Generator,
        reference: Reference = None,
    ) -> bytes:
        """Make a message.

        Args:
            vector: what to send; float32, shape (n,); an array, or a torch tensor on any device.
            layout: of the model, n coordinates.
            rng: every random choice is drawn from it.
            reference: what the decoder holds as well: the model that the client was sent, float32 of shape (n,); or
                a pair of it and the model that the client was sent before.

        Returns:
            The message; its length is its size.

        Raises:
            ValueError: the vector has another shape or dtype, or holds NaN or infinity; or the budget is too small.
        """
        check_vector("vector", vector, layout)
        reference = checked_reference(reference, layout)
        if isinstance(vector, np.ndarray) or not self.reader.takes_tensors:
            vector = np.ascontiguousarray(on_host(vector))
        body = self.write(vector, layout, rng, reference)
        return pack(self.reader.scheme_id, body, self.reader.associated_data(body, layout, reference))

    def decode(self, message: bytes, layout: Layout, *, reference: Reference = None) -> Vector:
        """As `Reader.decode`."""
        return self.reader.decode(message, layout, reference=reference)

    def decode_sparse(self, message: bytes, layout: Layout, *, reference: Reference = None) -> Sparse:
        """As `Reader.decode_sparse`."""
        return self.reader.decode_sparse(message, layout, reference=reference)


class Scheme(Protocol):
    """One codec and one client memory: `SuRP`, `Dense`, or your own frozen dataclass."""

    @property
    def codec(self) -> Codec:
        """Both ends of the messages."""
        ...

    @property
    def memory(self) -> Memory:
        """What the client carries between rounds."""
        ...


def with_budget(scheme: Scheme, budget: int) -> Scheme:
    """The same scheme with another budget.

    Args:
        scheme: a dataclass with a field `budget`.
        budget: bytes, whole message.

    Raises:
        TypeError: the scheme has no budget.
        ValueError: the budget is too small for the scheme.

    >>> from surp_fl import SuRP
    >>> with_budget(SuRP(budget=218), 100).budget
    100
    """
    made: Any = scheme
    return replace(made, budget=budget)  # type: ignore[no-any-return]
