"""What the errors of the server's side advise is followed, and works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import fixedclipping_mod
from flwr.server.strategy import FedAvg as OldFedAvg
from flwr.serverapp import Grid
from flwr.serverapp.strategy import (
    DifferentialPrivacyClientSideFixedClipping,
    DifferentialPrivacyServerSideFixedClipping,
    FedAvg,
    FedXgbCyclic,
    Krum,
    Strategy,
)

from surp_fl import STC, CompressUpdates, NoMemory, SuRP
from surp_fl.flower.records import arrays_of, record_of
from surp_fl.strategies import DecodeUpdates, NoUsableReplyError
from surp_fl.strategies.legacy import DecodeLegacyUpdates
from tests import legacy_app
from tests.flower_app import Arrays, app_with, learn, needs_scalars, run

SURP = CompressUpdates(SuRP(budget=100))
FORGETFUL = CompressUpdates(SuRP(budget=100, memory=NoMemory()))
OTHER = STC(budget=100)
APP = app_with([SURP])
ALL: dict[str, Any] = {"min_train_nodes": 3, "min_available_nodes": 3, "fraction_evaluate": 0.0}


def private(inner: Strategy) -> Strategy:
    return DifferentialPrivacyServerSideFixedClipping(inner, 0.01, 1e3, 3)


def private_clients() -> Strategy:
    return DifferentialPrivacyClientSideFixedClipping(FedAvg(**ALL), 0.01, 1.0, 3)


class Sending(FedAvg):
    """Sends something beside the model."""

    extra: Callable[[], Any]

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> Any:
        messages = list(super().configure_train(server_round, arrays, config, grid))
        for message in messages:
            message.content = RecordDict({**message.content, "extra": self.extra()})
        return messages


class SendingArrays(Sending):
    def extra(self) -> ArrayRecord:
        return record_of({"mask": np.ones(3)})


class SendingBytes(Sending):
    def extra(self) -> ConfigRecord:
        return ConfigRecord({"mask": np.ones(3).tobytes()})


class PerNode(FedAvg):
    """Sends a different model to each node."""

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> Any:
        messages = list(super().configure_train(server_round, arrays, config, grid))
        for message in messages:
            model = arrays_of(arrays)
            model["bias"] += np.float32(message.metadata.dst_node_id)
            message.content = RecordDict({**message.content, "arrays": record_of(model)})
        return messages


def reporting(metrics: Callable[[float], dict[str, Any]]) -> ClientApp:
    """An app whose clients report metrics of their own, as a function of what they trained."""

    def reply(arrays: Arrays) -> RecordDict:
        mine = MetricRecord(metrics(float(arrays["weight"][0, 0])))
        return RecordDict({"arrays": record_of(arrays), "metrics": mine})

    return app_with([SURP], reply=reply)


def by_node(arrays: Arrays, node: int, server_round: int) -> Arrays:
    trained = learn(arrays, node, server_round)
    trained["weight"][0, 0] = node
    return trained


def of_trees() -> ClientApp:
    """An app of clients that reply with something that is no model of arrays that are trained."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Any) -> Message:
        tree = record_of({"0": np.frombuffer(b'{"a": "tree"}', np.uint8)})
        return Message(RecordDict({"arrays": tree, "metrics": MetricRecord({"num-examples": 1})}), reply_to=message)

    return app


class Case(NamedTuple):
    """An error and its advice.

    Attributes:
        fails: what is done wrong.
        error: type of the error.
        says: expression that its text matches.
        advised: what the text advises instead; gives the wrapper, if there is one.
    """

    fails: Callable[[], Any]
    error: type[Exception]
    says: str
    advised: Callable[[], Any]


def through(strategy: Strategy, app: ClientApp = APP, **options: Any) -> Strategy:
    result = run(app, strategy, rounds=2, **options).result
    assert len(result.arrays)
    return strategy


def through_legacy(strategy: DecodeLegacyUpdates) -> DecodeUpdates:
    legacy_app.run(legacy_app.LegacyApp([SURP]).client_app(), strategy, rounds=2)
    return strategy.decoder


CASES = {
    "an older strategy": Case(
        lambda: DecodeUpdates(OldFedAvg()),  # type: ignore[arg-type]
        TypeError,
        r"use DecodeLegacyUpdates from surp_fl\.strategies\.legacy",
        lambda: through_legacy(DecodeLegacyUpdates(OldFedAvg(**legacy_app.options()))),
    ),
    "trees": Case(
        lambda: DecodeUpdates(FedXgbCyclic()),
        ValueError,
        "run FedXgbCyclic without it, and its clients without CompressUpdates",
        lambda: through(FedXgbCyclic(fraction_evaluate=0.0), of_trees()),
    ),
    "twice": Case(
        lambda: DecodeUpdates(private(DecodeUpdates(FedAvg(**ALL)))),
        ValueError,
        "DecodeUpdates is inside already.*outside of everything, once",
        lambda: through(DecodeUpdates(private(FedAvg(**ALL)))),
    ),
    "another strategy around": Case(
        lambda: through(private(DecodeUpdates(FedAvg(**ALL)))),
        RuntimeError,
        r"put DecodeUpdates outside, as in DecodeUpdates\(DifferentialPrivacyServerSideFixedClipping\(FedAvg",
        lambda: through(DecodeUpdates(private(FedAvg(**ALL)))),
    ),
    "a mean alone": Case(
        lambda: DecodeUpdates(private(FedAvg(**ALL)), mean_alone=True),
        ValueError,
        "leave mean_alone out",
        lambda: through(DecodeUpdates(private(FedAvg(**ALL)))),
    ),
    "a downlink": Case(
        lambda: DecodeUpdates(FedAvg(**ALL), downlink=2000),  # type: ignore[arg-type]
        TypeError,
        r"downlink is 2000; expected a scheme, as in downlink=SuRP\(budget=2000\)",
        lambda: through(DecodeUpdates(FedAvg(**ALL), downlink=SuRP(budget=2000))),
    ),
    "metrics": Case(
        lambda: DecodeUpdates(FedAvg(**ALL), metrics="some"),  # type: ignore[arg-type]
        ValueError,
        "expected one of 'few', 'all', 'none', or None",
        lambda: through(DecodeUpdates(FedAvg(**ALL), metrics="few")),
    ),
    "two ArrayRecords": Case(
        lambda: through(DecodeUpdates(SendingArrays(**ALL))),
        ValueError,
        r"sends 2 ArrayRecords \(\['arrays', 'extra'\]\).*in a ConfigRecord, as bytes",
        lambda: through(DecodeUpdates(SendingBytes(**ALL))),
    ),
    "models of each node with a downlink": Case(
        lambda: through(DecodeUpdates(PerNode(**ALL), downlink=SuRP(budget=2000))),
        ValueError,
        "3 different models in one round.*leave downlink out",
        lambda: through(DecodeUpdates(PerNode(**ALL))),
    ),
    "a budget that is no number": Case(
        lambda: through(DecodeUpdates(FedAvg(**ALL), budget_for=lambda node, server_round: 99.5)),  # type: ignore[arg-type,return-value]
        TypeError,
        r"gives 99\.5 for node \d; expected a whole number of bytes",
        lambda: through(DecodeUpdates(FedAvg(**ALL), budget_for=lambda node, server_round: 99)),
    ),
    "no mod": Case(
        lambda: through(DecodeUpdates(FedAvg(**ALL)), app_with([])),
        NoUsableReplyError,
        r"did not find the model.*ClientApp\(mods=\[CompressUpdates\(\.\.\.\)\]\), as the first mod",
        lambda: through(DecodeUpdates(FedAvg(**ALL))),
    ),
    "no mod, and no packed model": Case(
        lambda: through(DecodeUpdates(FedAvg(**ALL), packed=False), app_with([])),
        NoUsableReplyError,
        r"the client does not compress; give its app ClientApp\(mods=\[CompressUpdates\(\.\.\.\)\]\), as the first mod",
        lambda: through(DecodeUpdates(FedAvg(**ALL), packed=False)),
    ),
    "a mod before ours": Case(
        lambda: through(DecodeUpdates(private_clients()), app_with([fixedclipping_mod, FORGETFUL])),
        NoUsableReplyError,
        "put CompressUpdates first",
        lambda: through(
            DecodeUpdates(private_clients()),
            app_with([FORGETFUL, fixedclipping_mod]),
        ),
    ),
    "clipping with a residual": Case(
        lambda: through(DecodeUpdates(private_clients()), app_with([SURP, fixedclipping_mod])),
        NoUsableReplyError,
        r"use memory=NoMemory\(\), or clip on the server",
        lambda: through(DecodeUpdates(private(FedAvg(**ALL)))),
    ),
    "no weight": Case(
        lambda: through(DecodeUpdates(FedAvg(**ALL)), reporting(lambda trained: {"loss": 1.0})),
        NoUsableReplyError,
        "the metric 'num-examples', its weight, is None; expected one number, 0 or up to 1e",
        lambda: through(DecodeUpdates(FedAvg(**ALL)), reporting(lambda trained: {"loss": 1.0, "num-examples": 3})),
    ),
    "another scheme": Case(
        lambda: through(DecodeUpdates(FedAvg(**ALL), scheme=SuRP(budget=100)), app_with([CompressUpdates(OTHER)])),
        NoUsableReplyError,
        "give client and server the same scheme",
        lambda: through(DecodeUpdates(FedAvg(**ALL), scheme=OTHER), app_with([CompressUpdates(OTHER)])),
    ),
}


CLIPPING = {"twice", "another strategy around", "a mean alone", "a mod before ours", "clipping with a residual"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[needs_scalars] if name in CLIPPING else []) for name in CASES]
)
def test_the_error_says_what_to_do_and_that_works(name: str) -> None:
    case = CASES[name]
    with pytest.raises(case.error, match=f"(?s){case.says}"):
        case.fails()
    strategy = case.advised()
    if isinstance(strategy, DecodeUpdates):
        assert [stats.failures for stats in strategy.traffic] == [0, 0]


def test_clients_that_report_other_metrics_are_left_out_until_all_report_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def odd(trained: float) -> dict[str, Any]:
        return {"num-examples": 1, "seen" if trained == 2 else "loss": 1.0}

    def app(metrics: Callable[[float], dict[str, Any]]) -> ClientApp:
        def reply(arrays: Arrays) -> RecordDict:
            mine = MetricRecord(metrics(float(arrays["weight"][0, 0])))
            return RecordDict({"arrays": record_of(arrays), "metrics": mine})

        return app_with([SURP], by_node, reply)

    strategy = DecodeUpdates(Krum(**ALL, num_malicious_nodes=0))
    through(strategy, app(odd))
    assert [stats.failures for stats in strategy.traffic] == [1, 1]
    advised = DecodeUpdates(Krum(**ALL, num_malicious_nodes=0))
    through(advised, app(lambda trained: {"num-examples": 1, "loss": 1.0}))
    assert [stats.failures for stats in advised.traffic] == [0, 0]
