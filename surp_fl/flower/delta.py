"""Deltas of the public model, and the origin that they are coded against.

The *origin* is the model that a chain of deltas began with. Both ends hold it, and so know which coordinates have
changed since: few of them, and where most of the next changes are. A delta is coded against that, as long as no more
than one value in four has changed. Knows layouts and codecs. Does not know Flower's messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from surp_fl.array_spec import specs_of
from surp_fl.change import Change
from surp_fl.codecs import reader_of
from surp_fl.immutable import immutable
from surp_fl.layout import Layout
from surp_fl.overwritten import Overwritten
from surp_fl.statistics import Kinds
from surp_fl.types import Array, Arrays, Reference

_VALUES_PER_CHANGE = 4  # at most one trained value in so many may differ from the origin


@dataclass(frozen=True)
class Delta:
    """From one version to the next.

    Attributes:
        base: digest of the version that it is added to.
        change: the encoded difference.
        untied: whether it encodes arrays separately that are equal in its base, because they no longer are after it.
        needs_origin: whether it was coded against an origin too; the server's note, which the message says as well.
    """

    base: bytes
    change: Change
    untied: bool = False
    needs_origin: bool = False


def changed_since(origin: Mapping[str, Array], latest: Mapping[str, Array], kinds: Kinds | None) -> Overwritten | None:
    """The trained values of the origin that differ from the latest version's.

    Args:
        origin: at least its trained arrays.
        latest: all arrays.
        kinds: which arrays are running statistics; None recognises them by name.

    Returns:
        None if the origin is of no more use: arrays are not the same, or more than one value in four differs. Both
        ends give it up then.
    """
    layout = Layout.of(latest, kinds, tied=False)
    trained = {spec.name: origin[spec.name] for spec in layout.floats if spec.name in origin}
    if specs_of(trained) != list(layout.floats):
        return None
    overwritten = Overwritten.between(trained, latest)
    return overwritten if overwritten.changed <= layout.size // _VALUES_PER_CHANGE else None


def reference_of(layout: Layout, arrays: Arrays, origin: Mapping[str, Array] | None) -> Reference:
    """What a delta is coded against: the version that it is added to, and the origin, if there is one.

    Args:
        layout: that the delta has.
        arrays: of the version.
        origin: at least its trained arrays; None for none.

    Returns:
        Vectors of shape (n,), `immutable`.
    """
    vector = immutable(layout.flatten(arrays))
    return vector if origin is None else (vector, immutable(layout.flatten_floats(origin)))


def apply_delta(layout: Layout, arrays: Arrays, delta: Delta, reference: Reference) -> Arrays:
    """Compute the version after a delta; the same bits on server and clients.

    Args:
        layout: that the delta has.
        arrays: the base of the delta.
        delta: what is added to it.
        reference: of `reference_of`.

    Returns:
        New arrays, in the model's dtypes.

    Raises:
        MalformedMessage: the delta is not valid, or was coded against an origin and there is none.
    """
    change = delta.change
    update = reader_of(change.message).decode(change.message, layout, reference=reference)
    return layout.assembled(layout.rounded(layout.moved(arrays, update)), change.untrained(arrays, layout))
