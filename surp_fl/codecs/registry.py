"""One row per scheme: all that the library, its tests, tables and plots know of it beside its codec.

A scheme of your own is one file with a frozen dataclass (`codec`, `memory`) and one call of `register`, on both ends;
or an entry point of the group "surp_fl.schemes" that gives the `Registration`, which is found wherever the package that
provides it is installed.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from typing import Any

from surp_fl.codecs.codec import Scheme
from surp_fl.codecs.reader import READERS, Reader
from surp_fl.errors import MalformedMessage
from surp_fl.frame import scheme_id_of
from surp_fl.memory import ErrorFeedback, MomentumCorrection, NoMemory

log = logging.getLogger(__name__)

GROUP = "surp_fl.schemes"  # of entry points
Schedule = Callable[[int], Scheme]  # the scheme of a round, counted from 1


@dataclass(frozen=True)
class Registration:
    """One scheme.

    Attributes:
        name: on the command line and in tables: "surp", "top-k".
        reader: of its messages; schemes with the same message format share one.
        make: makes the scheme from options of the command line, among them `budget` in bytes if it has one; or makes a
            function that gives the scheme of each round.
        examples: schemes for the conformance tests, by name.
        has_budget: whether a budget in bytes limits its messages.
        brings_momentum: whether its memory has a momentum, so that local training must have none.
        keeps_signs: whether no coordinate is decoded with the wrong sign.
        contractive: whether decoding never adds error: ‖v − decoded‖ ≤ ‖v‖.
        value_bits: bits of a value in the size that papers report, k·(log2 n + value_bits); None if papers report none.
        colour: in plots; a colour of matplotlib.
        marker: in plots; a marker of matplotlib.
    """

    name: str
    reader: Reader
    make: Callable[..., Scheme | Schedule]
    examples: Mapping[str, Scheme] = field(default_factory=dict)
    has_budget: bool = True
    brings_momentum: bool = False
    keeps_signs: bool = True
    contractive: bool = True
    value_bits: int | None = None
    colour: str = "black"
    marker: str = "."


SCHEMES: dict[str, Registration] = {}  # by name, in the order of legends


def register(row: Registration) -> Registration:
    """Make a scheme known in this process.

    Args:
        row: the scheme; registering the same one twice changes nothing.

    Returns:
        The row.

    Raises:
        ValueError: another scheme has the name, or another reader has the id.
    """
    if SCHEMES.get(row.name, row) != row:
        raise ValueError(f"there is a scheme '{row.name}' already: give yours another name")
    known = READERS.get(row.reader.scheme_id, row.reader)
    if known != row.reader:
        raise ValueError(
            f"scheme id {row.reader.scheme_id} of '{row.name}' is that of '{known.name}' messages: take one from 24 to "
            "31 that no other package on both ends has"
        )
    READERS[row.reader.scheme_id] = row.reader
    SCHEMES[row.name] = row
    return row


def reader_of(message: bytes) -> Reader:
    """Find the reader of a message by its scheme id.

    Raises:
        MalformedMessage: not a message of this version, or of a scheme that is not registered.
    """
    found = scheme_id_of(message)
    if found not in READERS:
        _register_installed()
    if found not in READERS:
        known = {each: reader.name for each, reader in sorted(READERS.items())}
        raise MalformedMessage(
            f"scheme id {found}; this end knows {known}: the message was damaged, or the client runs a newer surp-fl, "
            "or a scheme that is not registered here"
        )
    return READERS[found]


def scheme_named(name: str) -> Registration:
    """Find a scheme by its name.

    Raises:
        ValueError: it is not registered.

    >>> from surp_fl.codecs import SCHEMES
    >>> scheme_named("surp") is SCHEMES["surp"]
    True
    """
    if name not in SCHEMES:
        _register_installed()
    if name not in SCHEMES:
        raise ValueError(f"scheme '{name}'; there are: {', '.join(SCHEMES)}")
    return SCHEMES[name]


@functools.cache
def _register_installed() -> None:
    """Register the schemes of installed packages, once; one that fails is logged and left out."""
    for entry in entry_points(group=GROUP):
        try:
            register(entry.load())
        except Exception as fault:  # whatever another package raises
            log.warning("surp-fl: the scheme of entry point '%s' cannot be registered: %r", entry.name, fault)


def with_memory(make: Callable[..., Scheme], default: ErrorFeedback = ErrorFeedback()) -> Callable[..., Scheme]:  # noqa: B008
    """Add a client memory to a scheme that is made from the command line.

    Args:
        make: takes `memory`, and the scheme's own options.
        default: the memory where no option says otherwise.

    Returns:
        A function that takes `keep` and `step_ahead` (of error feedback), `momentum` (of momentum correction), or
        `stateless=1` (for none) in place of `memory`.
    """

    def made(
        *,
        keep: float = default.keep,
        step_ahead: float = default.step_ahead,
        momentum: float = 0.0,
        stateless: float = 0.0,
        **options: Any,
    ) -> Scheme:
        memory = MomentumCorrection(momentum) if momentum else replace(default, keep=keep, step_ahead=step_ahead)
        return make(memory=NoMemory() if stateless else memory, **options)

    return made
