"""What cannot work with legacy apps: the error says what was found, what was expected, and what to change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.client import Client, NumPyClient
from flwr.clientapp import ClientApp
from flwr.common import Code, FitIns, FitRes, Parameters, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import LegacyContext, SimpleClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy import (
    DifferentialPrivacyServerSideFixedClipping,
    FedAvg,
    FedAvgAndroid,
    FedMedian,
    FedXgbBagging,
    FedXgbCyclic,
    FedXgbNnAvg,
    Strategy,
)
from flwr.server.workflow import DefaultWorkflow
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg as MessageFedAvg

from surp_fl import CompressUpdates, SuRP
from surp_fl.flower.records import record_of
from surp_fl.strategies import DecodeUpdates, NoUsableReplyError
from surp_fl.strategies.legacy import DecodeLegacyUpdates
from surp_fl.strategies.legacy.client_proxies import DecodingProxy
from surp_fl.testing import InProcessGrid, as_server
from tests import flower_app
from tests.legacy_app import LegacyApp, initial, options, run

MODS: list[Any] = [CompressUpdates(SuRP(budget=400))]


def wrapped(**others: Any) -> DecodeLegacyUpdates:
    return DecodeLegacyUpdates(FedAvg(**options(**others)))


# Strategies.


@pytest.mark.parametrize("strategy", [FedXgbBagging, FedXgbCyclic, FedXgbNnAvg])
def test_trees_are_refused(strategy: Callable[[], Strategy]) -> None:
    with pytest.raises(ValueError, match=r"collects trees.*without CompressUpdates"):
        DecodeLegacyUpdates(strategy())


def test_the_format_of_android_clients_is_refused() -> None:
    with pytest.raises(ValueError, match="run FedAvgAndroid without DecodeLegacyUpdates"):
        DecodeLegacyUpdates(FedAvgAndroid())


def test_each_wrapper_names_the_other_one_for_a_strategy_of_the_other_api() -> None:
    with pytest.raises(TypeError, match=r"flwr\.server\.strategy: put it inside DecodeUpdates"):
        DecodeLegacyUpdates(MessageFedAvg())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"use DecodeLegacyUpdates from surp_fl\.strategies\.legacy"):
        DecodeUpdates(FedAvg())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="is no strategy"):
        DecodeLegacyUpdates("FedAvg")  # type: ignore[arg-type]


def test_ours_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="DecodeLegacyUpdates is inside already"):
        DecodeLegacyUpdates(wrapped())


def test_mean_alone_is_refused_for_strategies_that_are_no_fedavg() -> None:
    inner = DifferentialPrivacyServerSideFixedClipping(FedAvg(), 0.01, 1.0, 4)
    with pytest.raises(ValueError, match="leave mean_alone out"):
        DecodeLegacyUpdates(inner, mean_alone=True)


def test_a_strategy_around_ours_is_told_where_ours_belongs() -> None:
    around = DifferentialPrivacyServerSideFixedClipping(wrapped(), 0.01, 1.0, 4)
    with pytest.raises(RuntimeError, match="put it outside of all other strategies"):
        run(LegacyApp(MODS).client_app(), around, rounds=1)


# App and server of different APIs, and a wrapper on one side alone.


def test_an_app_without_the_mod_is_told_to_add_it() -> None:
    with pytest.raises(NoUsableReplyError, match=r"the app did not find the model.*as the first mod"):
        run(LegacyApp([]).client_app(), wrapped(), rounds=1)
    with pytest.raises(NoUsableReplyError, match=r"the client does not compress; give its app ClientApp\(mods="):
        run(LegacyApp([]).client_app(), DecodeLegacyUpdates(FedAvg(**options()), packed=False), rounds=1)


def test_an_app_of_the_message_api_is_told_to_use_the_other_wrapper() -> None:
    with pytest.raises(NoUsableReplyError, match=r"finds no record 'config'.*starts DecodeUpdates"):
        run(flower_app.app_with(MODS), wrapped(), rounds=1)

    app = ClientApp(mods=MODS)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        arrays = next(iter(message.content.array_records.values()))
        return Message(RecordDict({"arrays": arrays}), reply_to=message)

    with pytest.raises(NoUsableReplyError, match=r"expected 'fitres\.parameters'.*starts DecodeUpdates"):
        run(app, wrapped(), rounds=1)


def test_a_legacy_app_with_the_wrapper_of_the_message_api_is_told_to_use_the_other_one() -> None:
    strategy = DecodeUpdates(flower_app.fedavg())
    with as_server(), pytest.raises(NoUsableReplyError, match=r"client_fn.*the strategy DecodeLegacyUpdates"):
        strategy.start(
            grid=InProcessGrid(LegacyApp(MODS).client_app(), 3),
            initial_arrays=record_of(flower_app.initial()),
            num_rounds=1,
        )


def test_a_key_error_of_the_app_itself_stays_as_it_is() -> None:
    def learn(*_: Any) -> Any:
        raise KeyError("learning-rate")

    with pytest.raises(NoUsableReplyError) as caught:
        run(LegacyApp(MODS, learn).client_app(), wrapped(), rounds=1)
    assert "KeyError: 'learning-rate'" in str(caught.value)
    assert "DecodeUpdates" not in str(caught.value).split("KeyError", 1)[0]


def test_a_legacy_strategy_without_the_wrapper_is_an_error_of_the_client_that_names_it() -> None:
    failures: list[Any] = []

    class Noting(FedAvg):
        def aggregate_fit(self, server_round: int, results: Any, failed: Any) -> Any:
            failures.extend(failed)
            return super().aggregate_fit(server_round, results, failed)

    run(LegacyApp(MODS).client_app(), Noting(**options()), rounds=1)
    assert len(failures) == 4
    assert "DecodeLegacyUpdates(...), from surp_fl.strategies.legacy, around it" in str(failures[0])


def test_the_default_workflow_is_refused_on_both_ends() -> None:
    """It sends what it likes: without our directives, which clients refuse; other clients' replies come undecoded."""
    app = ServerApp()
    reasons: list[str] = []

    def note(reply: Message) -> Message:
        reasons.append(str(reply.error.reason) if reply.has_error() else "")
        return reply

    @app.main()
    def main(grid: Any, context: Context) -> None:
        legacy = LegacyContext(context, strategy=wrapped(), client_manager=SimpleClientManager())
        DefaultWorkflow()(grid, legacy)

    for mods, came in ((MODS, "0 replies and 4 failures"), ([], "4 replies and 0 failures")):
        grid = InProcessGrid(LegacyApp(mods).client_app(), 4, fault=note)
        with as_server(), pytest.raises(RuntimeError, match=rf"{came} came past.*DefaultWorkflow does not"):
            app(grid, Context(1, 1, {}, RecordDict(), {}))
    assert "calls DefaultWorkflow cannot decode either: return ServerAppComponents" in reasons[0]


# Servers and proxies.


class OtherProxy(ClientProxy):
    """As that of start_server and start_simulation: it has no grid."""

    def get_properties(self, *_: Any) -> Any: ...
    def get_parameters(self, *_: Any) -> Any: ...
    def fit(self, *_: Any) -> Any: ...
    def evaluate(self, *_: Any) -> Any: ...
    def reconnect(self, *_: Any) -> Any: ...


def test_a_client_behind_another_proxy_is_refused() -> None:
    manager = SimpleClientManager()
    for cid in "abcd":
        manager.register(OtherProxy(cid))
    with pytest.raises(TypeError, match=r"behind a OtherProxy.*`flwr run`.*in place of start_server"):
        wrapped().configure_fit(1, ndarrays_to_parameters(initial()), manager)


def configured(strategy: DecodeLegacyUpdates) -> tuple[DecodingProxy, FitIns]:
    class Proxy(OtherProxy):
        node_id = 1
        grid = InProcessGrid(LegacyApp(MODS).client_app(), 1)

    manager = SimpleClientManager()
    manager.register(Proxy("1"))
    with as_server():
        ((proxy, ins),) = strategy.configure_fit(1, ndarrays_to_parameters(initial()), manager)
    assert isinstance(proxy, DecodingProxy)
    return proxy, ins


def test_a_server_that_reads_a_reply_itself_is_told_why_it_cannot() -> None:
    proxy, ins = configured(wrapped(nodes=1))
    with as_server():
        answer = proxy.fit(ins, None, 1)
    with pytest.raises(RuntimeError, match=r"read before it was decoded.*hand the results of its clients"):
        parameters_to_ndarrays(answer.parameters)


def test_a_server_that_changes_the_model_of_an_instruction_is_refused() -> None:
    proxy, _ = configured(wrapped(nodes=1))
    with as_server(), pytest.raises(RuntimeError, match="another model than the strategy configured"):
        proxy.fit(FitIns(ndarrays_to_parameters(initial()), {"round": 1}), None, 1)


def test_a_server_may_change_the_config_of_an_instruction() -> None:
    made = LegacyApp(MODS)

    class Proxy(OtherProxy):
        node_id = 1
        grid = InProcessGrid(made.client_app(), 1)

    manager = SimpleClientManager()
    manager.register(Proxy("1"))
    with as_server():
        ((proxy, ins),) = wrapped(nodes=1).configure_fit(1, ndarrays_to_parameters(initial()), manager)
        proxy.fit(FitIns(ins.parameters, {"round": 5}), None, 1)
    assert made.configs == [{"round": 5}]


# Models and replies.


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (Parameters([], "numpy.ndarray"), "the model has no arrays.*initial_parameters"),
        (Parameters([b"abc"], "torch"), r"type 'torch'; expected 'numpy\.ndarray'"),
        (Parameters([b"abc"], "numpy.ndarray"), r"array 0 of the model cannot be read.*ndarrays_to_parameters"),
    ],
)
def test_a_model_that_is_no_list_of_numpy_arrays_is_refused(parameters: Parameters, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(LegacyApp(MODS).client_app(), wrapped(initial_parameters=parameters), rounds=1)


def test_a_client_that_replies_with_another_status_than_ok_is_an_error_that_quotes_it() -> None:
    class Refusing(Client):
        def fit(self, ins: FitIns) -> FitRes:
            return FitRes(Status(Code.FIT_NOT_IMPLEMENTED, "no data"), Parameters([], "numpy.ndarray"), 0, {})

    app = ClientApp(client_fn=lambda context: Refusing(), mods=MODS)
    with pytest.raises(NoUsableReplyError, match=r"status 3 \('no data'\); expected 0, OK"):
        run(app, wrapped(), rounds=1)


def test_a_model_with_other_arrays_than_the_one_received_is_refused() -> None:
    with pytest.raises(NoUsableReplyError, match=r"is not the model it received.*missing \['5'\]"):
        run(LegacyApp(MODS, lambda model, *_: model[:5]).client_app(), wrapped(), rounds=1)


def test_a_metric_under_a_name_of_ours_is_refused() -> None:
    class Naming(NumPyClient):
        def fit(self, parameters: Any, config: Any) -> Any:
            return parameters, 1, {"surp-fl:loss": 1.0}

    app = ClientApp(client_fn=lambda context: Naming().to_client(), mods=MODS)
    with pytest.raises(NoUsableReplyError, match="rename the metric"):
        run(app, wrapped(), rounds=1)


def test_an_evaluation_reply_that_cannot_be_read_is_one_failure() -> None:
    failures: list[Any] = []

    class Noting(FedMedian):
        def aggregate_evaluate(self, server_round: int, results: Any, failed: Any) -> Any:
            failures.append((len(results), [str(each) for each in failed]))
            return super().aggregate_evaluate(server_round, results, failed)

    def strip(reply: Message) -> Message:
        if reply.metadata.message_type == "evaluate" and reply.metadata.src_node_id == 2:
            del reply.content["evaluateres.loss"]
        return reply

    run(LegacyApp(MODS).client_app(), DecodeLegacyUpdates(Noting(**options())), rounds=1, fault=strip)
    ((results, (failed,)),) = failures
    assert results == 3
    assert "expected that of a legacy client" in failed


def test_examples_that_are_no_number_cost_one_reply() -> None:
    from surp_fl.flower.protocol import EXAMPLES, NAME

    def lie(reply: Message) -> Message:
        if reply.metadata.message_type == "train" and reply.metadata.src_node_id == 2:
            reply.content.config_records[NAME][EXAMPLES] = "many"
        return reply

    strategy = wrapped()
    done = run(LegacyApp(MODS).client_app(), strategy, rounds=1, fault=lie)
    assert strategy.traffic[0].failures == 1
    assert np.array_equal(done.model[5], 30)
