"""The lossless downlink: clients hold the server's model to the bit, and are sent what changed in it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from flwr.serverapp.strategy import FedAdam, FedAvg

from surp_fl import CompressUpdates, ErrorFeedback, SuRP
from surp_fl.flower.packed_model import digest_of
from surp_fl.strategies import DecodeUpdates
from tests.flower_app import Arrays, app_with, run
from tests.strategies.test_downlink import Seen

UP = SuRP(budget=60, memory=ErrorFeedback())


def start() -> Arrays:
    rng = np.random.default_rng(0)
    return {"weight": rng.normal(size=(60, 50)).astype(np.float32), "batches": np.array(0)}


WHOLE = sum(array.nbytes for array in start().values())


@pytest.mark.parametrize("initial", [None, "tiny"])
@pytest.mark.parametrize("evaluation", [0.0, 1.0], ids=["train alone", "and evaluate"])
def test_clients_train_the_very_model_of_the_server_for_a_fraction_of_its_bytes(
    initial: Any, evaluation: float
) -> None:
    random.seed(2)
    seen = Seen()
    inner = FedAvg(fraction_train=0.5, fraction_evaluate=evaluation, min_available_nodes=6)
    strategy = DecodeUpdates(inner, downlink="lossless", initial=initial)
    mod = CompressUpdates(UP, initial=lambda context: start())
    found = run(app_with([mod], learn=seen), strategy, rounds=12, nodes=6, start=start)
    assert [seen.digests[number] for number in range(1, 13)] == [{digest_of(model)} for model in found.models[:12]]
    sizes = [traffic.payload_bytes_down for traffic in strategy.traffic]
    assert sum(traffic.failures for traffic in strategy.traffic) == 0
    whole = sum(size == WHOLE for each in sizes for size in each)
    assert whole == (0 if initial else 6)  # each client once
    assert all(size < WHOLE / 3 for each in sizes for size in each if size != WHOLE)
    if evaluation:
        assert all(min(each) == 0 for each in sizes[1:])  # what was evaluated is trained next, by those who were asked


def test_a_server_whose_model_moves_everywhere_sends_whole_models_as_without() -> None:
    strategy = DecodeUpdates(FedAdam(eta=0.01, min_available_nodes=3, fraction_evaluate=0.0), downlink="lossless")
    seen = Seen()
    found = run(app_with([CompressUpdates(UP)], learn=seen), strategy, rounds=4, start=start)
    assert [seen.digests[number] for number in range(1, 5)] == [{digest_of(model)} for model in found.models[:4]]
    assert all(size <= WHOLE for traffic in strategy.traffic for size in traffic.payload_bytes_down)
    assert sum(traffic.failures for traffic in strategy.traffic) == 0
