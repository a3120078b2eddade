"""A scheme that the library has never heard of: defined and registered here, and run through rounds of a Flower app.

It is unlike all others: one bit a coordinate in a rotated basis (so that signs differ, and every coordinate is
decoded), with error feedback, and with a factor of shape (rank, n / rank) in the client's memory.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, EntryPoints

import numpy as np
import pytest
from flwr.app import Message

from surp_fl import CompressUpdates, Layout, MalformedMessage
from surp_fl.codecs import READERS, Codec, Reader, Registration, reader_of, register, registry, scheme_named
from surp_fl.codecs.reader import BitBreakdown
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.memory import Memory, State
from surp_fl.strategies import DecodeUpdates
from surp_fl.types import Reference, Vector
from tests.flower_app import app_with, fedavg, initial, run

ID = 24
_HEAD = struct.Struct("<f")


def _rotated(vector: Vector) -> Vector:
    """A reflection: its own inverse, and every coordinate goes into every other one."""
    ones = np.full(vector.size, 1 / np.sqrt(max(vector.size, 1)), np.float32)
    return np.asarray(vector - 2 * ones * np.dot(ones, vector), np.float32)


@dataclass(frozen=True)
class Factored:
    """Error feedback that keeps a factor beside the residual, whose shape is not that of a vector."""

    def recall(self, delta: Vector, state: State) -> Vector:
        if "factor" in state:
            assert state["factor"].shape == (2, 3)
        return np.asarray(delta + state["residual"], np.float32) if "residual" in state else delta

    def settle(self, wanted: Vector, sent: Vector, state: State) -> State:
        rounds = state.get("rounds", np.zeros((), np.int64)) + 1
        return {"residual": wanted - sent, "factor": np.full((2, 3), 0.5, np.float32), "rounds": np.asarray(rounds)}


@dataclass(frozen=True)
class OneBit:
    """The sign of each coordinate of the rotated update, and one magnitude."""

    memory: Memory = field(default_factory=Factored)

    @property
    def codec(self) -> Codec:
        return Codec(READER, write)


def write(vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
    rotated = _rotated(vector)
    return _HEAD.pack(np.abs(rotated).mean() if vector.size else 0.0) + np.packbits(rotated < 0).tobytes()


def read(body: bytes, layout: Layout, reference: Reference) -> Vector:
    if len(body) != _HEAD.size + -(-layout.size // 8):
        raise MalformedBits(f"{len(body)} bytes")
    negative = np.unpackbits(np.frombuffer(body, np.uint8, offset=_HEAD.size), count=layout.size)
    magnitude = np.float32(_HEAD.unpack_from(body)[0])
    return _rotated(np.where(negative, -magnitude, magnitude).astype(np.float32))


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    return BitBreakdown(0, layout.size, 32)


READER = Reader(ID, "one-bit", read, count_bits)
ROW = Registration("one-bit", READER, OneBit, has_budget=False, keeps_signs=False)


@pytest.mark.usefixtures("registry_of_its_own")
@pytest.mark.parametrize("mean_alone", [True, False])
def test_a_scheme_of_ones_own_runs_on_both_ends(mean_alone: bool) -> None:
    register(ROW)
    strategy = DecodeUpdates(fedavg(), mean_alone=mean_alone)
    done = run(app_with([CompressUpdates(OneBit())]), strategy, rounds=4)
    assert [(spent.failures, len(spent.payload_bytes_up)) for spent in strategy.traffic] == [(0, 3)] * 4
    layout = Layout.of(initial())
    assert strategy.traffic[-1].payload_bytes_up[0] <= 4 + 4 + -(-layout.size // 8) + 20  # and the integer array
    for context in done.grid.contexts.values():
        arrays = {name: array.numpy() for name, array in context.state.array_records["surp-fl"].items()}
        assert int(arrays["rounds"]) == 4  # the memory was handed on from round to round
        assert arrays["factor"].shape == (2, 3)


@pytest.mark.usefixtures("registry_of_its_own")
def test_the_mean_and_each_model_give_the_same_for_a_scheme_that_decodes_to_vectors() -> None:
    register(ROW)
    models = []
    for mean_alone in (True, False):
        strategy = DecodeUpdates(fedavg(), mean_alone=mean_alone)
        models.append(run(app_with([CompressUpdates(OneBit())]), strategy, rounds=2).models[-1])
    for name, array in models[0].items():
        np.testing.assert_allclose(array, models[1][name], rtol=1e-5, atol=1e-6)


@dataclass(frozen=True)
class Noted(Factored):
    """Records the wanted update, and the residual before it."""

    wanted: list[Vector] = field(default_factory=list)
    owed: list[Vector] = field(default_factory=list)

    def recall(self, delta: Vector, state: State) -> Vector:
        self.owed.append(np.array(state.get("residual", np.zeros_like(delta))))
        self.wanted.append(super().recall(delta, state))
        return self.wanted[-1]


@pytest.mark.usefixtures("registry_of_its_own")
def test_a_lost_dense_message_is_added_back_to_the_residual() -> None:
    register(ROW)
    replies: list[Message] = []

    def lose_the_second(reply: Message) -> Message | None:
        if reply.metadata.message_type != "train":
            return reply
        replies.append(reply)
        return None if len(replies) == 2 else reply

    memory = Noted()
    run(app_with([CompressUpdates(OneBit(memory))]), DecodeUpdates(fedavg(1)), nodes=1, fault=lose_the_second)
    assert np.abs(memory.owed[1]).max() < np.abs(memory.wanted[0]).max()  # the first message arrived
    np.testing.assert_allclose(memory.owed[2], memory.wanted[1], rtol=1e-5, atol=1e-6)  # nothing of the second did


def test_a_message_of_a_scheme_that_nobody_registered_is_refused() -> None:
    layout = Layout.of(initial())
    message = OneBit().codec.encode(np.ones(layout.size, np.float32), layout, rng=np.random.default_rng(0))
    with pytest.raises(MalformedMessage, match=f"scheme id {ID}; .* not registered here"):
        reader_of(message)


@pytest.mark.usefixtures("registry_of_its_own")
def test_an_installed_package_brings_its_scheme_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    found = EntryPoints(
        [EntryPoint("one-bit", f"{__name__}:ROW", registry.GROUP), EntryPoint("x", "no:X", registry.GROUP)]
    )
    monkeypatch.setattr(registry, "entry_points", lambda group: found.select(group=group))
    registry._register_installed.cache_clear()
    assert scheme_named("one-bit") is ROW
    assert READERS[ID] is READER


@pytest.mark.usefixtures("registry_of_its_own")
def test_names_and_ids_are_not_given_twice() -> None:
    register(ROW)
    register(ROW)
    with pytest.raises(ValueError, match="there is a scheme 'one-bit' already"):
        register(Registration("one-bit", Reader(25, "another", read, count_bits), OneBit))
    with pytest.raises(ValueError, match=re.escape("scheme id 3 of 'mine' is that of 'surp' messages")):
        register(Registration("mine", Reader(3, "mine", read, count_bits), OneBit))
