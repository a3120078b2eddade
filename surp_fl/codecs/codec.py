"""The contract of every scheme: a codec with pure functions `encode` and `decode`, and a client memory.

A scheme provides a function `write` that makes the body of its messages, and the reader of that; checks that all
schemes share are here, once. Does not know Flower.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from surp_fl.codecs.reader import Reader, check_vector, checked_reference
from surp_fl.frame import pack
from surp_fl.layout import Layout
from surp_fl.memory import Memory, State
from surp_fl.topk import on_host
from surp_fl.types import Reference, Sparse, Vector

if TYPE_CHECKING:
    import torch


class Write(Protocol):
    """Makes a body from a float32 vector of shape (n,); a tensor only if the scheme's reader takes tensors."""

    def __call__(self, vector: Any, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        """Write within the scheme's budget; raise ValueError for a vector that cannot be sent."""
        ...


class WriteWithDelta(Protocol):
    """The same, for a scheme that also looks at what the vector was before the memory added to it."""

    def __call__(
        self, vector: Any, layout: Layout, rng: np.random.Generator, reference: Reference, *, delta: Vector | None
    ) -> bytes:
        """Write within the scheme's budget; `delta` is None where the vector is all that is known."""
        ...


@dataclass(frozen=True)
class Codec:
    """Both ends of a scheme.

    Attributes:
        reader: the receiving end.
        write: makes the body, with the scheme's options.
        write_with_delta: the same, where the round's own delta is known; None for a scheme that has no use for it.
    """

    reader: Reader
    write: Write
    write_with_delta: WriteWithDelta | None = None

    def encode(
        self,
        vector: Vector | torch.Tensor,
        layout: Layout,
        *,
        rng: np.random.Generator,
        reference: Reference = None,
        delta: Vector | None = None,
    ) -> bytes:
        """Make a message.

        Args:
            vector: what to send; float32, shape (n,); an array, or a torch tensor on any device.
            layout: of the model, n coordinates.
            rng: every random choice is drawn from it.
            reference: what the decoder holds as well: the model that the client was sent, float32 of shape (n,); or
                a pair of it and the model that the client was sent before.
            delta: what the client's training changed in this round, float32 of shape (n,), where the vector holds a
                residual of earlier rounds as well: an encoder may tell the two apart. The decoder needs none of it.

        Returns:
            The message; its length is its size.

        Raises:
            ValueError: the vector has another shape or dtype, or holds NaN or infinity; or the budget is too small.
        """
        check_vector("vector", vector, layout)
        reference = checked_reference(reference, layout)
        if isinstance(vector, np.ndarray) or not self.reader.takes_tensors:
            vector = np.ascontiguousarray(on_host(vector))
        if delta is not None:
            check_vector("delta", delta, layout)
        body = self.body(vector, layout, rng, reference, delta)
        return pack(self.reader.scheme_id, body, self.reader.associated_data(body, layout, reference))

    def body(
        self, vector: Any, layout: Layout, rng: np.random.Generator, reference: Reference, delta: Vector | None
    ) -> bytes:
        """Write the body alone, of arguments that `encode` has checked."""
        if self.write_with_delta is None:
            return self.write(vector, layout, rng, reference)
        return self.write_with_delta(vector, layout, rng, reference, delta=delta)

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


@runtime_checkable
class Continues(Protocol):
    """What a scheme has whose encoder starts from the client's last message, as PowerSGD's; its decoder does not."""

    def continued(self, state: State) -> Scheme:
        """The scheme for a client's next message.

        Args:
            state: of the client's memory, after the last `settle`; empty in the first round.
        """
        ...


@dataclass(frozen=True)
class Budgeted:
    """Base of schemes whose budget is in bytes, or a share of the model's size: exactly one of the two is given.

    Attributes:
        budget: bytes, whole message; more bytes, less error.
        ratio: how many times smaller than the n trained parameters in float32 the whole message is: a budget of
            4n / ratio bytes, and at least SMALLEST_BUDGET. Higher, fewer bytes.

    Raises:
        ValueError: not exactly one of budget and ratio is given, or it is out of its range.
    """

    SMALLEST_BUDGET: ClassVar[int] = 16  # bytes

    budget: int | None = None
    ratio: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        name = type(self).__name__
        if (self.budget is None) == (self.ratio is None):
            raise ValueError(
                f"{name} has budget = {self.budget}, ratio = {self.ratio}; expected exactly one of them: give "
                f"{name}(budget=218), bytes of a message, or {name}(ratio=1000), a thousandth of the model's bytes"
            )
        if self.budget is not None and self.budget < self.SMALLEST_BUDGET:
            raise ValueError(
                f"budget = {self.budget} bytes; the smallest useful message has {self.SMALLEST_BUDGET}: raise it"
            )
        if self.ratio is not None and not 1 <= self.ratio < float("inf"):
            raise ValueError(
                f"ratio = {self.ratio}; expected how many times smaller than the model a message is: give 1 or more, "
                "such as 1000"
            )

    def bytes_for(self, layout: Layout) -> int:
        """The budget for a model of this layout, in bytes of the whole message.

        >>> from surp_fl import SuRP
        >>> layout = Layout.of({"w": np.zeros(431_080, np.float32)})
        >>> SuRP(ratio=1000).bytes_for(layout), SuRP(ratio=1e9).bytes_for(layout), SuRP(budget=218).bytes_for(layout)
        (1724, 16, 218)
        """
        if self.ratio is None:
            assert self.budget is not None
            return self.budget
        return max(int(4 * layout.size / self.ratio), self.SMALLEST_BUDGET)


def budget_of(scheme: Scheme, layout: Layout) -> int | None:
    """The budget of a scheme for a model, in bytes of the whole message; None for a scheme without one.

    Args:
        scheme: of any class.
        layout: of the model, which a share of its size depends on.
    """
    if isinstance(scheme, Budgeted):
        return scheme.bytes_for(layout)
    budget: int | None = getattr(scheme, "budget", None)
    return budget


def with_budget(scheme: Scheme, budget: int) -> Scheme:
    """The same scheme with another budget, in place of its own or of its ratio.

    Args:
        scheme: a dataclass with a field `budget`.
        budget: bytes, whole message.

    Raises:
        TypeError: the scheme has no budget.
        ValueError: the budget is too small for the scheme.

    >>> from surp_fl import SuRP
    >>> with_budget(SuRP(budget=218), 100).budget, with_budget(SuRP(ratio=1000), 100).budget
    (100, 100)
    """
    made: Any = scheme
    instead = {"ratio": None} if isinstance(scheme, Budgeted) else {}
    return replace(made, budget=budget, **instead)  # type: ignore[no-any-return]
