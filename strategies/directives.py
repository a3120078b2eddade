"""What the server announces to one client in its train message, beside the model: protocol.py has the keys.

The client reads it with `surp_fl.flower.client_state.ServerDirectives`. Knows sessions. Does not know models.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable
from typing import Any

from flwr.app import ConfigRecord, Message, RecordDict

from surp_fl.flower.protocol import APPLIED, BUDGET, KINDS, NAME, ROUND, ROUNDS, SESSION
from surp_fl.statistics import Kinds
from surp_fl.strategies.sessions import Session

BudgetFor = Callable[[int, int], int]  # node id, server round -> bytes


def put_directives(message: Message, session: Session, budget: int | None, kinds: Kinds | None) -> None:
    """Add the directives for its node to a train message; its ArrayRecord stays shared with other messages.

    Args:
        message: as the inner strategy configured it.
        session: of this run.
        budget: bytes that the node's message may have; None announces none.
        kinds: which arrays are running statistics, where the user says so.
    """
    node = message.metadata.dst_node_id
    directives: dict[str, Any] = {ROUND: session.round, APPLIED: session.registry.applied.get(node, 0)}
    if rounds := session.registry.retained_rounds(node):  # Flower cannot count an empty list
        directives[ROUNDS] = rounds
    if kinds is not None:
        directives[KINDS] = json.dumps(dict(kinds))
    if budget is not None:
        directives[BUDGET] = budget
    configs = message.content.config_records
    name = next((name for name, config in configs.items() if SESSION in config), NAME)
    config = ConfigRecord({**configs.get(name, {SESSION: session.id}), **directives})
    message.content = RecordDict({**message.content, name: config})


def budget_of(budget_for: BudgetFor | None, node: int, server_round: int) -> int | None:
    """Bytes that a node's message may have in a round; None without `budget_for`.

    Raises:
        TypeError: `budget_for` gives no whole number.
    """
    if budget_for is None:
        return None
    budget: Any = budget_for(node, server_round)
    try:
        return operator.index(budget)
    except TypeError:
        raise TypeError(f"budget_for gives {budget!r} for node {node}; expected a whole number of bytes") from None
