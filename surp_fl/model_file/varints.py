"""Reads a model file's bytes from front to back: numbers of up to 63 bits, in their shortest form alone."""

from __future__ import annotations

from surp_fl import varints
from surp_fl.errors import MalformedMessage
from surp_fl.varints import varint

__all__ = ["ByteReader", "varint"]

_GROUPS = 9  # of 7 bits: 63


class ByteReader(varints.ByteReader):
    """Reads bytes from front to back."""

    def varint(self, most: int = (1 << 63) - 1) -> int:
        """The next number.

        Raises:
            MalformedMessage: it exceeds `most`, is longer than 63 bits, or not in its shortest form.
        """
        found = self.number(_GROUPS)
        if found is None or found[0] > most or found[1] > len(varint(found[0])):
            raise MalformedMessage(
                f"the model file has a number beyond {most:,}, or one that is not in its shortest form"
            )
        return found[0]

    def ended_within(self, count: int) -> str:
        """A model file says how long its parts are."""
        return f"the model file ends within {count:,} bytes that it says to hold: it was cut"
