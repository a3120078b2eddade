"""The table that the conformance suite runs over: the examples of every registered scheme."""

from __future__ import annotations

from dataclasses import dataclass

from surp_fl.codecs import SCHEMES as REGISTERED
from surp_fl.codecs import Registration, Scheme


@dataclass(frozen=True)
class Row:
    name: str
    scheme: Scheme
    registered: Registration

    @property
    def budget(self) -> int | None:  # bytes
        budget: int | None = getattr(self.scheme, "budget", None)
        return budget

    def __str__(self) -> str:
        return self.name


SCHEMES = [
    Row(name, scheme, registered) for registered in REGISTERED.values() for name, scheme in registered.examples.items()
]
