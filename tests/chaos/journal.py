"""What clients and servers of a deployment write down, each in a file of its own, and the account that is made of it.

A client writes an entry for every message that it makes; a server one for every round, its saved model in it: what no
saved model holds was never applied. Knows the ledger. Does not know processes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from tests.chaos.ledger import Broken, Ledger, State, Told
from tests.chaos.models import Vector

_ROUNDING = 1e-6  # the server's replies are models: the update is what they differ in


@dataclass(frozen=True)
class Entry:
    """A message that a client made.

    Attributes:
        before: turn of the state that the client had; 0 for none.
        turn: of this message: nanoseconds, so that later ones are larger.
        applied: session round of the node's last message that was applied, as the server said.
    """

    client: int
    node: int
    session: int
    session_round: int
    applied: int
    before: int
    turn: int
    delta: Vector
    residual: Vector
    sent: Vector


@dataclass(frozen=True)
class Round:
    """A round of a server.

    Attributes:
        number: over all servers, from 1.
        nodes: whose replies were used; shape (replies,).
        updates: what was added for each; shape (replies, n).
    """

    number: int
    session: int
    session_round: int
    failures: int
    seconds: float
    nodes: list[int]
    updates: Vector


def write(folder: Path, name: str, entry: Entry | Round, **arrays: Any) -> None:
    """Write an entry; whoever reads the folder sees all of it or nothing."""
    fields = {key: value for key, value in asdict(entry).items() if isinstance(value, np.ndarray)}
    plain = {key: value for key, value in asdict(entry).items() if key not in fields}
    hidden = folder / f".{name}.npz"
    np.savez(hidden, allow_pickle=False, about=np.array(json.dumps(plain)), **fields, **arrays)
    hidden.rename(folder / f"{name}.npz")


def read(folder: Path, kind: type[Entry] | type[Round], pattern: str) -> list[Any]:
    """All entries of a kind, in the order of their names."""
    found = []
    for path in sorted(folder.glob(pattern)):
        with np.load(path) as file:
            about = json.loads(str(file["about"]))
            more = {name: file[name] for name in kind.__dataclass_fields__ if name in file.files}
            found.append(kind(**about, **more))
    return found


@dataclass(frozen=True)
class Account:
    """What the entries of a run come to.

    Attributes:
        messages: that clients made.
        applied: of these.
        older_states: messages that were made from another state than the one after the message before.
    """

    rounds: int
    messages: int
    applied: int
    older_states: int

    @classmethod
    def of(cls, folder: Path, size: int) -> Self:
        """Check all entries against the table of ledger.py.

        Raises:
            Broken: a client or the server did something else.
        """
        entries: list[Entry] = sorted(read(folder, Entry, "said-*.npz"), key=lambda each: each.turn)
        rounds: list[Round] = read(folder, Round, "round-*.npz")
        by_place = {(each.session, each.session_round, each.node): each for each in entries}
        turn_of = {(each.session, each.session_round, each.node): each.turn for each in entries}
        ledger, older, last = Ledger(size), 0, dict[int, int]()
        states = {each.turn: State(each.session, each.turn, each.residual, each.delta, each.sent) for each in entries}
        for entry in entries:
            ledger.account(entry.client).state = states.get(entry.before)
            older += entry.before != last.get(entry.client, 0)
            told = Told(entry.session, turn_of.get((entry.session, entry.applied, entry.node), -1), 0)
            ledger.made(entry.client, entry.node, told, entry.delta, (entry.residual, entry.delta, entry.sent), True)
            last[entry.client] = entry.turn
        applied = 0
        for each in rounds:
            for node, update in zip(each.nodes, each.updates, strict=True):
                said = by_place.get((each.session, each.session_round, node))
                if said is None:
                    raise Broken(f"round {each.number}: node {node} said nothing, and an update of it was applied")
                if not np.allclose(update, said.sent, atol=_ROUNDING * max(1.0, np.abs(said.sent).max())):
                    raise Broken(f"round {each.number}: what node {node} said is not what was applied")
                applied += 1
        _check_directives(entries, rounds)
        return cls(len(rounds), len(entries), applied, older)


def _check_directives(entries: list[Entry], rounds: list[Round]) -> None:
    """What a server told its nodes of applied messages is what its rounds before applied."""
    used: dict[tuple[int, int], list[int]] = {}
    for each in rounds:
        for node in each.nodes:
            used.setdefault((each.session, node), []).append(each.session_round)
    last_saved = {each.session: each.session_round for each in rounds}
    for entry in entries:
        before = [turn for turn in used.get((entry.session, entry.node), []) if turn < entry.session_round]
        if entry.session_round <= last_saved.get(entry.session, 0) + 1 and entry.applied != max(before, default=0):
            raise Broken(
                f"session round {entry.session_round}: node {entry.node} was told that its message of round "
                f"{entry.applied} was applied; it was that of {max(before, default=0)}"
            )
