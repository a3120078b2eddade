"""The origin of the deltas as a client stores it in `Context.state`: as the values that its local version overwrote.

These take a few bytes for each value that changed since; see delta.py. The keys: protocol.py. Knows Flower's Context.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
from flwr.app import Context

from surp_fl.flower.client_state import store_arrays, stored_arrays
from surp_fl.flower.delta import changed_since
from surp_fl.flower.protocol import ORIGIN
from surp_fl.overwritten import Overwritten
from surp_fl.statistics import Kinds
from surp_fl.types import Array, Arrays

log = logging.getLogger("flwr")

_CHANGED = "changed"  # how many values, so that none is told from no origin
_PLACES, _VALUES = "places:", "values:"  # and the name of the array


def load_origin(context: Context, local: Mapping[str, Array]) -> Arrays | None:
    """The origin of the local version, its trained arrays at least; None if it is not stored.

    Args:
        context: of the client.
        local: the local version, which it was stored with.
    """
    stored = stored_arrays(context, ORIGIN)
    if _CHANGED not in stored:
        return None
    values: dict[str, tuple[Array | None, Array]] = {}
    for key, old in stored.items():
        if key.startswith(_VALUES):
            name = key.removeprefix(_VALUES)
            values[name] = stored.get(_PLACES + name), old
    try:
        return Overwritten(values, int(stored[_CHANGED][0])).restored(local)
    except (ArithmeticError, LookupError, TypeError, ValueError) as fault:
        log.warning("surp-fl: this client's origin does not fit its model, it is sent in full: %r", fault)
        return None


def save_origin(
    context: Context, origin: Mapping[str, Array] | None, latest: Mapping[str, Array], kinds: Kinds | None
) -> None:
    """Store the origin, or remove it if it is of no more use.

    Args:
        context: of the client.
        origin: its trained arrays at least; None for none.
        latest: the local version.
        kinds: which arrays are running statistics; None recognises them by name.
    """
    overwritten = None if origin is None else changed_since(origin, latest, kinds)
    stored: Arrays = {}
    if overwritten is not None:
        stored[_CHANGED] = np.array([overwritten.changed])
        for name, (places, old) in overwritten.values.items():
            stored[_VALUES + name] = old
            if places is not None:
                stored[_PLACES + name] = places
    store_arrays(context, ORIGIN, stored)
