"""When a run ends because none of its replies can be used. Knows error replies. Does not know messages."""

from __future__ import annotations

import logging

from flwr.app import Message

from surp_fl.printable import printable
from surp_fl.strategies.replies import log_rejections
from surp_fl.strategies.validation import hint_for

log = logging.getLogger("flwr")

_REASONS = 5  # different reasons that the error of one round quotes


class NoUsableReplyError(RuntimeError):
    """Rounds had replies, and none of them could be used: the training diverged, or client and server do not match."""


class FailureLimit:
    """Counts rounds in a row without a usable reply, and ends the run when there are too many.

    Args:
        patience: failed rounds in a row that are tolerated once a reply was usable; before that, none is.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._failed_rounds = patience  # in a row

    def check(self, server_round: int, usable: int, errors: list[Message], packed_name: str | None) -> None:
        """Log a round's rejected replies, and count the round as failed if there are errors and nothing else.

        Args:
            server_round: counted from 1.
            usable: number of replies that were decoded.
            errors: error replies of the round.
            packed_name: name of the ArrayRecord that apps expect, where the model travels as one array; else None.

        Raises:
            NoUsableReplyError: one failed round more than is tolerated.
        """
        log_rejections(errors)
        if usable or not errors:
            self._failed_rounds = 0 if usable else self._failed_rounds
            return
        different = sorted({printable(reply.error.reason) for reply in errors})
        more = f"; and {len(different) - _REASONS} more" if len(different) > _REASONS else ""
        reasons = "; ".join(different[:_REASONS]) + more
        hint = hint_for(errors, packed_name)
        description = f"round {server_round}: none of the {len(errors)} replies could be used: {reasons}{hint}"
        if self._failed_rounds >= self._patience:
            raise NoUsableReplyError(description)
        self._failed_rounds += 1
        log.error("surp-fl: %s; the model stays as it is", description)
