"""The receiving end of a scheme, and the table in which a message's format is found by its id.

A format provides one function, `read`, that decodes the body of its messages; checks that all share are here, once.
Does not know Flower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from surp_fl.entropy.bitio import MalformedBits
from surp_fl.errors import MalformedMessage
from surp_fl.frame import HEADER_BYTES, scheme_id_of, unpack
from surp_fl.layout import Layout
from surp_fl.types import Reference, Sparse, Update, Vector
from surp_fl.updates import as_vector, values_of

if TYPE_CHECKING:
    import torch


class BitBreakdown(NamedTuple):
    """Bits of a message by what they are for. The remainder counts as header: options, counts, padding.

    Attributes:
        indices: bits of the indices.
        signs: bits of the signs.
        magnitudes: bits of the magnitudes, or of the values without their signs.
    """

    indices: float
    signs: float
    magnitudes: float


Read = Callable[[bytes, Layout, Reference], Update]
AssociatedData = Callable[[bytes, Layout, Reference], int]


def layout_alone(body: bytes, layout: Layout, reference: Reference) -> int:
    """The associated data of most schemes, which need the same layout and nothing else at both ends."""
    return layout.fingerprint


@dataclass(frozen=True)
class Reader:
    """The receiving end of a scheme. It needs none of the scheme's options: those are in the message.

    Attributes:
        scheme_id: the five bits that name the format of the body in every message; 24 to 31 for your own.
        name: of the format, for people.
        read: decodes a body to (indices, values), or to the whole vector if that takes less memory.
        count_bits: counts the bits of a valid body by what they are for.
        associated_data: 32 bits that depend on all that both ends must hold to read a body; part of the integrity
            check.
        contextual: whether a reference makes messages smaller.
        progressive: whether a prefix of a body is a body.
        takes_tensors: whether the encoder takes a tensor on its device.
    """

    scheme_id: int
    name: str
    read: Read
    count_bits: Callable[[bytes, Layout, Reference], BitBreakdown]
    associated_data: AssociatedData = layout_alone
    contextual: bool = False
    progressive: bool = False
    takes_tensors: bool = False

    def decode(self, message: bytes, layout: Layout, *, reference: Reference = None) -> Vector:
        """Decode a message to a vector.

        Args:
            message: of this scheme.
            layout: of the model, n coordinates.
            reference: what the encoder was given.

        Returns:
            A new float32 vector of shape (n,), a function of the arguments alone.

        Raises:
            MalformedMessage: not a message of this scheme for this layout and reference.
            ValueError: the reference has another shape or dtype than the layout's vector.
        """
        return as_vector(self.decode_compact(message, layout, reference=reference), layout.size)

    def decode_sparse(self, message: bytes, layout: Layout, *, reference: Reference = None) -> Sparse:
        """Decode a message to ascending int64 indices and float32 values, of shape (sent,); arguments as of `decode`.

        Raises:
            MalformedMessage: not a message of this scheme for this layout and reference.
            ValueError: the reference has another shape or dtype than the layout's vector.
        """
        decoded = self.decode_compact(message, layout, reference=reference)
        return decoded if isinstance(decoded, tuple) else (np.arange(layout.size, dtype=np.int64), decoded)

    def bit_breakdown(self, message: bytes, layout: Layout, *, reference: Reference = None) -> BitBreakdown:
        """Bits of a message's indices, signs and magnitudes; arguments as of `decode`.

        Raises:
            MalformedMessage: not a message of this scheme for this layout and reference.
            ValueError: the reference has another shape or dtype than the layout's vector.
        """
        self.decode_compact(message, layout, reference=reference)
        return self.count_bits(message[HEADER_BYTES:], layout, checked_reference(reference, layout))

    def decode_compact(self, message: bytes, layout: Layout, *, reference: Reference = None) -> Update:
        """Decode a message to what takes less memory: indices and values as `decode_sparse`, or a vector as `decode`.

        Raises:
            MalformedMessage: not a message of this scheme for this layout and reference.
            ValueError: the reference has another shape or dtype than the layout's vector.
        """
        found = scheme_id_of(message)
        if found != self.scheme_id:
            raise MalformedMessage(
                f"the decoder reads '{self.name}', this message is '{name_of(found)}': "
                "give client and server the same scheme"
            )
        reference = checked_reference(reference, layout)
        try:
            body = unpack(message, self.associated_data(message[HEADER_BYTES:], layout, reference))
            decoded = self.read(body, layout, reference)
        except MalformedBits as fault:
            raise MalformedMessage(f"the body of this '{self.name}' message is not valid: {fault}") from fault
        if not np.isfinite(values_of(decoded)).all():
            raise MalformedMessage(f"this '{self.name}' message decodes to NaN or infinity, which no encoder sends")
        return decoded


READERS: dict[int, Reader] = {}  # by scheme id; filled by `registry.register`


def name_of(scheme_id: int) -> str:
    """The name of a format, for people."""
    return READERS[scheme_id].name if scheme_id in READERS else f"scheme {scheme_id}"


def checked_reference(reference: Reference, layout: Layout) -> Reference:
    """The reference, contiguous in memory.

    Raises:
        ValueError: it is not float32 of the layout's size.
    """
    if reference is None:
        return None
    if not isinstance(reference, tuple):
        check_vector("reference", reference, layout)
        return np.ascontiguousarray(reference)
    for held in reference:
        check_vector("reference", held, layout)
    return np.ascontiguousarray(reference[0]), np.ascontiguousarray(reference[1])


def check_vector(role: str, vector: Vector | torch.Tensor, layout: Layout) -> None:
    """Check that a vector is float32 of shape (layout.size,).

    Args:
        role: what it is, for the error message.
        vector: an array or a tensor.
        layout: of the model.

    Raises:
        ValueError: it is not.
    """
    dtype = str(vector.dtype).removeprefix("torch.")
    if dtype != "float32" or tuple(vector.shape) != (layout.size,):
        raise ValueError(
            f"the {role} is {vector.dtype} of shape {vector.shape}; expected float32 of shape ({layout.size},): "
            "make it with layout.flatten(arrays)"
        )
