"""The account of every client: what it wanted the server to add, what the model holds of that, what it still owes.

Vectors are float64, and none of the library's code keeps them. An *increment* is what one training adds to what the
client wants sent: its delta, or with momentum correction its velocity. A *message* is what the client believes it
said. What is promised, and nothing else may happen:

| what happens                                      | what the client owes afterwards                          |
| ------------------------------------------------- | -------------------------------------------------------- |
| a message is applied                              | its residual: what it wanted − what the message said     |
| a message is not applied: lost, late, damaged,    | its residual, and the message again: all that it wanted  |
| or the client was killed after it saved its state |                                                          |
| killed before it trains, or its app fails         | what it owed before                                      |
| killed while it saves, or nothing can be saved    | what it owed before: the increment of that round is lost |
| the state was not saved, its message is applied   | the residual of the older state, which holds again what  |
|                                                   | the message said; a message before it is not owed again  |
| it restarts with an older state                   | the residual of that; and that state's message, if       |
|                                                   | nothing that the client sent since then was applied      |
| it restarts without a state                       | nothing                                                  |
| it comes back as another node, with its state     | its residual, and its last message, applied or not       |
| a reply comes twice                               | the same as if it came once                              |
| the server resumes with its session               | as if what its last model does not hold never arrived    |
| the server resumes with its model alone           | nothing, any client                                      |

So for each client, after every round: Σ increments = Σ applied + owed + lost, where `lost` changes in rows of state
faults alone, and is zero for a client that had none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from tests.chaos.models import Vector

_EPS = float(np.finfo(np.float32).eps)
_ROUNDINGS = 4  # float32 operations that the identity of one round goes through
_SUM_TOLERANCE = 2e-4  # of the sums of a thousand rounds of float32 residuals; a lost message has a norm of 0.1 or more


class Broken(AssertionError):  # noqa: N818
    """A promise of the table does not hold."""


@dataclass(frozen=True)
class State:
    """What a client's stored state holds, as of one message."""

    epoch: int  # session of the server
    turn: int  # number of the message, over all clients
    residual: Vector
    velocity: Vector
    sent: Vector


@dataclass(frozen=True)
class Told:
    """What the server knew when it made a train message."""

    epoch: int
    applied_turn: int  # of the node's last message that was applied; −1 for none
    server_round: int


@dataclass(frozen=True)
class Said:
    """A message on its way."""

    client: int
    node: int
    turn: int
    sent: Vector


@dataclass
class Account:
    """The sums of one client."""

    increments: Vector
    applied: Vector
    lost: Vector
    state: State | None = None
    intact: bool = True  # had no fault of its state


@dataclass
class Ledger:
    """The accounts of all clients, and which message of each node the model holds.

    Args:
        size: of the trained arrays together.
        momentum: of momentum correction; None for error feedback.
    """

    size: int
    momentum: float | None = None
    epoch: int = 0
    turn: int = 0
    accounts: dict[int, Account] = field(default_factory=dict)
    applied_turn: dict[int, int] = field(default_factory=dict)  # by node id
    _saved: tuple[dict[int, Vector], dict[int, int]] = field(default_factory=lambda: ({}, {}))
    _since_saved: list[tuple[int, Vector]] = field(default_factory=list)  # what applying added to `lost`

    def account(self, client: int) -> Account:
        """A client's account; opened at the first call."""
        if client not in self.accounts:
            self.accounts[client] = Account(np.zeros(self.size), np.zeros(self.size), np.zeros(self.size))
        return self.accounts[client]

    def told(self, node: int, server_round: int) -> Told:
        """Note what the server knows as it makes a train message."""
        return Told(self.epoch, self.applied_turn.get(node, -1), server_round)

    def owed(self, client: int, node: int) -> Vector:
        """What a client owes, by the table."""
        state = self.account(client).state
        if state is None or state.epoch != self.epoch:
            return np.zeros(self.size)
        return state.residual + (state.sent if self.applied_turn.get(node, -1) < state.turn else 0)

    def made(
        self, client: int, node: int, told: Told, delta: Vector, after: tuple[Vector, Vector, Vector], saved: bool
    ) -> Said:
        """A client made a message: check it, and enter it.

        Args:
            client: its number.
            node: its id.
            told: what the server knew when it asked for it.
            delta: trained − received.
            after: residual, velocity and message in the client's state; without momentum, no velocity is read.
            saved: whether the client's state is saved.

        Raises:
            Broken: wanted ≠ sent + residual.
        """
        account, (residual, velocity, sent) = self.account(client), after
        before = account.state if account.state is not None and account.state.epoch == told.epoch else None
        again = before is not None and told.applied_turn < before.turn
        increment = delta
        if before is not None and self.momentum is not None:
            increment = float(np.float32(self.momentum)) * before.velocity + delta
        terms = [increment] if before is None else [increment, before.residual, *([before.sent] if again else [])]
        wanted, scale = np.sum(terms, axis=0), np.abs([*terms, sent, residual]).sum(axis=0)
        _check(wanted, sent + residual, _ROUNDINGS * _EPS * scale, f"client {client}: wanted = sent + residual")
        if self.momentum is not None:
            _check(velocity, np.where(sent == 0, increment, 0), 1e-5, f"client {client}: velocity")
        self.turn += 1
        with self._forgiving(client, node, not saved or told.epoch != self.epoch):
            account.increments = account.increments + increment
            if saved:
                account.state = State(told.epoch, self.turn, residual, velocity, sent)
        return Said(client, node, self.turn, sent)

    def apply(self, said: Said) -> None:
        """The model holds a message."""
        account = self.account(said.client)
        unsaved = account.state is None or account.state.turn != said.turn
        before = account.lost
        with self._forgiving(said.client, said.node, unsaved):
            account.applied = account.applied + said.sent
            self.applied_turn[said.node] = said.turn
        self._since_saved += [(said.client, account.lost - before)]

    def replace_state(self, client: int, node: int, state: State | None, new_node: int) -> None:
        """A client restarts: with another state, none, or as another node."""
        account = self.account(client)
        before = account.increments - account.applied - self.owed(client, node)
        account.state, account.intact = state, False
        account.lost = account.lost + account.increments - account.applied - self.owed(client, new_node) - before

    def server_saves(self) -> None:
        """The server saves its model, and with it what the model holds."""
        self._saved = ({client: each.applied for client, each in self.accounts.items()}, dict(self.applied_turn))
        self._since_saved = []

    def server_resumes(self, with_session: bool, nodes: dict[int, int]) -> None:
        """The server starts again from what it saved; `nodes` are the node ids of all clients, by their number."""
        applied, turns = self._saved
        for client, lost in self._since_saved:
            self.account(client).lost = self.account(client).lost - lost
        self._since_saved = []
        for client, account in self.accounts.items():
            account.applied = applied.get(client, np.zeros(self.size))
        self.applied_turn = dict(turns)
        if not with_session:
            for client in self.accounts:
                state = self.account(client).state
                self.replace_state(client, nodes[client], None, nodes[client])
                self.account(client).state = state  # it is there, and of no use
            self.epoch += 1
            self.applied_turn = {}

    def check(self, nodes: dict[int, int]) -> None:
        """Σ increments = Σ applied + owed + lost, for every client; nothing is lost where no state was.

        Raises:
            Broken: not so.
        """
        for client, account in self.accounts.items():
            found = account.applied + self.owed(client, nodes[client]) + account.lost
            _check(
                account.increments, found, _SUM_TOLERANCE, f"client {client}: Σ increments = Σ applied + owed + lost"
            )
            if account.intact:
                _check(account.lost, np.zeros(self.size), _SUM_TOLERANCE, f"client {client}: nothing is lost")

    @contextmanager
    def _forgiving(self, client: int, node: int, forgives: bool) -> Iterator[None]:
        """Within the context, what the table does not promise goes to `lost`."""
        account = self.account(client)
        before = account.increments - account.applied - self.owed(client, node)
        yield
        if forgives:
            account.intact = False
            account.lost = account.lost + account.increments - account.applied - self.owed(client, node) - before


def _check(one: Vector, other: Vector, tolerance: Vector | float, what: str) -> None:
    excess = np.abs(one - other) - tolerance
    if not excess.max() <= 0:
        place = int(np.argmax(excess))
        raise Broken(
            f"{what} does not hold: {one[place]:.9g} and {other[place]:.9g} at coordinate {place}, "
            f"{int((excess > 0).sum())} of {excess.size} coordinates differ by up to {np.abs(one - other).max():.3g}"
        )
