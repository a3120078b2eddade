"""What goes wrong, chosen by a seeded generator. Knows names of troubles alone."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

NOTHING = "nothing"

# A client's train message; the figures are weights. About half of all messages meet with nothing.
OF_MESSAGES = {
    NOTHING: 50,
    "killed before training": 5,  # no reply
    "app raises": 4,  # an error reply
    "paused": 4,  # handles the message when the next one comes; nobody waits for that reply any more
    "reply lost": 6,
    "killed before it saved": 4,  # neither state nor reply
    "state not saved": 4,  # the reply arrives
    "disk full": 4,  # writing raises: an error reply
    "twice": 5,
    "late": 4,  # arrives in the next round, in which nobody asks for it
    "damaged": 5,  # one bit
    "cut": 3,
    "clock jumps": 4,  # while it trains
}
OF_EVALUATIONS = {NOTHING: 85, "killed before training": 5, "app raises": 5, "reply lost": 5}

# Once a round.
BETWEEN = {
    NOTHING: 76,
    "state lost": 4,
    "older state": 6,
    "another node without a state": 3,
    "another node with its state": 3,
    "leaves": 3,
    "joins": 3,
    "clock jumps": 2,
}
OF_THE_SERVER = {NOTHING: 95, "killed before it sends": 2, "killed with replies": 2, "killed before it saves": 1}
OF_STATES = {"state lost", "older state", "another node without a state", "another node with its state"} | {
    "killed before it saved",
    "state not saved",
}
_WITH_STATE = 3  # every third client, from 0 on, keeps its state: of these nothing at all may be lost
_ALL_FAIL = 0.02  # of the rounds: no client is spared
_JUMP = 2 * 86_400.0  # seconds, forwards or backwards; messages live for half a day


@dataclass
class Troubles:
    """Draws what goes wrong.

    Args:
        seed: of the generator; the same one gives the same troubles.
        allowed: names of troubles; None for all.
    """

    seed: int
    allowed: frozenset[str] | None = None
    happened: Counter[str] = field(default_factory=Counter)
    log: list[str] = field(default_factory=list)  # of this round and the one before
    _spared: frozenset[int] = frozenset()  # clients that nothing happens to in this round

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def begin_round(self, clients: list[int], first: bool) -> None:
        """A round begins: one client is spared, in some rounds none, and in the first of a server's all are.

        Without a usable reply in its first round a server ends, because then the set-up is wrong.
        """
        self.log = self.log[-40:]
        some = [self.random.choice(clients)] if self.random.random() > _ALL_FAIL else []
        self._spared = frozenset(clients if first else some)

    def of_message(self, client: int, evaluation: bool = False) -> str:
        """What happens to a message to a client, or to its reply."""
        what = self._draw(OF_EVALUATIONS if evaluation else OF_MESSAGES)
        return self.note(NOTHING if client in self._spared else self._safe(client, what), f"client {client}")

    def between(self, client: int) -> str:
        """What happens to a client between two rounds."""
        return self.note(self._safe(client, self._draw(BETWEEN)), f"then client {client}")

    @staticmethod
    def _safe(client: int, what: str) -> str:
        return NOTHING if client % _WITH_STATE == 0 and what in OF_STATES else what

    def of_the_server(self) -> str:
        """Where the server is killed in this round."""
        return self.note(self._draw(OF_THE_SERVER), "the server")

    def jump(self) -> float:
        """Seconds by which a clock jumps."""
        return self.random.uniform(-_JUMP, _JUMP)

    def note(self, what: str, whom: str) -> str:
        """Count a trouble, and log it."""
        if self.allowed is not None and what not in self.allowed:
            what = NOTHING
        self.happened[what] += 1
        if what != NOTHING:
            self.log.append(f"{whom}: {what}")
        return what

    def _draw(self, weights: dict[str, int]) -> str:
        return self.random.choices(list(weights), list(weights.values()))[0]
