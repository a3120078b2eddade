"""How models get to nodes: as they are, as one array, or as what changed; and again where that failed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from flwr.app import ArrayRecord, Message
from flwr.serverapp import Grid
from numpy.typing import NDArray
from surp_fl.strategies.downlink import Downlink
from surp_fl.strategies.traffic import Down

from surp_fl.client import Scheme
from surp_fl.record import arrays_of


class Delivery:
    """Replaces the models in a round's messages by what their nodes need of them.

    Args:
        scheme: of the changes; None sends whole models.
        packed: send a whole model as one array; where the strategy sends nodes different models, as they are.
    """

    def __init__(self, scheme: Scheme | None, packed: bool) -> None:
        self._downlink = Downlink(scheme) if scheme is not None or packed else None
        self._compresses = scheme is not None
        self.packed = packed
        self._grid: Grid | None = None
        self.timeout = 3600.0  # seconds, for what is sent again; Flower's default

    def public(self, messages: list[Message], grid: Grid) -> NDArray[np.float32] | None:
        """Bring the public model up to the one in the messages; None where nodes are sent that as it is.

        Raises:
            ValueError: changes are to be sent, and the messages hold different models.
        """
        self._grid = grid
        records = _records(messages)
        if self._downlink is None or len(records) != 1:
            if self._compresses and records:
                raise ValueError(
                    f"the inner strategy sends {len(records)} different models in one round, and downlink= keeps one "
                    "public model for all nodes: leave downlink out"
                )
            return None
        self._downlink.advance(next(iter(records.values())))
        return self._downlink.vector if self._compresses else None

    def fill(self, messages: list[Message]) -> Down:
        """Replace the models in the messages; give the bytes that are in each then."""
        records = _records(messages)
        if self._downlink is not None and len(records) == 1:
            return self._downlink.fill(messages)
        sizes = {key: sum(array.nbytes for array in arrays_of(record).values()) for key, record in records.items()}
        payload = [sum(sizes[id(record)] for record in message.content.array_records.values()) for message in messages]
        return Down.of(payload, messages)

    def answered(self, replies: Iterable[Message]) -> tuple[list[Message], Down]:
        """Send the whole model where changes could not be added to anything.

        Returns:
            All replies; what was sent for it.
        """
        if self._downlink is None or self._grid is None:
            return list(replies), Down([], [])
        return self._downlink.answered(replies, self._grid, self.timeout)


def _records(messages: list[Message]) -> dict[int, ArrayRecord]:
    """The different ArrayRecords in messages; those of a round usually share one."""
    return {id(record): record for message in messages for record in message.content.array_records.values()}
