"""Whole models as one array: they come out as they were, and what does not fit is refused."""

from __future__ import annotations

import io
import tracemalloc
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp.strategy import FedAvg

from surp_fl import CompressUpdates, SuRP
from surp_fl.errors import MalformedMessage
from surp_fl.flower.model_messages import put_full_model
from surp_fl.flower.packed_model import Packed
from surp_fl.flower.received_model import receive_model
from surp_fl.flower.records import record_of
from surp_fl.strategies import DecodeUpdates
from surp_fl.testing import InProcessGrid, as_server
from tests.flower_app import Arrays, app_with, initial

UP = SuRP(budget=100)

ODD: Arrays = {
    "half": np.arange(6, dtype=np.float16).reshape(2, 3),
    "scalar": np.array(3, np.int64),
    "flags": np.array([True, False]),
    "none": np.zeros((0, 4), np.float32),
    "wide": np.array([1.5, -2.5]),
    "small": np.array([-3], np.int8),
}


def content_of(arrays: Arrays) -> RecordDict:
    return RecordDict({"arrays": record_of(arrays), "config": ConfigRecord({"server-round": 1})})


@pytest.mark.parametrize("arrays", [ODD, initial(), {}, {"none": np.zeros((0,), np.float32)}], ids=len)
def test_a_packed_model_comes_out_as_it_was(arrays: Arrays) -> None:
    packed = put_full_model(content_of(arrays), "arrays", Packed.of(arrays), keep=True)
    assert len(packed) == 2
    (record,) = packed.array_records.values()
    assert len(record) == 1
    found = receive_model(packed, None)
    assert found.arrays is not None
    assert (list(found.arrays), found.name, found.keep) == (list(arrays), "arrays", True)
    for name, array in arrays.items():
        assert (found.arrays[name].dtype, found.arrays[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found.arrays[name], array)


def test_a_model_of_some_size_is_compressed_without_loss() -> None:
    rng = np.random.default_rng(0)
    large = {"weight": rng.normal(size=(400, 90)).astype(np.float32), "head": np.zeros(9, np.float32)} | ODD
    packed = Packed.of(large)
    assert packed.payload < 0.86 * sum(array.nbytes for array in large.values())
    content = put_full_model(content_of(large), "arrays", packed, keep=True)
    found = receive_model(content, None).arrays
    assert found is not None
    assert all(found[name].tobytes() == array.tobytes() for name, array in large.items())
    noise = {"weight": np.frombuffer(rng.bytes(1 << 17), np.uint8)}  # nothing to gain: it is sent as it is
    assert (Packed.of(noise).payload, Packed.of(noise).compressed) == (1 << 17, False)
    for data in (packed.record["model"].data[:-1], packed.record["model"].data[:200]):
        array = Array(dtype="uint8", shape=(packed.payload,), stype="numpy.ndarray", data=data)
        content["surp-fl:packed"] = ArrayRecord({"model": array})
        with pytest.raises(MalformedMessage):
            receive_model(content, None)


def test_packing_makes_one_object_of_many() -> None:
    received: list[int] = []
    records: set[int] = set()

    class Watching(InProcessGrid):
        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
            messages = list(messages)
            records.update(id(record) for message in messages for record in message.content.array_records.values())
            return super().send_and_receive(messages, timeout=timeout)

        def _handle(self, message: Message) -> Message:
            received.append(sum(len(record) for record in message.content.array_records.values()))
            return super()._handle(message)

    for packed in (True, False):
        received.clear()
        with as_server():
            grid = Watching(app_with([CompressUpdates(UP)]), 2)
            DecodeUpdates(FedAvg(), packed=packed).start(grid=grid, initial_arrays=record_of(initial()), num_rounds=1)
        assert set(received) == {1 if packed else 4}
    assert len(records) <= 4  # all nodes share one in each round of training and evaluation


FORMS = [
    "", "{}", "[[1]]", "[" * 100_000, "\x00", '[["a",[1000000000000],"f4"]]', '[["a",[-1],"f4"]]', '[["a",[1],"O"]]',
    '[["a",[1],"U9"]]', '[["a",[Infinity],"f4"]]', '[["a",[1e999],"f4"]]', '[["a",[-1,-632],"f4"]]',
    '[["a",[1],"i1,("]]', '[["a",[632],"f4"],["b",[0,-3],"f4"]]', '[["a",[2528.5],"i1"]]',
    '[["a",[true],"f4"]]', '[["a",[1],"M8[s]"]]',
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_manifest_that_does_not_fit_is_refused_before_memory_is_allocated(form: str) -> None:
    arrays = initial()
    packed = put_full_model(content_of(arrays), "arrays", Packed.of(arrays), keep=False)
    packed.config_records["config"]["surp-fl:form"] = form.encode()
    with pytest.raises(MalformedMessage):
        receive_model(packed, None)


def array_of(data: bytes) -> ArrayRecord:
    return ArrayRecord({"model": Array(dtype="uint8", shape=(5,), stype="numpy.ndarray", data=data)})


def npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


HUGE = "{'descr': '|u1', 'fortran_order': False, 'shape': (1099511627776,), }"
DATA = [b"", b"\x00", b"PK\x03\x04abc", b"\x80\x04.", npy(HUGE), npy("[" * 100), npy(HUGE) + bytes(2528)]


@pytest.mark.parametrize("data", DATA, ids=len)
def test_an_array_that_does_not_fit_its_manifest_is_refused_before_memory_is_allocated(data: bytes) -> None:
    packed = put_full_model(content_of(initial()), "arrays", Packed.of(initial()), keep=False)
    packed["surp-fl:packed"] = array_of(data)
    tracemalloc.start()
    with pytest.raises(MalformedMessage):
        receive_model(packed, None)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("packed", [True, False])
def test_the_app_is_sent_long_doubles_as_they_are(packed: bool) -> None:
    seen: list[Any] = []

    def look(arrays: Arrays, node: int, server_round: int) -> Arrays:
        seen.append(arrays["long"].copy())
        return arrays

    long = np.array([1, 3], np.longdouble) / 7
    with as_server():
        grid = InProcessGrid(app_with([CompressUpdates(UP)], learn=look), 2)
        strategy = DecodeUpdates(FedAvg(fraction_evaluate=0.0), packed=packed)
        strategy.start(grid=grid, initial_arrays=record_of({"long": long}), num_rounds=1)
    np.testing.assert_array_equal(seen, [long, long])


def test_an_array_with_the_longer_header_of_the_format_is_read() -> None:
    arrays, written = initial(), io.BytesIO()
    message = put_full_model(content_of(arrays), "arrays", Packed.of(arrays), keep=False)
    (array,) = message.array_records["surp-fl:packed"].values()
    np.lib.format.write_array(written, array.numpy(), version=(2, 0))
    message["surp-fl:packed"] = array_of(written.getvalue())
    found = receive_model(message, None).arrays
    assert found is not None
    np.testing.assert_array_equal(found["weight"], arrays["weight"])
