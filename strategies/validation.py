"""Refuses strategies and messages that cannot work, as early as possible.

Errors say what was found, what was expected, and what to do. Knows Flower's strategies. Does not know codecs.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Message
from flwr.serverapp.strategy import FedAvg, FedXgbBagging, FedXgbCyclic, Strategy

from surp_fl.flower.versions import ErrorCode
from surp_fl.strategies.downlink.delivery import LOSSLESS
from surp_fl.strategies.round_stats import CHOICES

log = logging.getLogger("flwr")


def check_inner(strategy: Strategy, mean_alone: bool | None, wrapper: type[Strategy]) -> None:
    """Refuse inner strategies that `DecodeUpdates` cannot wrap; warn of a `start` that does not run.

    Args:
        strategy: the inner strategy.
        mean_alone: whether it needs the weighted mean alone, where the user says so.
        wrapper: the class of `DecodeUpdates`.

    Raises:
        TypeError: not a strategy of `flwr.serverapp.strategy`.
        ValueError: its clients do not train arrays, a wrapper is inside it, or `mean_alone` does not fit it.
    """
    if not isinstance(strategy, Strategy):
        raise TypeError(
            f"{type(strategy).__module__}.{type(strategy).__name__} is not a strategy of flwr.serverapp.strategy: "
            "for an app with NumPyClient and flwr.server, use DecodeLegacyUpdates from surp_fl.strategies.legacy"
        )
    chain = nested(strategy)
    for inner in chain:
        name = type(inner).__name__
        if isinstance(inner, FedXgbBagging | FedXgbCyclic):
            raise ValueError(
                f"{name} collects trees, and DecodeUpdates adds up updates of arrays: run {name} without it, and its "
                "clients without CompressUpdates"
            )
        if isinstance(inner, wrapper):
            raise ValueError(
                f"{name} is inside already, and would leave nothing to decode: put DecodeUpdates outside of "
                "everything, once"
            )
        if type(inner).start is not Strategy.start and type(strategy).start is Strategy.start:
            log.warning(
                "surp-fl: %s has a start() of its own, which does not run, as in Flower: only the start() of %s does, "
                "the strategy around it; give that one the loop if you need it",
                name,
                type(strategy).__name__,
            )
    if mean_alone and not isinstance(strategy, FedAvg):
        raise ValueError(
            f"mean_alone needs FedAvg or a strategy that inherits from it, for its weight and metrics; found "
            f"{type(strategy).__name__}: leave mean_alone out"
        )


def check_downlink(scheme: Any, bits: Any = None) -> None:
    """Refuse a downlink that is not a scheme, and bits of the first model that cannot be.

    Raises:
        TypeError: it is neither a scheme, nor a function that gives one for round 1, nor None.
        ValueError: the bits are no number from 1 to 16, or nothing sends later what they leave out.
    """
    if bits is not None and (isinstance(bits, bool) or not isinstance(bits, int | float) or not 1 <= bits <= 16):
        raise ValueError(f"first_model_bits is {bits!r}; expected 1 to 16 bits a weight, as 8, or None")
    if bits is not None and scheme is None:
        raise ValueError(
            f"first_model_bits={bits} leaves out what only downlink= would send later: add downlink=SuRP(budget=2000), "
            "or leave it out"
        )
    if scheme == LOSSLESS and bits is not None:
        raise ValueError(
            f"first_model_bits={bits} leaves out what downlink='lossless' never sends later: leave out one of them"
        )
    if scheme is None or (isinstance(scheme, str) and scheme == LOSSLESS):
        return
    if callable(scheme) and not isinstance(scheme, type):
        scheme = scheme(1)
    if isinstance(scheme, type) or not hasattr(getattr(scheme, "codec", None), "encode"):
        raise TypeError(
            f"downlink is {scheme!r}; expected a scheme, as in downlink=SuRP(budget=2000), a function that "
            f"gives the scheme of a round, {LOSSLESS!r}, or None"
        )


def check_metrics(choice: Any) -> None:
    """Refuse a choice of metrics that there is not.

    Raises:
        ValueError: it is neither one of `CHOICES` nor None.
    """
    if choice is not None and not (isinstance(choice, str) and choice in CHOICES):
        raise ValueError(f"metrics is {choice!r}; expected one of {', '.join(map(repr, CHOICES))}, or None")


def check_one_model(messages: list[Message]) -> None:
    """Refuse train messages that hold anything but one model each.

    Raises:
        ValueError: a message holds no ArrayRecord, or several.
    """
    for message in messages:
        records = message.content.array_records
        if len(records) != 1:
            raise ValueError(
                f"the inner strategy sends {len(records)} ArrayRecords ({sorted(records)}); DecodeUpdates needs one, "
                "the model: send the others in a ConfigRecord, as bytes"
            )


def check_outermost(running: bool, overriding: str | None) -> None:
    """Refuse to be called outside of the `start` of `DecodeUpdates`, as by a strategy around it.

    Args:
        running: whether the call comes from within that `start`.
        overriding: name of the subclass of `DecodeUpdates` that overrides it; None for none.

    Raises:
        RuntimeError: it does not come from there.
    """
    if not running and overriding is not None:
        raise RuntimeError(
            f"{overriding} was called outside of DecodeUpdates.start(), which it overrides: move the loop into the "
            "start() of a subclass of the inner strategy, and put that inside DecodeUpdates, which runs it; or call "
            "super().start()"
        )
    if not running:
        raise RuntimeError(
            "DecodeUpdates was called by something other than its own start(): another strategy around it would be "
            "handed compressed replies, in which it finds no arrays: put DecodeUpdates outside, as in "
            "DecodeUpdates(DifferentialPrivacyServerSideFixedClipping(FedAvg(...), ...)), and call its start()"
        )


def all_finite(*records: ArrayRecord) -> bool:
    """Whether all arrays are free of NaN and infinity; checked array by array, to save memory."""
    return all(np.isfinite(array.numpy()).all() for record in records for array in record.values())


def nested(strategy: Strategy) -> list[Strategy]:
    """The chain of strategies: this one, its inner one, and so on to the innermost."""
    found = [strategy]
    while isinstance(inner := getattr(found[-1], "strategy", None), Strategy):
        found.append(inner)
    return found


def hint_for(errors: list[Message], packed: str | None) -> str:
    """A hint at the likely cause where another mod refused our replies, or an app did not find its model.

    Args:
        errors: error replies of a round, in which no reply was usable.
        packed: name of the ArrayRecord that apps expect, where the model travels as one array instead; else None.

    Returns:
        Text to append to the error; empty where there is no hint.
    """
    reasons = [str(reply.error.reason) for reply in errors]
    if packed is not None and any(
        f"KeyError: '{packed}'" in reason or "surp-fl:packed" in reason for reason in reasons
    ):
        return (
            "; the app did not find the model, which travels as one array: give the app "
            "ClientApp(mods=[CompressUpdates(...)]), as the first mod, in the same version of surp-fl"
        )
    if any(
        reply.error.code == ErrorCode.MOD_FAILED_PRECONDITION and not reason.startswith("surp-fl")
        for reply, reason in zip(errors, reasons, strict=True)
    ):
        return (
            "; a mod that needs the model's arrays stands before CompressUpdates in the ClientApp's mods, where there "
            "is only a message: put CompressUpdates first"
        )
    return ""
