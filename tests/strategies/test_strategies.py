"""Every built-in strategy that averages arrays, end to end; and errors of strategies and apps that cannot work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import LocalDpMod, adaptiveclipping_mod, fixedclipping_mod
from flwr.server.strategy import FedAvg as OldFedAvg
from flwr.serverapp.strategy import (
    Bulyan,
    DifferentialPrivacyClientSideAdaptiveClipping,
    DifferentialPrivacyClientSideFixedClipping,
    DifferentialPrivacyServerSideAdaptiveClipping,
    DifferentialPrivacyServerSideFixedClipping,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
    FedXgbBagging,
    FedXgbCyclic,
    FedYogi,
    Krum,
    MultiKrum,
    QFedAvg,
    Strategy,
)

from surp_fl import CompressUpdates, Dense, NoMemory, SuRP
from surp_fl.flower.records import record_of
from surp_fl.layout import Layout
from surp_fl.strategies import DecodeUpdates, NoUsableReplyError
from surp_fl.testing import InProcessGrid, as_server
from tests.flower_app import Arrays, Run, app_with, initial, run

NODES = 7
SURP = SuRP(100, progressive=True)
WITHOUT_DEBTS = SuRP(100, progressive=True, memory=NoMemory())  # for clipping on the client
ALL: dict[str, Any] = {
    "min_train_nodes": NODES,
    "min_evaluate_nodes": NODES,
    "min_available_nodes": NODES,
}

Make = Callable[[], Strategy]
AVERAGING: dict[str, Make] = {
    "FedAvg": lambda: FedAvg(**ALL),
    "FedProx": lambda: FedProx(**ALL, proximal_mu=0.1),
    "FedAvgM": lambda: FedAvgM(**ALL, server_momentum=0.5, server_learning_rate=0.8),
    "FedAdam": lambda: FedAdam(**ALL, eta=0.01),
    "FedAdagrad": lambda: FedAdagrad(**ALL, eta=0.01),
    "FedYogi": lambda: FedYogi(**ALL, eta=0.01),
}
EACH_MODEL: dict[str, Make] = {
    "FedMedian": lambda: FedMedian(**ALL),
    "FedTrimmedAvg": lambda: FedTrimmedAvg(**ALL),
    "QFedAvg": lambda: QFedAvg(**ALL, client_learning_rate=0.1, train_loss_key="loss"),
    "Krum": lambda: Krum(**ALL, num_malicious_nodes=1),
    "MultiKrum": lambda: MultiKrum(**ALL, num_malicious_nodes=1, num_nodes_to_select=3),
    "Bulyan": lambda: Bulyan(**ALL, num_malicious_nodes=1),
    "ServerSideFixedClipping": lambda: DifferentialPrivacyServerSideFixedClipping(FedAvg(**ALL), 0.01, 1.0, NODES),
    "ServerSideAdaptiveClipping": lambda: DifferentialPrivacyServerSideAdaptiveClipping(FedAvg(**ALL), 0.01, NODES),
    "ClientSideFixedClipping": lambda: DifferentialPrivacyClientSideFixedClipping(FedAvg(**ALL), 0.01, 1.0, NODES),
    "ClientSideAdaptiveClipping": lambda: DifferentialPrivacyClientSideAdaptiveClipping(FedAvg(**ALL), 0.01, NODES),
}
CLIPPING = {"ClientSideFixedClipping": fixedclipping_mod, "ClientSideAdaptiveClipping": adaptiveclipping_mod}


def through(name: str, strategy: Strategy, rounds: int) -> Run:
    mods: list[Any] = [CompressUpdates(WITHOUT_DEBTS), CLIPPING[name]] if name in CLIPPING else [CompressUpdates(SURP)]
    return run(app_with(mods), strategy, rounds=rounds, nodes=NODES)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*AVERAGING, *EACH_MODEL])
def test_every_strategy_trains_for_twenty_rounds_and_keeps_the_model_as_it_is(name: str) -> None:
    strategy = DecodeUpdates((AVERAGING | EACH_MODEL)[name]())
    found = through(name, strategy, rounds=20)
    assert [traffic.failures for traffic in strategy.traffic] == [0] * 20
    assert [len(traffic.payload_bytes_up) for traffic in strategy.traffic] == [NODES] * 20
    for each, array in initial().items():
        now = found.models[-1][each]
        assert (now.dtype, now.shape) == (array.dtype, array.shape)
        assert np.isfinite(now).all()
        assert not np.array_equal(now, array)
    if "Clipping" not in name:  # which adds noise to counters too
        assert found.models[-1]["batches"] == 20 * 30
    assert found.result.train_metrics_clientapp[20]["surp-fl/failures"] == 0
    assert strategy.mean_alone == (name in AVERAGING)


@pytest.mark.parametrize("name", AVERAGING)
def test_the_mean_in_pairs_is_the_mean_of_models(name: str) -> None:
    pairs, models = (
        through(name, DecodeUpdates(AVERAGING[name](), mean_alone=alone), rounds=1) for alone in (None, False)
    )
    steps = [
        Layout.of(initial()).flatten(found.models[-1]) - Layout.of(initial()).flatten(found.models[0])
        for found in (pairs, models)
    ]
    assert np.linalg.norm(steps[0]) > 0.01
    rounding = 4 * np.spacing(np.abs(Layout.of(initial()).flatten(initial())).max())  # of a sum of models
    np.testing.assert_allclose(steps[0], steps[1], atol=10 * rounding)  # adaptive steps multiply it by eta / tau
    for key in ("loss", "surp-fl/payload_bytes_up_mean"):
        assert pairs.result.train_metrics_clientapp[1][key] == pytest.approx(
            models.result.train_metrics_clientapp[1][key]
        )


def test_a_strategy_that_looks_at_each_reply_is_given_each() -> None:
    seen: list[int] = []

    class Counting(FedAvg):
        def aggregate_train(self, server_round: int, replies: Any) -> tuple[ArrayRecord | None, MetricRecord | None]:
            replies = list(replies)
            seen.append(len(replies))
            return super().aggregate_train(server_round, replies)

    class Renamed(FedAvg):
        pass

    def metrics(contents: list[RecordDict], weighted_by: str) -> MetricRecord:
        return MetricRecord({"models": sum(len(content.array_records) for content in contents)})

    run(app_with([CompressUpdates(SURP)]), DecodeUpdates(Counting(**ALL)), rounds=2, nodes=NODES)
    assert seen == [NODES, NODES]
    assert DecodeUpdates(Renamed()).mean_alone
    own = DecodeUpdates(FedAvg(**ALL, train_metrics_aggr_fn=metrics))
    found = run(app_with([CompressUpdates(SURP)]), own, rounds=1, nodes=NODES)
    assert found.result.train_metrics_clientapp[1]["models"] == NODES
    assert not own.mean_alone


def test_metrics_of_lists_are_averaged_as_flower_does() -> None:
    def reply(arrays: Arrays) -> RecordDict:
        metrics = MetricRecord({"num-examples": 2, "per-class": [1.0, 3.0]})
        return RecordDict({"arrays": record_of(arrays), "metrics": metrics})

    found = run(app_with([CompressUpdates(SURP)], reply=reply), DecodeUpdates(FedAvg(**ALL)), rounds=1, nodes=NODES)
    assert found.result.train_metrics_clientapp[1]["per-class"] == pytest.approx([1.0, 3.0])


# What cannot work is refused, with the reason and the cure.


@pytest.mark.parametrize("strategy", [FedXgbBagging, FedXgbCyclic])
def test_trees_are_refused(strategy: Callable[[], Strategy]) -> None:
    with pytest.raises(ValueError, match=r"collects trees.*without CompressUpdates"):
        DecodeUpdates(strategy())


def test_a_strategy_of_the_older_api_is_refused() -> None:
    with pytest.raises(TypeError, match=r"flwr\.server, use DecodeLegacyUpdates from surp_fl\.strategies\.legacy"):
        DecodeUpdates(OldFedAvg())  # type: ignore[arg-type]


def test_a_strategy_around_ours_is_refused() -> None:
    around = DifferentialPrivacyServerSideFixedClipping(DecodeUpdates(FedAvg(**ALL)), 0.01, 1.0, NODES)
    with pytest.raises(RuntimeError, match="put DecodeUpdates outside, as in"):
        run(app_with([CompressUpdates(SURP)]), around, rounds=1, nodes=NODES)


def test_ours_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="DecodeUpdates is inside already"):
        DecodeUpdates(DecodeUpdates(FedAvg()))


def test_mean_alone_is_refused_for_strategies_without_a_weight() -> None:
    inner = DifferentialPrivacyServerSideFixedClipping(FedAvg(**ALL), 0.01, 1.0, NODES)
    with pytest.raises(ValueError, match="leave mean_alone out"):
        DecodeUpdates(inner, mean_alone=True)


@pytest.mark.parametrize(
    "mod", [fixedclipping_mod, adaptiveclipping_mod, LocalDpMod(1.0, 1.0, 1.0, 0.1)], ids=["fixed", "adaptive", "local"]
)
def test_the_error_of_a_mod_before_ours_says_where_it_belongs(mod: Any) -> None:
    strategy = DecodeUpdates(AVERAGING["FedAvg"]())
    if mod is fixedclipping_mod or mod is adaptiveclipping_mod:
        strategy = DecodeUpdates(EACH_MODEL["ClientSideFixedClipping"]())
    with pytest.raises(NoUsableReplyError, match="put CompressUpdates first"):
        run(app_with([mod, CompressUpdates(WITHOUT_DEBTS)]), strategy, rounds=1, nodes=NODES)


def test_debts_with_clipping_on_the_client_are_refused() -> None:
    strategy = DecodeUpdates(EACH_MODEL["ClientSideFixedClipping"]())
    with pytest.raises(NoUsableReplyError, match="use memory=NoMemory"):
        run(app_with([CompressUpdates(SURP), fixedclipping_mod]), strategy, rounds=1, nodes=NODES)


def test_different_schemes_on_client_and_server_are_an_error_that_names_the_cure() -> None:
    with pytest.raises(NoUsableReplyError, match="give client and server the same scheme"):
        run(app_with([CompressUpdates(SURP)]), DecodeUpdates(FedAvg(**ALL), scheme=Dense()), rounds=1, nodes=NODES)


def test_the_error_of_a_numpy_client_says_what_to_change() -> None:
    class Client(NumPyClient):
        def fit(self, parameters: Any, config: Any) -> Any:
            return parameters, 1, {}

    app = ClientApp(client_fn=lambda context: Client().to_client(), mods=[CompressUpdates(SURP)])
    with as_server(), pytest.raises(NoUsableReplyError, match=r"NumPyClient.*DecodeLegacyUpdates"):
        DecodeUpdates(FedAvg(**ALL)).start(
            grid=InProcessGrid(app, NODES), initial_arrays=record_of(initial()), num_rounds=1
        )


def test_the_error_of_a_server_of_the_older_api_says_what_to_change() -> None:
    context = Context(1, 1, {"partition-id": 0}, RecordDict(), {})
    with as_server():
        message = Message(RecordDict({"fitins.parameters": record_of(initial())}), dst_node_id=1, message_type="train")
    with pytest.raises(RuntimeError, match=r"legacy strategy \(flwr\.server\) that cannot decode.*DecodeLegacyUpdates"):
        CompressUpdates(SURP)(message, context, app_with([]))


def test_the_error_of_an_app_without_the_mod_says_so() -> None:
    with pytest.raises(NoUsableReplyError, match=r"the app did not find the model.*as the first mod"):
        run(app_with([]), DecodeUpdates(FedAvg(**ALL)), rounds=1, nodes=NODES)
    with pytest.raises(NoUsableReplyError, match="the client does not compress"):
        run(app_with([]), DecodeUpdates(FedAvg(**ALL), packed=False), rounds=1, nodes=NODES)
