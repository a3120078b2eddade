"""The first model as a recipe: clients make it by themselves, and are sent only what differs from it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Result

from surp_fl import CompressUpdates, ErrorFeedback, SuRP
from surp_fl.flower.packed_model import digest_of
from surp_fl.flower.records import record_of
from surp_fl.strategies import DecodeUpdates
from surp_fl.testing import InProcessGrid, as_server
from tests.flower_app import Arrays, app_with, fedavg, initial, learn, run

UP, DOWN = SuRP(budget=100, memory=ErrorFeedback()), SuRP(budget=150)
WHOLE = sum(array.nbytes for array in initial().values())


class Clients:
    """An app whose node 1 makes the model that `odd` makes, and which notes what each node trains from."""

    def __init__(self, odd: Callable[[Context], Any] | None = None, **options: Any) -> None:
        self.trained: dict[int, dict[int, bytes]] = {}  # by round and node: the digest of the model
        self.made: list[int] = []  # nodes that made the initial model
        self._odd = odd
        self.app = app_with([CompressUpdates(UP, initial=self.make, **options)], learn=self._learn)

    def make(self, context: Context) -> Any:
        node = int(context.node_config["partition-id"])
        self.made.append(node)
        return self._odd(context) if self._odd is not None and node == 1 else record_of(initial())

    def _learn(self, arrays: Arrays, node: int, server_round: int) -> Arrays:
        self.trained.setdefault(server_round, {})[node] = digest_of(arrays)
        return learn(arrays, node, server_round)

    def agree(self) -> bool:
        return all(len(set(digests.values())) == 1 for digests in self.trained.values())


def sent(strategy: DecodeUpdates) -> list[list[int]]:
    return [traffic.payload_bytes_down for traffic in strategy.traffic]


def failures(strategy: DecodeUpdates) -> int:
    return sum(traffic.failures for traffic in strategy.traffic)


@pytest.mark.parametrize("downlink", [None, DOWN], ids=["full models", "changes"])
@pytest.mark.parametrize("evaluation", [0.0, 1.0], ids=["train alone", "and evaluate"])
@pytest.mark.parametrize("named", ["tiny net", lambda: record_of(initial()), initial], ids=["name", "record", "arrays"])
def test_a_model_that_clients_make_takes_no_bytes(downlink: Any, evaluation: float, named: Any) -> None:
    clients, strategy = Clients(), DecodeUpdates(fedavg(fraction_evaluate=evaluation), downlink=downlink, initial=named)
    run(clients.app, strategy, rounds=4)
    first, *later = sent(strategy)
    assert first[:3] == [0, 0, 0]
    assert all(size <= (158 if downlink else WHOLE) for sizes in [first[3:], *later] for size in sizes)
    assert all(min(sizes[:3]) > 0 for sizes in later) or evaluation  # what was evaluated is not sent again
    assert (clients.agree(), failures(strategy)) == (True, 0)
    assert clients.trained[1] == dict.fromkeys(range(3), digest_of(initial()))


def raises(context: Context) -> Any:
    raise FileNotFoundError("model.pt")


def other_seed(context: Context) -> Arrays:
    return {**initial(), "bias": np.zeros(20, np.float32)}


def no_arrays(context: Context) -> Any:
    return {"weight": None}


def other_arrays(context: Context) -> Arrays:
    return {"weight": initial()["weight"]}


@pytest.mark.parametrize("downlink", [None, DOWN], ids=["full models", "changes"])
@pytest.mark.parametrize(
    ("odd", "says"),
    [
        (raises, "initial= fails"),
        (no_arrays, "initial= fails"),
        (other_seed, "is not the server's"),
        (other_arrays, "is not the server's"),
    ],
)
def test_a_client_that_makes_another_model_is_sent_the_full_one_once_and_says_so(
    downlink: Any, odd: Any, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    clients, strategy = Clients(odd), DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=downlink, initial="net")
    with caplog.at_level(logging.WARNING, "flwr"):
        run(clients.app, strategy, rounds=4)
    assert says in caplog.text
    assert sent(strategy)[0] == [0, 0, 0, WHOLE]  # the full model is sent in the same round
    assert all(len(sizes) == 3 for sizes in sent(strategy)[1:])
    assert (clients.agree(), failures(strategy), len(clients.trained[1])) == (True, 0, 3)
    assert clients.made.count(1) == 1


def test_a_client_that_lost_its_version_and_its_recipe_is_sent_the_full_model_in_the_same_round() -> None:
    """First the change from the version that it had, then that from the initial model, then the full one."""

    def interfere(server_round: int, record: ArrayRecord) -> None:
        if server_round == 2:
            grid.contexts[1].state.clear()
            lost.append(server_round)

    def makes(context: Context) -> Any:
        return raises(context) if lost and context.node_id == 1 else record_of(initial())

    lost: list[int] = []
    strategy = DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=DOWN, initial="net")
    with as_server():
        grid = InProcessGrid(app_with([CompressUpdates(UP, initial=makes)]), 3)
        strategy.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=4, evaluate_fn=interfere)
    assert failures(strategy) == 0
    assert [len(sizes) for sizes in sent(strategy)] == [3, 3, 5, 3]
    assert sent(strategy)[2][4] == WHOLE


def test_clients_without_the_option_and_servers_without_it_go_on_as_before() -> None:
    clients, strategy = Clients(), DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=DOWN)
    run(clients.app, strategy, rounds=2)
    assert (sent(strategy)[0], clients.made) == ([WHOLE] * 3, [])
    strategy = DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=DOWN, initial="net")
    run(app_with([CompressUpdates(UP)]), strategy, rounds=2)
    assert (sent(strategy)[0], failures(strategy)) == ([0] * 3 + [WHOLE] * 3, 0)


def test_the_server_announces_the_name_by_which_clients_make_the_model() -> None:
    makers: dict[str, Any] = {"small": other_seed, "net": lambda context: record_of(initial())}
    for name, first in (
        ("net", [0, 0, 0]),
        ("small", [0, 0, 0, WHOLE, WHOLE, WHOLE]),
        ("large", [0, 0, 0] + [WHOLE] * 3),
    ):
        strategy = DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=DOWN, initial=name)
        run(app_with([CompressUpdates(UP, initial=makers)]), strategy, rounds=2)
        assert (sent(strategy)[0], failures(strategy)) == (first, 0)


def test_a_run_may_start_from_another_model_than_the_one_that_clients_make() -> None:
    tuned = initial()
    tuned["weight"][3] += np.float32(0.5)
    for downlink in (None, DOWN):
        clients, strategy = Clients(), DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=downlink, initial=initial)
        found = run(clients.app, strategy, rounds=3, start=lambda: tuned)
        assert all(0 < size < WHOLE / 8 for size in sent(strategy)[0])  # what differs from the initial model
        assert (clients.agree(), failures(strategy)) == (True, 0)
        assert clients.trained[1][0] == digest_of(found.models[0])
        assert digest_of(found.models[0]) == digest_of(tuned)


@pytest.mark.parametrize("downlink", [None, DOWN], ids=["full models", "changes"])
@pytest.mark.parametrize("named", ["net", initial], ids=["name", "arrays"])
def test_the_byte_order_of_either_ends_arrays_makes_no_difference(downlink: Any, named: Any) -> None:
    def swapped() -> Arrays:
        return {name: array.astype(array.dtype.newbyteorder(">")) for name, array in initial().items()}

    def learn_little(arrays: Arrays, node: int, server_round: int) -> Arrays:
        arrays["bias"][2] += np.float32(0.25)
        return arrays

    strategy = DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=downlink, initial=named)
    app = app_with([CompressUpdates(UP, initial=lambda context: swapped())], learn=learn_little)
    run(app, strategy, rounds=3, start=swapped)
    assert sent(strategy)[0] == [0, 0, 0]
    assert all(len(sizes) == 3 and max(sizes) < WHOLE / 8 for sizes in sent(strategy))
    assert failures(strategy) == 0


@pytest.mark.parametrize("cleared", [True, False], ids=["restarted", "joined late"])
def test_who_comes_late_is_sent_one_merged_change_of_the_initial_model(cleared: bool) -> None:
    """Its bytes are fewer than those of the chain, and it trains from the very model that the others train from."""

    def interfere(server_round: int, record: ArrayRecord) -> None:
        if cleared and server_round == 29:
            grid.contexts[nodes[0]].state.clear()

    big = {"weight": np.random.default_rng(0).normal(size=(100, 60)).astype(np.float32), "steps": np.array(0)}
    places = np.random.default_rng(1).choice(6000, 300, replace=False)

    def learn_in_few_places(arrays: Arrays, node: int, server_round: int) -> Arrays:
        clients.trained.setdefault(server_round, {})[node] = digest_of(arrays)
        rng = np.random.default_rng([node, server_round])
        arrays["weight"].reshape(-1)[places] += rng.normal(size=300).astype(np.float32)
        return arrays

    clients = Clients()
    clients.app = app_with([CompressUpdates(UP, initial=lambda context: big)], learn=learn_in_few_places)
    strategy = DecodeUpdates(fedavg(2, fraction_evaluate=0.0), downlink=SuRP(budget=200), initial="big")
    with as_server():
        grid = InProcessGrid(clients.app, 3 if not cleared else 2)
        nodes = list(grid.get_node_ids())
        if not cleared:  # node 2 is known from round 30 on
            grid.get_node_ids = lambda: nodes[: 3 if len(strategy.traffic) >= 29 else 2]  # type: ignore[method-assign]
        strategy.start(grid=grid, initial_arrays=record_of(big), num_rounds=32, evaluate_fn=interfere)
    late = sorted(sent(strategy)[29])
    chain = 29 * 200
    assert (clients.agree(), failures(strategy)) == (True, 0)
    assert late[:2] == [200, 200]
    assert len(late) == 3
    assert 500 < late[2] < 0.2 * chain
    assert len(clients.trained[30]) == (2 if cleared else 3)
    assert [len(sizes) for sizes in sent(strategy)[30:]] == [2 if cleared else 3] * 2


@pytest.mark.parametrize("downlink", [None, DOWN], ids=["full models", "changes"])
def test_a_run_that_continues_keeps_its_initial_model_and_another_one_has_its_own(downlink: Any) -> None:
    clients, strategy = Clients(), DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=downlink, initial="net")
    result = run(clients.app, strategy, rounds=1).result
    final = {name: array.numpy() for name, array in result.arrays.items()}
    run(clients.app, strategy, rounds=2, start=lambda: final)  # clients of a new grid, who hold nothing
    assert all(0 < size < WHOLE for size in sent(strategy)[1])
    other = {"weight": np.ones((4, 5), np.float32), "batches": np.array(0)}
    run(app_with([CompressUpdates(UP, initial=lambda context: other)]), strategy, rounds=1, start=lambda: other)
    assert sent(strategy)[3] == [0, 0, 0]
    assert failures(strategy) == 0


class EvaluatesFirst(FedAvg):
    """With a loop of its own, which evaluates the model before anyone trains it."""

    def start(self, grid: Grid, initial_arrays: ArrayRecord, num_rounds: int = 3, *_: Any, **options: Any) -> Result:
        result = Result()
        result.arrays = initial_arrays
        for turn in range(num_rounds):
            asked = self.configure_evaluate(turn, result.arrays, ConfigRecord(), grid)
            self.aggregate_evaluate(turn, grid.send_and_receive(asked))
            trained = grid.send_and_receive(self.configure_train(turn + 1, result.arrays, ConfigRecord(), grid))
            result.arrays = self.aggregate_train(turn + 1, trained)[0] or result.arrays
        return result


@pytest.mark.parametrize("downlink", [None, DOWN], ids=["full models", "changes"])
def test_a_loop_that_evaluates_first_sends_a_model_that_clients_make_without_asking_them_twice(downlink: Any) -> None:
    strategy = DecodeUpdates(EvaluatesFirst(min_available_nodes=3), downlink=downlink, initial="net")
    for seed in range(2):  # the second run starts from other arrays
        begun = {"weight": np.random.default_rng(seed).normal(size=(9 + seed, 5)).astype(np.float32), "n": np.array(0)}
        clients = Clients()
        clients.app = app_with([CompressUpdates(UP, initial=lambda context, made=begun: made)])
        strategy.traffic.clear()
        run(clients.app, strategy, rounds=2, start=lambda made=begun: made)  # type: ignore[misc]
        evaluated, trained = strategy.traffic[0].payload_bytes_down, strategy.traffic[1].payload_bytes_down
        assert (len(evaluated), trained[:3], failures(strategy)) == (3, [0, 0, 0], 0)
        if downlink is None and seed == 0:  # the second run learns what its first model is when it trains
            assert evaluated == [0, 0, 0]


@pytest.mark.parametrize("wrong", [3, "", b"net", ["net"], "a\nb"], ids=repr)
def test_what_names_no_initial_model_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected a name"):
        DecodeUpdates(fedavg(), initial=wrong)
    if wrong != "":
        with pytest.raises(TypeError, match="expected a function of the context"):
            CompressUpdates(UP, initial=wrong)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"weight": initial()["weight"]}, "missing"),
        ({**initial(), "wide": initial()["wide"].astype(np.float32)}, "found wide float32"),
    ],
)
def test_a_recipe_for_other_arrays_than_the_runs_is_refused(model: Arrays, says: str) -> None:
    with pytest.raises(
        ValueError, match=f"initial= makes another model than the one that the run starts from: .*{says}"
    ):
        run(app_with([CompressUpdates(UP)]), DecodeUpdates(fedavg(), initial=lambda: model))


@pytest.mark.parametrize(("bits", "share"), [(8, 0.31), (4, 0.18)])
def test_a_first_model_of_few_bits_is_owed_the_rest(bits: int, share: float) -> None:
    """Clients train from one approximation of the first model; what it lacks comes with later changes."""
    rng = np.random.default_rng(0)
    big = {"weight": rng.normal(size=(100, 60)).astype(np.float32), "bias": np.ones(60, np.float32)}

    def stay(arrays: Arrays, node: int, server_round: int) -> Arrays:
        clients.trained.setdefault(server_round, {})[node] = digest_of(arrays)
        behind.append(float(np.linalg.norm(arrays["weight"] - big["weight"])))
        return {**arrays, "bias": arrays["bias"] + np.float32(1e-3)}

    clients = Clients()
    behind: list[float] = []
    app = app_with([CompressUpdates(UP)], learn=stay)
    strategy = DecodeUpdates(
        fedavg(fraction_evaluate=0.0), downlink=SuRP(budget=900), first_model_bits=bits, patience=9
    )
    whole = sum(array.nbytes for array in big.values())
    run(app, strategy, rounds=8, start=lambda: big)
    assert all(0.5 * share * whole < size < share * whole for size in sent(strategy)[0])
    assert all(size <= 900 for sizes in sent(strategy)[1:] for size in sizes)
    assert clients.agree()
    assert 0.9 * behind[0] > behind[-1] > 0
    assert behind[0] < 0.2 * np.linalg.norm(big["weight"])


def test_bits_of_the_first_model_need_a_downlink_and_a_sensible_number() -> None:
    for bits in (0, 17, True, "8"):
        with pytest.raises(ValueError, match="expected 1 to 16 bits"):
            DecodeUpdates(fedavg(), downlink=DOWN, first_model_bits=bits)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="add downlink="):
        DecodeUpdates(fedavg(), first_model_bits=8)
    with pytest.raises(ValueError, match="leave out one of them"):
        DecodeUpdates(fedavg(), downlink="lossless", first_model_bits=8)
