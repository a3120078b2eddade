"""What differs between versions of Flower does not differ for those who use `surp_fl.flower.versions`."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg

from surp_fl.flower import versions
from surp_fl.flower.records import arrays_of
from surp_fl.testing import InProcessGrid, as_server
from tests.flower_app import FLOWER, app_with


def message(value: float = 0.0) -> Message:
    return Message(RecordDict({"arrays": ArrayRecord({"w": Array(np.full(3, value))})}), 1, "train")


def test_a_message_reaches_its_node_with_an_id_and_the_run_and_the_server_as_its_source() -> None:
    app, arrived = ClientApp(), []

    @app.train()
    def train(message: Message, context: object) -> Message:
        arrived.append(message.metadata)
        return Message(RecordDict(), reply_to=message)

    with as_server():
        (reply,) = InProcessGrid(app, nodes=1).send_and_receive([message()])
    assert [(each.run_id, each.src_node_id, each.dst_node_id) for each in arrived] == [(1, 1, 1)]
    assert reply.metadata.reply_to_message_id == arrived[0].message_id != ""
    assert (reply.metadata.src_node_id, reply.metadata.dst_node_id) == (1, 1)


def test_a_message_through_bytes_is_equal_and_shares_no_object() -> None:
    with as_server():
        before = message(2.0)
    after = versions.through_bytes(before)
    np.testing.assert_array_equal(arrays_of(after.content.array_records["arrays"])["w"], np.full(3, 2.0))
    assert after.metadata.message_type == "train"
    del after.content["arrays"]
    assert "arrays" in before.content


def test_an_error_in_place_of_a_reply_answers_what_the_reply_answers() -> None:
    with as_server():
        asked = message()
    versions.address(asked, "the id")
    reply = Message(RecordDict({"metrics": MetricRecord({"loss": 1})}), reply_to=asked)
    error = versions.error_in_place_of(reply, Error(versions.ErrorCode.MOD_FAILED_PRECONDITION, "why"))
    assert error.has_error()
    assert error.error.reason == "why"
    assert error.metadata.reply_to_message_id == "the id"
    assert error.metadata.dst_node_id == reply.metadata.dst_node_id


@pytest.mark.skipif(FLOWER < (1, 38), reason="before Flower 1.38, any process can construct a Message")
def test_a_process_is_the_server_within_the_context_alone() -> None:
    with as_server():
        assert message().metadata.run_id == 1
    with pytest.raises(RuntimeError, match="is not set"):
        message()


def test_the_metrics_are_aggregated_by_the_function_that_strategies_use() -> None:
    """`DecodeUpdates` recognises the ordinary weighted mean by it."""
    assert FedAvg().train_metrics_aggr_fn is versions.aggregate_metricrecords


def test_mods_have_the_type_that_an_app_takes() -> None:
    def silent(message: Message, context: object, call_next: object) -> Message:
        return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1})}), reply_to=message)

    mods: list[versions.Mod] = [silent]
    with as_server():
        (reply,) = InProcessGrid(app_with(mods), nodes=1).send_and_receive([message()])
    assert reply.content.metric_records["metrics"]["num-examples"] == 1
