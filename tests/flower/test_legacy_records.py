"""Legacy replies ↔ records: what a client sends of a NumPyClient's reply is what the server reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp

from surp_fl import CompressUpdates, SuRP
from surp_fl.change import Change
from surp_fl.errors import MalformedMessage
from surp_fl.flower.legacy_records import FIT_ARRAYS, FIT_METRICS, WEIGHT, without_directives
from surp_fl.flower.protocol import BUDGET, EXAMPLES, NAME, ROUNDS, SESSION
from surp_fl.flower.records import CompressedReply, Stats, from_record, metrics_of, to_record
from surp_fl.testing import InProcessGrid, as_server
from tests.legacy_app import initial

METRICS = {"loss": 0.5, "epochs": 3, "name": "abc", "raw": b"\x00\x01", "done": True, "num-examples": 7, "empty": ""}


def reply(metrics: dict[str, Any], examples: Any = 12) -> CompressedReply:
    return CompressedReply(Change(b"abc"), {WEIGHT: examples}, Stats(0.0, 0.0, 0.0), legacy_metrics=metrics)


def test_metrics_of_every_type_come_back_as_they_were_beside_the_number_of_examples() -> None:
    """Also one that has the name under which surp-fl notes the number of examples."""
    found = from_record(to_record(reply(METRICS)))
    assert found.legacy_metrics == METRICS
    assert found.metrics == {WEIGHT: 12}
    content = metrics_of(found)
    assert dict(content.metric_records["metrics"]) == {WEIGHT: 12}
    assert dict(content.config_records[FIT_METRICS]) == METRICS


def test_a_legacy_app_without_metrics_is_still_one() -> None:
    assert from_record(to_record(reply({}))).legacy_metrics == {}


def test_text_is_no_metric_of_other_apps() -> None:
    record = to_record(reply({"name": "abc"}))
    del record[EXAMPLES]
    with pytest.raises(MalformedMessage, match="the metric 'name' is str; expected a number"):
        from_record(record)


@pytest.mark.parametrize("examples", ["many", True, b"\x00"])
def test_a_number_of_examples_that_is_none_is_malformed(examples: Any) -> None:
    with pytest.raises(MalformedMessage, match="expected a number"):
        from_record(to_record(reply({}, examples)))


def test_the_app_is_handed_its_message_without_our_entries() -> None:
    arrays = ArrayRecord()
    config: Any = {"lr": 0.1, SESSION: 1, ROUNDS: [1, 2], BUDGET: 200}
    content = without_directives(RecordDict({FIT_ARRAYS: arrays, "fitins.config": ConfigRecord(config), "mod": arrays}))
    assert dict(content.config_records["fitins.config"]) == {"lr": 0.1}
    assert list(content) == [FIT_ARRAYS, "fitins.config", "mod"]


def test_initial_parameters_are_passed_on_as_the_client_gives_them() -> None:
    class Giving(NumPyClient):
        def get_parameters(self, config: Any) -> Any:
            return initial()

    app = ClientApp(client_fn=lambda context: Giving().to_client(), mods=[CompressUpdates(SuRP(budget=200))])
    with as_server():
        grid = InProcessGrid(app, 1)
        content = RecordDict({"getparametersins.config": ConfigRecord()})
        (answer,) = grid.send_and_receive([grid.create_message(content, "get_parameters", 1, "0")])
    arrays = answer.content.array_records["getparametersres.parameters"]
    assert all(np.array_equal(array.numpy(), first) for array, first in zip(arrays.values(), initial(), strict=True))
    assert NAME not in answer.content
