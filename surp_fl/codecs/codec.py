"""The contract of every codec: `encode` and `decode`, pure functions of what both ends may hold.

A scheme brings two functions, `write` and `read`, that know the body of its messages; the checks that all
schemes share are here, once. Does not know Flower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from surp_fl.coding.fixed import MalformedBits
from surp_fl.context import Reference
from surp_fl.device import on_host
from surp_fl.layout import Layout
from surp_fl.memory import Memory
from surp_fl.message import HEADER_BYTES, SCHEME_NAMES, MalformedMessage, pack, scheme_id_of, unpack

if TYPE_CHECKING:
    import torch

Vector = NDArray[np.float32]
Sparse = tuple[NDArray[np.int64], Vector]  # ascending indices, and the value at each


class Write(Protocol):
    """Makes a body out of a float32 vector of shape (n,); a tensor comes only to schemes that take one."""

    def __call__(self, vector: Any, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        """Write within the scheme's budget; raise ValueError for a vector that cannot be sent."""
        ...


class Parts(NamedTuple):
    """What the bits of a message say. All that is none of these is its header: options, counts, what fills the end."""

    indices: float
    signs: float
    magnitudes: float


Read = Callable[[bytes, Layout, Reference], Sparse | Vector]
Shared = Callable[[bytes, Layout, Reference], int]


def layout_alone(body: bytes, layout: Layout, reference: Reference) -> int:
    """What both ends must hold to read a body, in 32 bits: the layout, for most schemes."""
    return layout.fingerprint


@dataclass(frozen=True)
class Reader:
    """The receiving end of a scheme. It needs none of the scheme's options: those are in the message.

    Attributes:
        scheme_id: the five bits that name the scheme in every message.
        read: turns a body into (indices, values), or into the whole vector where that is no larger.
        parts: counts what the bits of a valid body say.
        shared: 32 bits of what both ends must hold to read a body; part of the integrity check.
        contextual: whether a reference makes messages smaller.
        takes_tensors: whether the encoder finds what it needs in a tensor where it lies.
        progressive: whether the first bytes of a body are a body.
    """

    scheme_id: int
    read: Read
    parts: Callable[[bytes, Layout, Reference], Parts]
    shared: Shared = layout_alone
    contextual: bool = False
    progressive: bool = False
    takes_tensors: bool = False

    @property
    def name(self) -> str:
        """What people call the scheme."""
        return SCHEME_NAMES[self.scheme_id]

    def decode(self, message: bytes, layout: Layout, *, reference: Reference = None) -> Vector:
        """Read a message.

        Returns:
            A new float32 vector of shape (n,), a function of the arguments alone.

        Raises:
            MalformedMessage: not a message of this scheme for this layout and reference.
            ValueError: the reference has another shape or dtype than the layout's vector.
        """
        decoded = self._open(message, layout, reference)
        if not isinstance(decoded, tuple):
            return decoded
        vector = np.zeros(layout.size, np.float32)
        vector[decoded[0]] = decoded[1]
        return vector

    def decode_sparse(self, message: bytes, layout: Layout, *, reference: Reference = None) -> Sparse:
        """Read a message into ascending int64 indices and float32 values, both of shape (sent,).

        Raises:
            MalformedMessage: not a message of this scheme for this layout and reference.
        """
        decoded = self._open(message, layout, reference)
        return decoded if isinstance(decoded, tuple) else (np.arange(layout.size, dtype=np.int64), decoded)

    def anatomy(self, message: bytes, layout: Layout, *, reference: Reference = None) -> Parts:
        """Count what the bits of a message say: of its indices, of signs, and of magnitudes; the rest is its header.

        Raises:
            MalformedMessage: not a message of this scheme for this layout and reference.
        """
        self._open(message, layout, reference)
        return self.parts(message[HEADER_BYTES:], layout, _checked(reference, layout))

    def _open(self, message: bytes, layout: Layout, reference: Reference) -> Sparse | Vector:
        found = scheme_id_of(message)
        if found != self.scheme_id:
            raise MalformedMessage(
                f"the decoder reads '{self.name}', this message is '{SCHEME_NAMES.get(found, f'scheme {found}')}': "
                "give client and server the same scheme"
            )
        reference = _checked(reference, layout)
        try:
            body = unpack(message, self.shared(message[HEADER_BYTES:], layout, reference))
            decoded = self.read(body, layout, reference)
        except MalformedBits as fault:
            raise MalformedMessage(f"the body of this '{self.name}' message is not valid: {fault}") from fault
        values = decoded[1] if isinstance(decoded, tuple) else decoded
        if not np.isfinite(values).all():
            raise MalformedMessage(f"this '{self.name}' message decodes to NaN or infinity, which no encoder sends")
        return decoded


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
            layout: of the model.
            rng: every random choice is drawn from it.
            reference: what the decoder holds as well: the model that the client was sent, float32 of shape (n,); or
                a pair of it and the model that the client was sent before.

        Returns:
            The message. Its length is its size.

        Raises:
            ValueError: the vector has another shape or dtype, or holds NaN or infinity.
        """
        _check_vector("vector", vector, layout)
        reference = _checked(reference, layout)
        if isinstance(vector, np.ndarray) or not self.reader.takes_tensors:
            vector = np.ascontiguousarray(on_host(vector))
        body = self.write(vector, layout, rng, reference)
        return pack(self.reader.scheme_id, body, self.reader.shared(body, layout, reference))

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
    """The same scheme with another budget, in bytes; it must be a dataclass that has one."""
    made: Any = scheme
    return replace(made, budget=budget)  # type: ignore[no-any-return]


def _checked(reference: Reference, layout: Layout) -> Reference:
    """The reference, if it fits the layout, in one piece of memory."""
    if reference is None:
        return None
    if not isinstance(reference, tuple):
        _check_vector("reference", reference, layout)
        return np.ascontiguousarray(reference)
    for held in reference:
        _check_vector("reference", held, layout)
    return np.ascontiguousarray(reference[0]), np.ascontiguousarray(reference[1])


def _check_vector(role: str, vector: Vector | torch.Tensor, layout: Layout) -> None:
    dtype = str(vector.dtype).removeprefix("torch.")
    if dtype != "float32" or tuple(vector.shape) != (layout.size,):
        raise ValueError(
            f"the {role} is {vector.dtype} of shape {vector.shape}; expected float32 of shape ({layout.size},): "
            "make it with layout.flatten(arrays)"
        )
