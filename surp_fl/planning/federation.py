"""A federation as it is known before it runs: its model, its clients, their links."""

from __future__ import annotations

from dataclasses import dataclass

APP_BYTES = 84_000  # the bundle of the app that was measured; most apps are smaller
LOSSLESS = 0.825  # share of a float32 model's bytes that lossless compression leaves, as in bench_lossless.md
LARGEST = 1 << 53  # of any number here: what a float holds exactly


class PlanError(ValueError):
    """A federation or a budget that cannot be; the message says what was found, what was expected, and the cure."""


@dataclass(frozen=True)
class Federation:
    """Model, clients, rounds and links. All clients are alike.

    Attributes:
        parameters: trained parameters of the model.
        model_bytes: of all arrays of the model; None for 4 a parameter.
        arrays: of the model; without surp-fl, Flower moves each with requests of its own.
        clients: all of them.
        clients_per_round: how many take part in a round; None for all.
        rounds: of the run.
        evaluate: whether the clients of a round evaluate the new model too, which is a second exchange.
        evaluate_with_train: whether surp-fl spares that exchange, as `DecodeUpdates(evaluate_with_train=True)` does.
        training_seconds: of a client in a round, with the start of the process that Flower runs it in; with the
            evaluation, if there is one.
        uplink_mbit, downlink_mbit: of each client's link, in 10⁶ bits a second.
        latency_ms: round trip between client and server, in milliseconds.
        first_model: bytes that a new client is sent before changes can follow; None for the whole model, compressed
            without loss; 0 where clients make the first model themselves.
        app_bytes: of the app's bundle, which Flower sends every client once.

    Raises:
        PlanError: a number is out of its range.
    """

    parameters: int
    model_bytes: int | None = None
    arrays: int = 8
    clients: int = 10
    clients_per_round: int | None = None
    rounds: int = 100
    evaluate: bool = False
    evaluate_with_train: bool = False
    training_seconds: float = 10.0
    uplink_mbit: float = 10.0
    downlink_mbit: float = 50.0
    latency_ms: float = 50.0
    first_model: int | None = None
    app_bytes: int = APP_BYTES

    def __post_init__(self) -> None:
        for name, least in (("parameters", 1), ("arrays", 1), ("clients", 1), ("rounds", 1), ("app_bytes", 0)):
            _check(name, getattr(self, name), least)
        for name, least in (("model_bytes", 1), ("clients_per_round", 1), ("first_model", 0)):
            if getattr(self, name) is not None:
                _check(name, getattr(self, name), least)
        if self.taking_part > self.clients:
            raise PlanError(
                f"clients_per_round = {self.taking_part}; expected at most the {self.clients} clients that there are: "
                "lower it, or raise clients"
            )
        for name in ("uplink_mbit", "downlink_mbit"):
            if not 0 < getattr(self, name) <= LARGEST:
                raise PlanError(f"{name} = {getattr(self, name)}; expected a speed above 0: give Mbit/s, such as 10")
        for name, unit in (("training_seconds", "seconds"), ("latency_ms", "milliseconds")):
            if not 0 <= getattr(self, name) <= LARGEST:
                raise PlanError(f"{name} = {getattr(self, name)}; expected a time of 0 or more: give it in {unit}")

    @property
    def taking_part(self) -> int:
        """Clients of a round."""
        return self.clients if self.clients_per_round is None else self.clients_per_round

    @property
    def whole_model(self) -> int:
        """Bytes of the model's arrays."""
        return 4 * self.parameters if self.model_bytes is None else self.model_bytes

    @property
    def packed_model(self) -> int:
        """Bytes of the model where surp-fl sends all of it."""
        return round(LOSSLESS * self.whole_model)

    @property
    def dense_message(self) -> int:
        """Bytes of the longest message: float32, and a header."""
        return 4 * self.parameters + 4

    @property
    def rounds_between(self) -> float:
        """Rounds from one turn of a client to its next, on average."""
        return self.clients / self.taking_part

    @property
    def newcomers(self) -> float:
        """Clients that take part at least once, on average: C·(1 − (1 − p)^R), with p the share of a round."""
        never = (1 - self.taking_part / self.clients) ** self.rounds
        return self.clients * (1 - never)


def _check(name: str, found: int, least: int) -> None:
    if not least <= found <= LARGEST:
        raise PlanError(f"{name} = {found}; expected a whole number from {least} to {LARGEST:,}: give one")
