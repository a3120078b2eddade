"""Errors for an app and a server of different Flower APIs: legacy (`client_fn`, `flwr.server`) and message API.

Knows names of records and of Flower's functions. Does not know what is in a record.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable

from flwr.app import Context, Message, RecordDict

from surp_fl.flower.legacy_records import FIT_ARRAYS, NEEDS_LEGACY_APP, is_legacy

_LEGACY_HANDLER = "legacy_message"  # in the name of Flower's function that calls a client_fn


def check_decodes(content: RecordDict, in_session: bool) -> None:
    """Refuse a train message of a legacy strategy that cannot decode.

    Args:
        content: of the message.
        in_session: whether the message has the directives of a wrapper.

    Raises:
        RuntimeError: it has none.
    """
    if is_legacy(content) and not in_session:
        raise RuntimeError(
            "the server runs a legacy strategy (flwr.server) that cannot decode: give ServerApp(server_fn=...) the "
            "strategy DecodeLegacyUpdates(...), from surp_fl.strategies.legacy, around it; a ServerApp that calls "
            "DefaultWorkflow cannot decode either: return ServerAppComponents from server_fn in its place"
        )


def call_app(call_next: Callable[[Message, Context], Message], message: Message, context: Context) -> Message:
    """Let the app handle a train message.

    Raises:
        RuntimeError: the app did not find its model, because it is of the other API than the server.
    """
    legacy = is_legacy(message.content)
    try:
        return call_next(message, context)
    except KeyError as fault:
        if not legacy and FIT_ARRAYS in str(fault):
            raise RuntimeError(
                "this app has a client_fn (NumPyClient, Client), and the server runs DecodeUpdates, which is for apps "
                "with @app.train(): give ServerApp(server_fn=...) the strategy DecodeLegacyUpdates(...), from "
                "surp_fl.strategies.legacy, around one of flwr.server.strategy"
            ) from fault
        if legacy and _is_lookup_by_other_api(fault):
            raise RuntimeError(f"the app finds no record {fault} in its message: {NEEDS_LEGACY_APP}") from fault
        raise


def _is_lookup_by_other_api(fault: KeyError) -> bool:
    """Whether Flower's records raised this, and no client_fn had been called."""
    frames = [frame for frame, _ in traceback.walk_tb(fault.__traceback__)]
    of_legacy_app = any(_LEGACY_HANDLER in frame.f_code.co_name for frame in frames)
    return not of_legacy_app and str(frames[-1].f_globals.get("__name__")).startswith("flwr.")
