"""The initial model that a client can make by itself, so that the server need not send it.

Both ends make it: from the app's own code with a seed, or from a file that each of them has. Whether both hold the same
bits is never assumed: the server's message names the digest. Knows Flower's records. Does not know versions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Context

from surp_fl.array_spec import specs_of
from surp_fl.flower.records import arrays_of, native
from surp_fl.printable import printable
from surp_fl.types import Arrays

log = logging.getLogger("flwr")

Model = ArrayRecord | Mapping[str, Any]  # a record, or arrays by name, as torch's state_dict
MakeModel = Callable[[Context], Model]
Initial = MakeModel | Mapping[str, MakeModel]  # one for all servers, or by the name that the server announces


def check_initial(initial: Any) -> None:
    """Refuse what is no function that makes the initial model, and no mapping of names to such functions.

    Raises:
        TypeError: found and expected.
    """
    each = list(initial.values()) if isinstance(initial, Mapping) else [initial]
    if initial is not None and not (each and all(map(callable, each))):
        raise TypeError(
            f"initial={initial!r:.60}: expected a function of the context that makes the initial model, as in "
            "initial=lambda context: ArrayRecord(make_model().state_dict()), or such functions by name"
        )


def make_initial(initial: Initial | None, name: str, *, context: Context) -> Arrays | None:
    """Make the initial model on a client.

    Args:
        initial: the function that makes it, or such functions by name.
        name: of the model that the server announces.
        context: of the client.

    Returns:
        New arrays; None if there is no such function, or it fails: then the server sends the model.
    """
    make = initial.get(name) if isinstance(initial, Mapping) else initial
    if make is None:
        known = f"has no initial model '{printable(name, 60)}'" if initial else "has no initial= to make the model"
        log.info("surp-fl: this client %s: it asks for the full model", known)
        return None
    try:
        return model_arrays(make(context))
    except Exception as fault:  # a file that is not there, another version of a library: the model is sent
        log.warning("surp-fl: initial= fails, so the full model is asked for: %r", fault)
        return None


def model_arrays(model: Model) -> Arrays:
    """The arrays of a model, by name; new ones.

    Raises:
        TypeError: an array is not float, integer or boolean.
    """
    arrays = (
        arrays_of(model)
        if isinstance(model, ArrayRecord)
        else {name: native(np.array(each)) for name, each in model.items()}
    )
    specs_of(arrays)
    return arrays
