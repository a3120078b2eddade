"""The initial model that clients can make by themselves: the base of their first change.

Knows arrays and digests. Does not know messages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from surp_fl.array_spec import check_all, specs_of
from surp_fl.flower.initial_model import Model, model_arrays
from surp_fl.flower.packed_model import digest_of
from surp_fl.types import Arrays

Initial = str | Callable[[], Model]
_NAME = "initial"  # that clients are told where the user gives none


class KnownInitial:
    """Name, digest and arrays of the initial model that clients can make.

    Args:
        initial: the function that makes it, or its name, if it is the first model that a run sends.

    Attributes:
        name: that clients are told.
        arrays: of the model; empty until `resolve`.
        version: its digest.

    Raises:
        TypeError: `initial` is neither.
    """

    def __init__(self, initial: Initial) -> None:
        if not callable(initial) and not (isinstance(initial, str) and initial.isprintable() and initial):
            raise TypeError(
                f"initial={initial!r:.60}: expected a name, if clients can make the model that the run starts from, "
                "or a function without arguments that makes the model which clients can make"
            )
        self.name = initial if isinstance(initial, str) else _NAME
        self.arrays: Arrays = {}
        self.version = b""
        self._make = initial if callable(initial) else None

    def forget(self) -> None:
        """Make it anew, or take the next model that is sent: a run begins that continues none."""
        self.arrays, self.version = {}, b""

    def resolve(self, first: Arrays) -> None:
        """Make the model, or take the first one that is sent; until `forget`, only the first call has an effect.

        Raises:
            ValueError: the model that is made has other names, shapes or dtypes than the one that is sent.
        """
        if self.version:
            return
        arrays, expected = first if self._make is None else model_arrays(self._make()), specs_of(first)
        try:
            check_all(tuple(expected), arrays)
            for found, wanted in zip(specs_of(arrays), expected, strict=True):
                if found.dtype != wanted.dtype:
                    raise ValueError(f"found {found}, expected {wanted}")
        except ValueError as fault:
            raise ValueError(f"initial= makes another model than the one that the run starts from: {fault}") from fault
        self.arrays, self.version = arrays, digest_of(arrays)


def known_initial(initial: Any) -> KnownInitial | None:
    """The initial model of `DecodeUpdates(initial=...)`; None for none."""
    return None if initial is None else KnownInitial(initial)
