"""Warns once where compression keeps a model from learning: messages that hold next to nothing, or a rising loss.

Two signs, both read off what clients report beside their messages (`surp_fl.flower.records.Stats`):

1. *Next to nothing is sent.* In its last `MESSAGES` messages, a client sent less than `LEAST_SENT` of what its training
   changed, as the mean of ‖sent‖ / ‖delta‖; no message held a tenth of the squared norm of what it wanted to send; and
   its residual never shrank. With error feedback, ‖sent‖ grows with the residual until as much is sent as is learned,
   which is why the relative error alone tells nothing: it is 0.99 in runs of LeNet-5 that end at 99 % accuracy.
2. *The loss rises.* The training loss that clients report with their last messages is `LOSS_RISE` times that of their
   first ones, and messages hold less than `LOSSY` of the squared norm: late updates make a training diverge that
   converges without compression. Each client is compared with itself, as clients' losses differ. The server cannot know
   what the loss would be without compression; the warning says so.

`LEAST_SENT` was set between runs that learn and runs that do not, by the least mean of five messages in a row of any
client, seed 0. The committed settings of `simulations/results`, LeNet-5 on MNIST, at 218 bytes: 0.54 IID and 0.56
Dirichlet (36 rounds), 0.48 IID and 0.44 Dirichlet with 3 of 10 clients (100 rounds), 0.64 in the quickstart (20
rounds); at 80 bytes 0.42 IID (7 rounds) and 0.36 Dirichlet with 3 of 10 (20 rounds). It is least in the first rounds,
when residuals are small. LoRA factors of a small transformer (as in `tests/lora.py`, in several sizes) at 218 bytes:
0.09 with 442,368 parameters and 0.2 with 110,592, which make less than a tenth of the progress of dense messages; 0.55
with 23,040, which make a third of it. PaperSuRP at 218 bytes is between them: 0.23 in the quickstart, which ends 13
points below SuRP, and is warned about. `LOSS_RISE` is above what the mean losses of consecutive rounds differ by in
these LoRA runs without a trend (less than 1 %), and below the 4.6 % of a loss that rises from 6.5 to 6.8. `LOSSY` is
above the shares at which least squares diverge that converge without compression (0.4 to 0.6:
`tests/strategies/test_learning.py`).

Knows figures. Does not know messages.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean, median
from typing import Any

from surp_fl.codecs.surp.scheme import SMALLEST_BUDGET
from surp_fl.flower.records import Stats

log = logging.getLogger("flwr")

MESSAGES = 5  # of one client
LEAST_SENT = 0.3
TENTH = 0.1  # of ‖wanted‖²
LOSSES = 3  # of a client, the first and the last ones, whose means are compared
LOSS_RISE = 1.03
LOSSY = 0.9  # of ‖wanted‖²; what holds more is hardly late
_OTHER_LOSSES = ("val", "test", "eval")  # in names of metrics: not the training loss


@dataclass(frozen=True)
class SentMessage:
    """What is known of a client's message.

    Attributes:
        sent: ‖sent‖ / ‖delta‖.
        held: share of ‖wanted‖² that the message holds.
        residual_norm: ‖residual‖ after it.
        tenth_bytes: bytes that would hold a tenth of ‖wanted‖²: at this message's bytes for a coordinate; or, if it
            has less than a bit for each, as rank-one terms have, at its bytes for a share of ‖wanted‖². Infinite if it
            holds none.
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
        held = max(0.0, 1 - relative_error**2)
        if coordinates <= 8 * payload:
            tenth_bytes = payload * tenth / max(1, coordinates)
        else:
            tenth_bytes = payload * TENTH / held if held else math.inf
        return cls(sent_norm / update_norm, held, residual_norm, tenth_bytes)


def says_next_to_nothing(messages: list[SentMessage]) -> bool:
    """The first sign: whether one client's last messages hold next to nothing, and its residual never shrank."""
    grows = all(before.residual_norm <= after.residual_norm for before, after in pairwise(messages))
    little = fmean(each.sent for each in messages) < LEAST_SENT and max(each.held for each in messages) < TENTH
    return grows and little


@dataclass
class Losses:
    """The first and the last training losses of one client, up to `LOSSES` each; they do not overlap."""

    first: list[float] = field(default_factory=list)
    last: deque[float] = field(default_factory=lambda: deque(maxlen=LOSSES))

    def add(self, loss: float) -> None:
        """Add the loss of one more message."""
        (self.first if len(self.first) < LOSSES else self.last).append(loss)


def ends_of(losses: Iterable[Losses]) -> tuple[float, float] | None:
    """Means of the first and of the last losses, over the clients that have all of them; None if none has."""
    known = [each for each in losses if len(each.last) == LOSSES]
    if not known:
        return None
    return fmean(loss for each in known for loss in each.first), fmean(loss for each in known for loss in each.last)


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
        self._losses: dict[int, Losses] = {}  # by node id
        self._round: list[SentMessage] = []  # of this round
        self._warned = False

    def observe(self, node: int, message: SentMessage | None, loss: float | None) -> None:
        """Observe one usable reply.

        Args:
            node: id of the sender.
            message: what is known of its message; None for nothing.
            loss: as the client reports it; None if it does not.
        """
        if loss is not None and math.isfinite(loss):
            self._losses.setdefault(node, Losses()).add(loss)
        if message is not None:
            self._round.append(message)
            self._messages.setdefault(node, deque(maxlen=MESSAGES)).append(message)

    def end_round(self, dense_bytes: int) -> None:
        """Judge, after the last reply of a round.

        Args:
            dense_bytes: of a message that holds every coordinate.
        """
        seen, self._round = self._round, []
        if self._warned or not seen:
            return
        known = [list(each) for each in self._messages.values() if len(each) == MESSAGES]
        silent = [each for each in known if says_next_to_nothing(each)]
        held = fmean(each.held for each in seen)
        if silent:
            messages = [message for each in silent for message in each]
            rest = (
                "their residuals never shrank" if any(each.residual_norm for each in messages) else "the rest is lost"
            )
            self._warn(
                f"messages hold next to nothing of what clients learn: {len(silent)} of {len(known)} clients sent "
                f"{fmean(each.sent for each in messages):.0%} of what training changed (L2 norms, mean of {MESSAGES} "
                f"messages), and {rest}; the model learns slowly or not at all",
                send_more(messages, dense_bytes),
            )
        elif (ends := ends_of(self._losses.values())) and ends[1] > LOSS_RISE * ends[0] > 0 and held < LOSSY:
            more = f", or send more: {send_more(seen, dense_bytes)}" if held < TENTH else ""
            self._warn(
                f"clients' training loss rose from {ends[0]:.3g} (their first {LOSSES} messages) to {ends[1]:.3g} "
                f"(their last {LOSSES}), with {held:.2g} of the squared norm in a message",
                "if it falls without compression, updates arrive too late: lower the learning rate, warm it up, clip "
                f"gradients{more}",
            )

    def _warn(self, found: str, cure: str) -> None:
        self._warned = True
        log.warning("surp-fl: %s: %s", found, cure)


def send_more(messages: list[SentMessage], dense_bytes: int) -> str:
    """Say which budget would hold a tenth of what clients want to send, from what their messages took."""
    needed = median(each.tenth_bytes for each in messages)
    held = fmean(each.held for each in messages)
    if needed < dense_bytes:
        budget = max(rounded_up(needed), SMALLEST_BUDGET)
        cure = f"CompressUpdates(SuRP(budget={budget})) would send about a tenth"
    else:
        cure = "CompressUpdates(Dense()) would send all of it"
    return f"a message holds {100 * held:.2g} % of the squared norm; {cure}"


def rounded_up(figure: float) -> int:
    """A number of bytes, rounded up to two digits.

    >>> rounded_up(16_208.3), rounded_up(7.5)
    (17000, 8)
    """
    unit = int(10.0 ** max(0, math.floor(math.log10(max(1.0, figure))) - 1))
    return math.ceil(figure / unit) * unit
