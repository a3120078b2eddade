"""The way down: packed models, and changes of a public model that both ends hold, when all goes well and when not."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, FedMedian, Krum
from numpy.typing import NDArray

from surp_fl import STC, CompressUpdates, ErrorFeedback, SuRP
from surp_fl.change import Change
from surp_fl.codecs.codec import Scheme
from surp_fl.errors import MalformedMessage
from surp_fl.flower import client_mod
from surp_fl.flower.delta import Delta
from surp_fl.flower.model_messages import put_deltas, put_full_model, restore_content
from surp_fl.flower.packed_model import Packed, digest_of
from surp_fl.flower.protocol import NAME, ORIGIN
from surp_fl.flower.received_model import receive_model
from surp_fl.flower.records import arrays_of, count_bytes, record_of
from surp_fl.integer_arrays import write_integers
from surp_fl.layout import Layout
from surp_fl.strategies import DecodeUpdates
from surp_fl.strategies.downlink.deltas import Downlink
from surp_fl.strategies.node_registry import NodeRegistry, SentModel
from surp_fl.testing import InProcessGrid, as_server
from tests.flower_app import Arrays, app_with, fedavg, initial, learn, needs_scalars, run

LAYOUT = Layout.of(initial())
UP, DOWN = SuRP(budget=100, memory=ErrorFeedback()), SuRP(budget=150)  # all train from what they are sent


class Seen:
    """The app's learning, which notes the model that it starts from."""

    def __init__(self) -> None:
        self.digests: dict[int, set[bytes]] = {}

    def __call__(self, arrays: Arrays, node: int, server_round: int) -> Arrays:
        self.digests.setdefault(server_round, set()).add(digest_of(arrays))
        return learn(arrays, node, server_round)


def version(strategy: DecodeUpdates) -> bytes:
    downlink = strategy._delivery._downlink
    assert downlink is not None
    return downlink.version


def vector_of(arrays: Arrays) -> NDArray[np.float32]:
    return LAYOUT.flatten(arrays)


@pytest.mark.parametrize("evaluation", [0.0, 1.0], ids=["train alone", "and evaluate"])
@pytest.mark.parametrize("scheme", [DOWN, STC(budget=150)], ids=["surp", "stc"])
def test_changes_go_down_and_clients_train_from_the_public_model(scheme: Scheme, evaluation: float) -> None:
    strategy = DecodeUpdates(fedavg(fraction_evaluate=evaluation), downlink=scheme)
    seen = Seen()
    found = run(app_with([CompressUpdates(UP)], learn=seen), strategy, rounds=12)
    whole = sum(array.nbytes for array in initial().values())
    down = [sum(traffic.payload_bytes_down) for traffic in strategy.traffic]
    assert 3 * whole <= down[0] <= 3 * whole + 3 * (150 + 8)
    assert all(size <= 3 * (150 + 8) for size in down[1:])
    assert [traffic.failures for traffic in strategy.traffic] == [0] * 12
    assert all(len(digests) == 1 for digests in seen.digests.values())
    assert len(set.union(*seen.digests.values())) == 12
    if evaluation:
        assert "norm" in found.result.evaluate_metrics_clientapp[12]


@pytest.mark.parametrize("evaluation", [0.0, 1.0], ids=["train alone", "and evaluate"])
def test_the_scheme_may_be_a_function_of_the_round(evaluation: float) -> None:
    asked: list[int] = []

    def growing(server_round: int) -> Scheme:
        asked.append(server_round)
        return SuRP(budget=50 + 10 * server_round)

    strategy = DecodeUpdates(fedavg(fraction_evaluate=evaluation), downlink=growing)
    found = run(app_with([CompressUpdates(UP)]), strategy, rounds=8)
    assert len(found.models) == 9
    down = [max(traffic.payload_bytes_down) for traffic in strategy.traffic]
    assert all(40 + 10 * number < size <= 50 + 10 * number + 8 for number, size in enumerate(down[1:], 2))
    assert set(asked) == set(range(1, 9))
    with pytest.raises(TypeError, match="a function that gives the scheme of a round"):
        DecodeUpdates(fedavg(), downlink=lambda server_round: server_round)  # type: ignore[arg-type, return-value]


def test_nothing_of_the_servers_model_is_lost_on_the_way_down() -> None:
    """The error of the public model stays in the next difference, and is small compared with what was learned."""
    strategy = DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=SuRP(budget=300))
    found = run(app_with([CompressUpdates(SuRP(budget=300))]), strategy, rounds=30)
    downlink = strategy._delivery._downlink
    assert downlink is not None
    learned = vector_of(found.models[-2]) - vector_of(found.models[0])
    behind = vector_of(found.models[-2]) - vector_of(downlink.arrays)
    assert np.linalg.norm(behind) < 0.35 * np.linalg.norm(learned)


@pytest.mark.parametrize(
    "inner",
    [
        FedAvgM(server_momentum=0.5, min_available_nodes=7, min_train_nodes=7),
        FedAdam(eta=0.01, min_available_nodes=7, min_train_nodes=7),
        pytest.param(FedMedian(min_available_nodes=7, min_train_nodes=7), marks=needs_scalars),
        Krum(num_malicious_nodes=1, min_available_nodes=7, min_train_nodes=7),
    ],
    ids=lambda inner: type(inner).__name__,
)
def test_it_works_behind_other_strategies(inner: FedAvg) -> None:
    strategy = DecodeUpdates(inner, downlink=DOWN)
    seen = Seen()
    found = run(app_with([CompressUpdates(UP)], learn=seen), strategy, rounds=6, nodes=7)
    assert [traffic.failures for traffic in strategy.traffic] == [0] * 6
    assert all(len(digests) == 1 for digests in seen.digests.values())
    assert found.models[-1]["batches"] == 6 * 30


def test_clients_that_sat_out_get_every_change_that_they_missed() -> None:
    random.seed(3)
    inner = FedAvg(fraction_train=0.3, min_train_nodes=3, min_available_nodes=10, fraction_evaluate=0.0)
    strategy = DecodeUpdates(inner, downlink=SuRP(budget=60))
    seen = Seen()
    run(app_with([CompressUpdates(UP)], learn=seen), strategy, rounds=40, nodes=10)
    whole = sum(array.nbytes for array in initial().values())
    later = [size for traffic in strategy.traffic[10:] for size in traffic.payload_bytes_down]
    assert sum(traffic.failures for traffic in strategy.traffic) == 0
    assert all(len(digests) == 1 for digests in seen.digests.values())
    assert len({size // 60 for size in later}) > 3  # one change, two, three ...
    assert max(later) < whole // 2


@pytest.mark.parametrize("evaluation", [0.0, 1.0], ids=["train alone", "and evaluate"])
def test_clients_write_the_model_once_and_know_its_history(evaluation: float, monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[bool] = []
    vectors: list[set[str]] = []
    reference = client_mod._reference

    def noted(*args: Any) -> Any:
        found = reference(*args)
        known.append(isinstance(found, tuple))
        return found

    def look(server_round: int, record: Any) -> None:
        vectors.append(set(grid.contexts[1].state.array_records) - {ORIGIN})  # that is no vector

    monkeypatch.setattr(client_mod, "_reference", noted)
    strategy = DecodeUpdates(fedavg(fraction_evaluate=evaluation), downlink=DOWN)
    with as_server():
        grid = InProcessGrid(app_with([CompressUpdates(UP)]), 3)
        strategy.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=4, evaluate_fn=look)
        assert [traffic.failures for traffic in strategy.traffic] == [0] * 4
    assert known == 3 * [False] + 9 * [True]
    kept = {"surp-fl", "surp-fl:sent", "surp-fl:held"}
    assert vectors[1:] == 4 * [kept | {"surp-fl:model"} if evaluation else kept]  # the evaluated model is a newer one


class Trouble:
    """Losses of every kind, on the way up and down and in clients."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.happened: Counter[str] = Counter()
        self.grid: InProcessGrid | None = None
        self.calm = True
        self.old: dict[int, Any] = {}

    def up(self, reply: Message) -> Message | None:
        what = "nothing" if self.calm else self.random.choices(["nothing", "lost", "damaged"], [80, 12, 8])[0]
        self.happened[what] += 1
        if what == "lost":
            return None
        if what == "damaged" and reply.has_content() and NAME in reply.content.config_records:
            record = reply.content.config_records[NAME]
            if NAME in record:
                record[NAME] = b"\x01\x02\x03\x04\x05"
        return reply

    def between(self, server_round: int, record: Any) -> None:
        assert self.grid is not None
        self.calm = server_round == 0
        node = self.random.choice(sorted(self.grid.contexts))
        state = self.grid.contexts[node].state
        what = self.random.choices(
            ["nothing", "state lost", "held lost", "held damaged", "held of before"], [60, 8, 8, 8, 16]
        )[0]
        if "surp-fl:held" not in state:
            return
        self.happened[what] += 1
        if what == "state lost":
            state.clear()
        elif what == "held lost":
            del state["surp-fl:held"]
        elif what == "held damaged":
            held = arrays_of(state.array_records["surp-fl:held"])
            held["weight"][0, 0] += 1
            state["surp-fl:held"] = record_of(held)
        elif what == "held of before":
            state["surp-fl:held"] = self.old.get(node, state["surp-fl:held"])
        states = {each: context.state for each, context in self.grid.contexts.items()}
        self.old = {each: kept["surp-fl:held"] for each, kept in states.items() if "surp-fl:held" in kept}

    def run(self, app: ClientApp, strategy: DecodeUpdates, rounds: int, start: Arrays) -> None:
        """Run it with six clients, and eight from round 41 on."""
        with as_server():
            self.grid = InProcessGrid(app, 8, {}, self.up)
            nodes = list(self.grid.get_node_ids())
            self.grid.get_node_ids = lambda: nodes if len(strategy.traffic) > 40 else nodes[:6]  # type: ignore[method-assign]
            strategy.start(grid=self.grid, initial_arrays=record_of(start), num_rounds=rounds, evaluate_fn=self.between)


def made_by(context: Context) -> Any:
    """The initial model, which node 2 makes otherwise, and node 3 not at all."""
    node = int(context.node_config["partition-id"])
    if node == 3:
        raise OSError("no such file")
    return initial() | {"bias": np.full(20, node == 2, np.float32)} if node == 2 else initial()


@pytest.mark.slow
@pytest.mark.parametrize("named", [None, "tiny"], ids=["sent", "made by clients"])
@pytest.mark.parametrize(("sampled", "rounds"), [(6, 120), (3, 200)])
def test_nobody_trains_from_another_model_without_knowing(sampled: int, rounds: int, named: str | None) -> None:
    """Two more clients join after round 40."""
    random.seed(4)
    trouble, seen = Trouble(sampled), Seen()
    inner = FedAvg(fraction_train=sampled / 6, min_train_nodes=sampled, min_available_nodes=6, min_evaluate_nodes=6)
    strategy = DecodeUpdates(inner, downlink=DOWN, patience=10, initial=named, evaluate_with_train=sampled == 3)
    trouble.run(app_with([CompressUpdates(UP, initial=made_by)], learn=seen), strategy, rounds=rounds, start=initial())
    assert all(trouble.happened[what] > 5 for what in ("lost", "damaged", "state lost", "held lost", "held damaged"))
    assert len(seen.digests) == rounds
    assert all(len(digests) == 1 for digests in seen.digests.values())
    whole = sum(array.nbytes for array in initial().values())
    sizes = [size for traffic in strategy.traffic[1:] for size in traffic.payload_bytes_down]
    assert (1 if named else 5) < sum(size == whole for size in sizes) < len(sizes) / (10 if named else 5)


def test_a_client_without_a_base_is_sent_the_full_model_in_the_same_round() -> None:
    strategy = DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=DOWN)

    def forget(server_round: int, record: Any) -> None:
        if server_round == 2:
            grid.contexts[1].state.clear()

    with as_server():
        grid = InProcessGrid(app_with([CompressUpdates(UP)]), 3)
        strategy.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=4, evaluate_fn=forget)
    assert [len(traffic.payload_bytes_up) for traffic in strategy.traffic] == [3] * 4
    assert [len(traffic.payload_bytes_down) for traffic in strategy.traffic] == [3, 3, 4, 3]
    assert [traffic.failures for traffic in strategy.traffic] == [0] * 4


def content_of(arrays: Arrays) -> RecordDict:
    return RecordDict({"arrays": record_of(arrays), "config": ConfigRecord({"server-round": 1})})


def test_deltas_that_are_not_what_they_say_are_not_believed() -> None:
    held = initial()
    vector = LAYOUT.flatten(held)
    update = np.random.default_rng(0).normal(size=LAYOUT.size).astype(np.float32)
    delta = DOWN.codec.encode(update, LAYOUT, rng=np.random.default_rng(0), reference=vector)
    change = Change(delta, b"", write_integers(held, held | {"batches": np.array(30)}, LAYOUT))

    def bring(base: bytes, version: bytes, damage: dict[str, Any] | None = None) -> Any:
        content = put_deltas(content_of(held), "arrays", [Delta(base, change)], version, True)
        content.config_records["config"].update(damage or {})
        return receive_model(content, held)

    after = LAYOUT.assembled(
        LAYOUT.rounded(LAYOUT.moved(held, DOWN.codec.decode(delta, LAYOUT, reference=vector))),
        {"batches": np.array(30)},
    )
    right = bring(digest_of(held), digest_of(after))
    assert right.arrays is not None
    np.testing.assert_array_equal(right.arrays["weight"], after["weight"])
    assert bring(b"another.", digest_of(after)).arrays is None
    assert bring(digest_of(held), b"another.").arrays is None
    others = bytes(4) + bytes([len(change.integers), 0, 0, 0]) + change.integers
    assert bring(digest_of(held), digest_of(after), {"surp-fl:others": [others]}).arrays is not None
    for odd in (others[:-1], others + b"?", others[:6], b"", "text", others[:-1] + b"?"):
        assert bring(digest_of(held), digest_of(after), {"surp-fl:others": [odd]}).arrays is None
    for damage in ({"surp-fl:deltas": [delta[:-1]]}, {"surp-fl:deltas": [b"?"]}):
        assert bring(digest_of(held), digest_of(after), damage).arrays is None  # the server will resend the full model
    with pytest.raises(MalformedMessage, match="1 deltas, and messages of 0"):
        bring(digest_of(held), digest_of(after), {"surp-fl:deltas": []})
    with pytest.raises(MalformedMessage, match="sections of 0"):
        bring(digest_of(held), digest_of(after), {"surp-fl:others": []})
    with pytest.raises(MalformedMessage, match="flags of 2"):
        bring(digest_of(held), digest_of(after), {"surp-fl:untied": [True, True]})
    nothing_new = receive_model(put_deltas(content_of(held), "arrays", [], digest_of(held), True), held)
    assert nothing_new.arrays is held
    assert nothing_new.base == nothing_new.version == right.base == digest_of(held)


def test_what_the_server_adds_to_its_messages_is_not_shown_to_the_app() -> None:
    seen: list[set[str]] = []

    def mod(message: Message, context: Context, call_next: Any) -> Message:
        seen.append({key for config in message.content.config_records.values() for key in config})
        reply: Message = call_next(message, context)
        return reply

    run(app_with([CompressUpdates(UP), mod]), DecodeUpdates(fedavg(), downlink=DOWN), rounds=3)
    ours = {f"surp-fl:{name}" for name in ("session", "round", "rounds", "applied")}
    assert all(keys <= {"server-round", *ours} for keys in seen)
    assert len(seen) == 18
    assert count_bytes(RecordDict()) == 0


def test_a_full_model_keeps_its_dtypes() -> None:
    seen: list[Arrays] = []

    def look(arrays: Arrays, node: int, server_round: int) -> Arrays:
        seen.append({name: array.copy() for name, array in arrays.items()})
        return arrays

    with as_server():
        wide = {"wide": np.array([16777217.0, 1.0])}
        grid = InProcessGrid(app_with([CompressUpdates(UP)], learn=look), 2)
        DecodeUpdates(FedAvg(fraction_evaluate=0.0)).start(grid=grid, initial_arrays=record_of(wide), num_rounds=1)
    assert seen[0]["wide"].tolist() == [16777217.0, 1.0]


@pytest.mark.parametrize("keep", [True, False])
def test_a_full_model_is_carried_by_messages_with_and_without_a_config(keep: bool) -> None:
    model = initial()
    packed = Packed.of(model)
    kinds: Any = {"bias": "mean"}
    for content in (content_of(model), RecordDict({"arrays": record_of(model)})):
        sent = put_full_model(content, "arrays", packed, keep, kinds)
        assert len(sent.array_records) == len(sent.config_records) == 1
        assert json.loads(str(next(iter(sent.config_records.values()))["surp-fl:kinds"])) == kinds
        found = receive_model(sent, None)
        assert (found.name, found.keep, found.version, found.base) == ("arrays", keep, digest_of(model), None)
        assert found.arrays is not None
        assert digest_of(found.arrays) == digest_of(model)
        shown = restore_content(sent, found.name, found.arrays)
        assert set(shown) == set(content)
        assert dict(shown.config_records) == dict(content.config_records)


def test_updates_are_added_to_the_strategys_model_and_the_snapshot_is_the_public_one() -> None:
    model = {"w": np.ones((4, 5), np.float32), "n": np.array(3)}
    public = {"w": np.full((4, 5), 2, np.float32), "n": np.array(4)}
    whole = SentModel.of(1, "arrays", record_of(model))
    both = SentModel.of(1, "arrays", record_of(model), public)
    for found, held in ((whole, model), (both, public)):
        np.testing.assert_array_equal(found.arrays["w"], model["w"])
        np.testing.assert_array_equal(found.snapshot.vector, held["w"].reshape(-1))
        assert {name: array.tolist() for name, array in found.untrained.items()} == {"n": held["n"]}
        assert (found.bytes, found.arrays_name, found.snapshot.session_round) == (88, "arrays", 1)
    assert np.shares_memory(whole.arrays["w"], whole.snapshot.vector)  # one copy is enough
    wide = SentModel.of(1, "arrays", record_of({"w": np.array([16777217.0])}))
    assert wide.arrays["w"].tolist() == [16777217.0]


def test_the_registry_drops_the_oldest_snapshots_of_all_nodes_first() -> None:
    def model_of_round(server_round: int) -> SentModel:
        return SentModel.of(server_round, "arrays", record_of({"w": np.full(25, server_round, np.float32)}))

    registry = NodeRegistry(history_bytes=300)  # three models
    sent = {server_round: model_of_round(server_round) for server_round in range(1, 6)}
    for server_round in (1, 2, 3):
        registry.begin_round({1: sent[server_round], 2: sent[server_round]})
    assert registry.retained_rounds(1) == registry.retained_rounds(2) == [2, 1]
    registry.confirm(2)
    assert (registry.retained_rounds(1), registry.retained_rounds(2), registry.retained_rounds(3)) == ([2, 1], [], [])
    registry.begin_round({1: sent[4]})
    assert (registry.retained_rounds(1), registry.retained_rounds(2)) == ([3, 2, 1], [3])
    registry.begin_round({1: sent[5]})
    assert (registry.retained_rounds(1), registry.retained_rounds(2)) == ([4, 3, 2], [3])
    layout = sent[5].layout
    now = sent[5].snapshot.vector
    pairs: Any = registry.references(1, layout)
    assert [(id(model), id(before)) for model, before in pairs] == [
        (id(now), id(sent[turn].snapshot.vector)) for turn in (4, 3, 2)
    ]
    registry.confirm(1)
    (alone,) = registry.references(1, layout)
    assert alone is now


def test_messages_without_a_model_bring_none() -> None:
    with as_server():
        messages = [
            Message(content, node, "train")
            for node, content in ((1, content_of(initial())), (2, RecordDict({"config": ConfigRecord({"stop": True})})))
        ]
    downlink = Downlink(DOWN)
    downlink.advance(record_of(initial()))
    down = downlink.attach_models(messages)
    assert down.payload == [sum(array.nbytes for array in initial().values()), 0]
    assert down.record == [count_bytes(message.content) for message in messages]
    assert dict(messages[1].content) == {"config": ConfigRecord({"stop": True})}
