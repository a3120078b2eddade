"""The federations that are run: schemes, the way down, models, and how much of a server survives its death."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flwr.app import Context

from surp_fl import DGC, STC, ErrorFeedback, MomentumCorrection, SuRP
from surp_fl.codecs.codec import Scheme
from surp_fl.strategies.downlink.delivery import LOSSLESS, Lossless
from tests.chaos.models import Arrays, normalized, plain

_EVERY_ROUND = ErrorFeedback()  # without steps ahead, so that apps are given the model as it was received


@dataclass(frozen=True)
class Setting:
    """A federation.

    Attributes:
        scheme: of the clients.
        model: makes the initial model.
        clients: how many there are.
        sampled: share of them that takes part in a round.
        evaluated: share of them that evaluates.
        downlink: as of `DecodeUpdates`.
        initial: whether clients make the initial model themselves.
        mean_alone: as of `DecodeUpdates`.
        momentum: of the clients' momentum correction; None for error feedback.
        steps_ahead: whether clients train from the model plus a share of what they owe.
        keeps_session: share of the server's deaths after which its session is known again.
    """

    scheme: Scheme
    model: Callable[[], Arrays] = plain
    clients: int = 6
    sampled: float = 1.0
    evaluated: float = 0.0
    downlink: Scheme | Lossless | None = None
    initial: bool = False
    mean_alone: bool | None = None
    momentum: float | None = None
    steps_ahead: bool = False
    keeps_session: float = 0.7

    def made_by_clients(self, context: Context) -> Any:
        """The initial model as clients make it; client 1 makes another one, and client 2 none."""
        client = int(context.node_config["partition-id"])
        if client == 2:
            raise OSError("no such file")
        return {name: array + (client == 1) for name, array in self.model().items()}


SETTINGS = {
    "surp": Setting(SuRP(budget=50, memory=_EVERY_ROUND), keeps_session=1.0),
    "surp, steps ahead": Setting(SuRP(budget=40), clients=10, sampled=0.4, steps_ahead=True),
    "surp, batch normalization": Setting(SuRP(budget=240, memory=_EVERY_ROUND), normalized),
    "surp, downlink": Setting(
        SuRP(budget=50, memory=_EVERY_ROUND), clients=8, sampled=0.6, evaluated=0.5, downlink=SuRP(budget=150)
    ),
    "surp, downlink, initial": Setting(
        SuRP(budget=240, memory=_EVERY_ROUND), normalized, sampled=0.7, downlink=SuRP(budget=300), initial=True
    ),
    "surp, lossless, initial": Setting(
        SuRP(budget=60, memory=_EVERY_ROUND),
        evaluated=0.5,
        downlink=LOSSLESS,
        initial=True,
        mean_alone=False,
        keeps_session=1.0,
    ),
    "dgc": Setting(DGC(budget=300, memory=MomentumCorrection(0.5)), clients=5, momentum=0.5),
    "stc": Setting(STC(budget=60), clients=5, sampled=0.6, mean_alone=False),
}
