"""Rounds of a federation in which clients, network, clocks and the server itself fail; every round is checked.

The server saves its model after every round, and in some runs what identifies its session as well. When it is killed,
a new strategy goes on from what was saved.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flwr.app import ArrayRecord
from flwr.serverapp.strategy import FedAvg

from surp_fl import CompressUpdates
from surp_fl.flower.records import arrays_of, record_of
from surp_fl.strategies import DecodeUpdates
from surp_fl.testing import as_server
from tests.chaos.checks import check_model, check_received
from tests.chaos.clock import patched
from tests.chaos.grid import ChaosGrid, ServerKilled
from tests.chaos.ledger import Broken, Ledger
from tests.chaos.models import Arrays, trained
from tests.chaos.settings import Setting
from tests.chaos.troubles import NOTHING, Troubles

Progress = Callable[[int, "Federation"], None]
_PATIENCE = 10  # failed rounds in a row; two in a hundred fail


@dataclass
class Federation:
    """One run of a setting.

    Args:
        setting: what is run.
        rounds: how many.
        seed: of the troubles.
        allowed: names of troubles; None for all.

    Attributes:
        server_round: rounds that are done, over all servers.
    """

    setting: Setting
    rounds: int
    seed: int
    allowed: frozenset[str] | None = None
    server_round: int = 0
    models: list[Arrays] = field(default_factory=list)  # the last two

    def __post_init__(self) -> None:
        self.troubles = Troubles(self.seed, self.allowed)
        self.model = self.setting.model()
        self.ledger = Ledger(trained(self.model).size, self.setting.momentum)
        self._session: bytes | None = None  # saved with the model
        self._resumed: bytes | None = None  # that the next server goes on with

    def run(self, progress: Progress = lambda server_round, federation: None) -> None:
        """Run all rounds.

        Raises:
            Broken: a promise does not hold; the message has the seed, the round, and what happened.
        """
        random.seed(self.seed)  # Flower samples with it
        logging.getLogger("flwr").setLevel(logging.CRITICAL)
        self._progress = progress
        with as_server(), patched() as clock:
            mods: list[Any] = [CompressUpdates(self.setting.scheme, initial=self._initial())]
            self.grid = ChaosGrid(mods, self.setting.clients, self.troubles, self.ledger, clock)
            while self.server_round < self.rounds:
                try:
                    self._serve()
                except ServerKilled as death:
                    self._resume(str(death))
                except Exception as fault:
                    raise Broken(f"{self._where()}: {fault}") from fault

    def _initial(self) -> Any:
        return self.setting.made_by_clients if self.setting.initial else None

    def _serve(self) -> None:
        """A server's life: the rounds that are left, from the saved model."""
        setting = self.setting
        inner = FedAvg(
            fraction_train=setting.sampled,
            min_train_nodes=2,
            fraction_evaluate=setting.evaluated,
            min_evaluate_nodes=2 if setting.evaluated else 0,
            min_available_nodes=3,
        )
        self.strategy = DecodeUpdates(
            inner,
            mean_alone=setting.mean_alone,
            patience=_PATIENCE,
            downlink=setting.downlink,
            initial=setting.model if setting.initial else None,
        )
        if self._resumed is not None:
            self.strategy.resume_session(self._resumed, record_of(self.model))
            self._resumed = None
        self.strategy.start(
            grid=self.grid,
            initial_arrays=record_of(self.model),
            num_rounds=self.rounds - self.server_round,
            evaluate_fn=self._after_round,
        )

    def _after_round(self, number: int, record: ArrayRecord) -> None:
        """Check a round, save, and let things happen before the next one; number 0 is the start of a server."""
        grid, after = self.grid, arrays_of(record)
        if number:
            check_model(self.model, after, grid.arrived)
            received = grid.received.pop(grid.server_round, set())
            if not self.setting.steps_ahead:
                check_received(received, self.model, self.setting.downlink in (None, "lossless"))
            for each in grid.arrived:
                self.ledger.apply(each.said)
            self.ledger.check(grid.nodes())
            if grid.kill == "killed before it saves":
                raise ServerKilled(grid.kill)
            self.server_round += 1
            self.model = after
            self._session = self.strategy.saved_session()
            self.ledger.server_saves()
            grid.between_rounds()
            self._progress(self.server_round, self)
        self._begin_round(first=not number)

    def _begin_round(self, first: bool) -> None:
        self.grid.arrived, self.grid.server_round = [], self.grid.server_round + 1
        self.troubles.begin_round([client.number for client in self.grid.clients.values()], first)
        self.grid.kill = self.troubles.of_the_server() if self.server_round < self.rounds else NOTHING

    def _resume(self, death: str) -> None:
        """A new server goes on from the saved model, with its session or without."""
        with_session = self._session is not None and self.troubles.random.random() < self.setting.keeps_session
        self.troubles.note("resumed with session" if with_session else "resumed without session", death)
        self._resumed = self._session if with_session else None
        if not with_session:
            self._session = None
        self.ledger.server_resumes(with_session, self.grid.nodes())

    def _where(self) -> str:
        log = "\n  ".join(self.troubles.log)
        return f"seed {self.seed}, round {self.server_round + 1}, after\n  {log}\n"
