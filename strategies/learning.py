"""Warns once where compression keeps a model from learning: messages that hold next to nothing, or a rising loss.

Two signs, both read off what clients report beside their messages (`surp_fl.flower.records.Stats`):

1. *Next to nothing is sent.* In its last `MESSAGES` messages, a client sent less than `LEAST_SENT` of what its training
   changed, as the mean of ‖sent‖ / ‖delta‖; no message held a tenth of the squared norm of what it wanted to send; and
   its residual never shrank. With error feedback, ‖sent‖ grows with the residual until as much is sent as is learned,
   which is why the relative error alone tells nothing: it is 0.99 in runs of LeNet-5 that end at 99 % accuracy.
2. *The loss rises.* The clients' training loss is `LOSS_RISE` above that of the first rounds, while messages hold less
   than a tenth of the squared norm. Late updates make a training diverge that converges without compression.

`LEAST_SENT` was set between runs that learn and runs that do not, by the least mean of five messages in a row of any
client, seed 0. The committed settings of `simulations/results`, LeNet-5 on MNIST (100 rounds with 3 of 10 clients, else
the first rounds, in which the figure is least): at 218 bytes 0.54 IID, 0.56 Dirichlet, 0.48 IID with 3 of 10 clients,
0.44 Dirichlet with 3 of 10, 0.64 in the quickstart; at 80 bytes 0.42 IID, and 0.36 Dirichlet with 3 of 10. LoRA
factors of a small transformer (`tests/lora.py`, in other sizes) at 218 bytes: 0.09 with 442,368 parameters and 0.21
with 110,592, which make less than a tenth of the progress of dense messages; 0.55 with 23,040, which make a third of
it. `LOSS_RISE` is above what the mean losses of consecutive rounds differ by in these runs without a trend (1 %), and
below the 4.6 % of a loss that rises from 6.5 to 6.8.

Knows figures. Does not know messages.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import Any

from surp_fl.flower.records import Stats

log = logging.getLogger("flwr")

MESSAGES = 5  # of one client
LEAST_SENT = 0.3
TENTH = 0.1  # of ‖wanted‖²
LOSS_ROUNDS = 3  # at each end, whose mean losses are compared
LOSS_RISE = 1.03
_OTHER_LOSSES = ("val", "test", "eval")  # in names of metrics: not the training loss


@dataclass(frozen=True)
class SentMessage:
    """What is known of a client's message.

    Attributes:
        sent: ‖sent‖ / ‖delta‖.
        held: share of ‖wanted‖² that the message holds.
        residual_norm: ‖residual‖ after it.
        tenth_bytes: bytes that would hold a tenth of ‖wanted‖², at this message's bytes for a coordinate.
    """

    sent: float
    held: float
    residual_norm: float
    tenth_bytes: float

    @classmethod
    def of(cls, stats: Stats, sent_norm: float, payload: int, coordinates: int) -> SentMessage | None:
        """Read a client's figures; None if one is missing, or if nothing was trained.

        Args:
            stats: reported by the client.
            sent_norm: L2 norm of the decoded update.
            payload: bytes.
            coordinates: number of nonzero values in the update.
        """
        figures = (stats.relative_error, stats.residual_norm, stats.update_norm, stats.tenth)
        relative_error, residual_norm, update_norm, tenth = figures
        if relative_error is None or residual_norm is None or not update_norm or tenth is None:
            return None
        tenth_bytes = payload * tenth / max(1, coordinates)
        return cls(sent_norm / update_norm, 1 - relative_error**2, residual_norm, tenth_bytes)


def says_next_to_nothing(messages: list[SentMessage]) -> bool:
    """The first sign: whether one client's last messages hold next to nothing, and its residual never shrank."""
    grows = all(before.residual_norm <= after.residual_norm for before, after in pairwise(messages))
    little = fmean(each.sent for each in messages) < LEAST_SENT and max(each.held for each in messages) < TENTH
    return grows and little


def rises(losses: list[float]) -> bool:
    """The second sign, without the messages: whether the mean loss of the last rounds is above that of the first."""
    if len(losses) < 2 * LOSS_ROUNDS:
        return False
    first, last = fmean(losses[:LOSS_ROUNDS]), fmean(losses[-LOSS_ROUNDS:])
    return first > 0 and last > LOSS_RISE * first


def training_loss(metrics: Mapping[str, Any]) -> float | None:
    """The training loss in an app's metrics: the first one, by name, that has "loss" in its name; None if none has."""
    for name in sorted(metrics):
        value, lower = metrics[name], name.lower()
        if "loss" in lower and not any(other in lower for other in _OTHER_LOSSES) and isinstance(value, int | float):
            return float(value)
    return None


class LearningMonitor:
    """Observes every round; warns once."""

    def __init__(self) -> None:
        self._messages: dict[int, deque[SentMessage]] = {}  # by node id, the last ones
        self._round: list[tuple[SentMessage | None, float | None]] = []  # of each reply of this round, with its loss
        self._losses: list[float] = []  # of each round that has one
        self._warned = False

    def observe(self, node: int, message: SentMessage | None, loss: float | None) -> None:
        """Observe one usable reply.

        Args:
            node: id of the sender.
            message: what is known of its message; None for nothing.
            loss: as the client reports it; None if it does not.
        """
        self._round.append((message, loss))
        if message is not None:
            self._messages.setdefault(node, deque(maxlen=MESSAGES)).append(message)

    def end_round(self, dense_bytes: int) -> None:
        """Judge, after the last reply of a round.

        Args:
            dense_bytes: of a message that holds every coordinate.
        """
        losses = [loss for _, loss in self._round if loss is not None and math.isfinite(loss)]
        self._losses += [fmean(losses)] if losses else []
        seen = [message for message, _ in self._round if message is not None]
        self._round = []
        if self._warned or not seen:
            return
        known = [list(each) for each in self._messages.values() if len(each) == MESSAGES]
        silent = [each for each in known if says_next_to_nothing(each)]
        if silent:
            self._warn(
                f"messages hold next to nothing of what clients learn: {len(silent)} of {len(known)} clients sent "
                f"{fmean(each.sent for messages in silent for each in messages):.0%} of what training changed (L2 "
                f"norms, mean of {MESSAGES} messages) and their residuals never shrank, so that the model learns "
                "slowly or not at all",
                [message for messages in silent for message in messages],
                dense_bytes,
            )
        elif rises(self._losses) and fmean(each.held for each in seen) < TENTH:
            self._warn(
                f"the clients' training loss rose from {fmean(self._losses[:LOSS_ROUNDS]):.3g} (first {LOSS_ROUNDS} "
                f"rounds) to {fmean(self._losses[-LOSS_ROUNDS:]):.3g} (last {LOSS_ROUNDS}); if it falls without "
                "compression, updates arrive too late: lower the learning rate, or send more",
                seen,
                dense_bytes,
            )

    def _warn(self, what: str, messages: list[SentMessage], dense_bytes: int) -> None:
        self._warned = True
        budget = rounded_up(median(each.tenth_bytes for each in messages))
        cure = (
            f"CompressUpdates(SuRP(budget={budget})) would send about a tenth"
            if budget < dense_bytes
            else "CompressUpdates(Dense()) would send all of it"
        )
        held = fmean(each.held for each in messages)
        log.warning("surp-fl: %s. A message holds %.2g %% of the squared norm; %s", what, 100 * held, cure)


def rounded_up(figure: float) -> int:
    """A number of bytes, rounded up to two digits.

    >>> rounded_up(16_208.3), rounded_up(7.5)
    (17000, 8)
    """
    unit = int(10.0 ** max(0, math.floor(math.log10(max(1.0, figure))) - 1))
    return math.ceil(figure / unit) * unit
