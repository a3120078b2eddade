"""The server warns once where compression keeps a model from learning, and not where it does not."""

from __future__ import annotations

import logging
import math
import re
from collections import defaultdict
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from flwr.app import MetricRecord, RecordDict

from surp_fl import CompressUpdates, Dense, SuRP
from surp_fl.codecs.codec import Scheme
from surp_fl.flower.message_stats import coordinates_of, stats_of
from surp_fl.flower.records import Stats, record_of
from surp_fl.strategies import DecodeUpdates
from surp_fl.strategies.learning import (
    LEAST_SENT,
    LOSSES,
    MESSAGES,
    LearningMonitor,
    SentMessage,
    rounded_up,
    says_next_to_nothing,
    send_more,
    training_loss,
)
from tests.flower_app import Arrays, app_with, fedavg, run
from tests.strategies import learning_runs

LITTLE = SentMessage(sent=0.2, held=0.01, residual_norm=1.0, tenth_bytes=2345.0)
DENSE_BYTES = 400_000


def growing(count: int = MESSAGES, **changes: Any) -> list[SentMessage]:
    return [replace(LITTLE, residual_norm=1.0 + place, **changes) for place in range(count)]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if "squared norm" in each.getMessage()]


@pytest.fixture(autouse=True)
def _hear(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("flwr").propagate = True
    caplog.set_level(logging.WARNING, "flwr")


# What is measured.


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("freedom", [2, 50])
def test_the_coordinates_that_hold_a_share_are_those_that_sorting_finds(share: float, freedom: int) -> None:
    vector = np.random.default_rng(0).standard_t(freedom, 3_000_000).astype(np.float32)
    energies = np.cumsum(np.sort(np.square(vector, dtype=np.float64))[::-1])
    exact = int(np.searchsorted(energies, share * energies[-1])) + 1
    assert coordinates_of(vector, share) == pytest.approx(exact, rel=0.02, abs=1)


@pytest.mark.parametrize(("vector", "expected"), [([0, 0], 0), ([0, -3], 1), ([1] * 100, 10), ([1e-38] * 20, 2)])
def test_coordinates_of_special_vectors(vector: list[float], expected: float) -> None:
    assert coordinates_of(np.array(vector, np.float32), 0.1) == pytest.approx(expected)


def test_the_stats_of_a_message_are_its_norms() -> None:
    delta, wanted, sent = (np.array(each, np.float32) for each in ([3, 4], [6, 8], [6, 0]))
    assert stats_of(0.5, delta, wanted, sent, wanted - sent) == Stats(0.5, 0.8, 8.0, 5.0, 1.0)


def test_a_client_that_reports_no_figures_or_trained_nothing_is_not_judged() -> None:
    full = Stats(0.5, 0.75, 8.0, 5.0, 10.0)
    assert SentMessage.of(full, 6.0, 218, 2) == SentMessage(1.2, 0.4375, 8.0, 1090.0)
    for name in ("relative_error", "residual_norm", "update_norm", "tenth"):
        assert SentMessage.of(replace(full, **{name: None}), 6.0, 218, 2) is None
    assert SentMessage.of(replace(full, update_norm=0.0), 0.0, 4, 0) is None


def test_the_bytes_for_a_tenth_of_a_dense_update_follow_from_the_share_that_its_message_holds() -> None:
    """An update that rank-one terms or EDEN make has values nearly everywhere, at less than a bit each."""
    terms, useless = (Stats(0.5, error, 8.0, 5.0, 700.0) for error in (math.sqrt(0.975), 100.0))
    found, nothing = SentMessage.of(terms, 6.0, 98, 49_152), SentMessage.of(useless, 6.0, 98, 49_152)
    assert found is not None
    assert nothing is not None
    assert found.tenth_bytes == pytest.approx(392)
    assert nothing.held == 0
    assert send_more([found], DENSE_BYTES).endswith("SuRP(budget=400)) would send about a tenth")
    assert send_more([nothing], DENSE_BYTES).endswith(
        "holds 0 % of the squared norm; CompressUpdates(Dense()) would send all of it"
    )
    assert "SuRP(budget=16)" in send_more([replace(found, tenth_bytes=2.0)], DENSE_BYTES)


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"num-examples": 3, "train_loss": 2.0}, 2.0),
        ({"loss": 1, "eval_loss": 5.0}, 1.0),
        ({"val-loss": 5.0, "testLoss": 4.0}, None),
        ({"accuracy": 0.5, "losses": [1.0, 2.0]}, None),
    ],
)
def test_the_training_loss_is_found_by_its_name(metrics: dict[str, Any], expected: float | None) -> None:
    assert training_loss(metrics) == expected


# The signs.


def test_a_client_says_next_to_nothing_if_it_sent_little_held_little_and_never_owed_less() -> None:
    assert says_next_to_nothing(growing())
    assert not says_next_to_nothing(growing(sent=0.3))
    assert not says_next_to_nothing([*growing(MESSAGES - 1), replace(LITTLE, residual_norm=9.0, held=0.1)])
    assert not says_next_to_nothing([*growing(MESSAGES - 1), replace(LITTLE, residual_norm=0.5)])


def observed(monitor: LearningMonitor, rounds: list[dict[int, SentMessage]], losses: list[float] | None = None) -> None:
    for place, replies in enumerate(rounds):
        for node, message in replies.items():
            monitor.observe(node, message, None if losses is None else losses[place])
        monitor.end_round(DENSE_BYTES)


def test_one_warning_says_how_many_clients_how_much_and_what_budget(caplog: pytest.LogCaptureFixture) -> None:
    monitor, good = LearningMonitor(), SentMessage(1.0, 0.5, 1.0, 100.0)
    rounds = [{1: message, 2: message, 3: good} for message in growing(2 * MESSAGES)]
    observed(monitor, rounds[: MESSAGES - 1])
    assert not told(caplog)
    observed(monitor, rounds[MESSAGES - 1 :])
    (line,) = told(caplog)
    assert "2 of 3 clients sent 20% of what training changed" in line
    assert (
        "a message holds 1 % of the squared norm; CompressUpdates(SuRP(budget=2400)) would send about a tenth" in line
    )


def test_clients_are_judged_by_their_own_messages_however_seldom_they_take_part(
    caplog: pytest.LogCaptureFixture,
) -> None:
    monitor = LearningMonitor()
    observed(monitor, [{place % 3: message} for place, message in enumerate(growing(3 * MESSAGES - 3))])
    assert not told(caplog)
    observed(monitor, [{0: replace(LITTLE, residual_norm=99.0)}])
    assert len(told(caplog)) == 1


def test_without_error_feedback_the_warning_says_that_the_rest_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    observed(LearningMonitor(), [{1: replace(LITTLE, residual_norm=0.0)}] * MESSAGES)
    assert "and the rest is lost" in told(caplog)[0]


def test_where_a_tenth_takes_as_much_as_everything_the_cure_is_dense(caplog: pytest.LogCaptureFixture) -> None:
    observed(LearningMonitor(), [{1: message} for message in growing(tenth_bytes=4e5)])
    assert "CompressUpdates(Dense()) would send all of it" in told(caplog)[0]


@pytest.mark.parametrize(
    ("losses", "held", "warns"),
    [
        ([6.5, 6.5, 6.5, 6.6, 6.7, 6.8], 0.01, True),
        ([6.5, 6.5, 6.5, 6.6, 6.6, 6.6], 0.01, False),
        ([6.5, 6.5, 6.5, 6.6, 6.7, 6.8], 0.5, True),
        ([6.5, 6.5, 6.5, 6.6, 6.7, 6.8], 0.9, False),
        ([6.5, 6.5, 6.8, 6.9, 7.0], 0.01, False),
        ([6.5, 6.5, 6.5, 5.0, 4.0, 3.0, 6.8, 6.8, 6.8], 0.01, True),
    ],
    ids=["risen", "noise", "large messages", "lossless", "too few rounds", "fell first"],
)
def test_a_training_loss_that_rises_is_warned_about(
    losses: list[float], held: float, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    message = replace(LITTLE, sent=1.0, held=held)
    observed(LearningMonitor(), [{1: message, 2: message}] * len(losses), losses)
    assert len(told(caplog)) == warns
    assert all(f"rose from 6.5 (their first {LOSSES} messages) to 6." in line for line in told(caplog))
    assert all("lower the learning rate" in line for line in told(caplog))
    assert all(("SuRP(budget=2400)" in line) == (held < 0.1) for line in told(caplog))


def test_clients_whose_losses_differ_are_compared_with_themselves(caplog: pytest.LogCaptureFixture) -> None:
    monitor, message = LearningMonitor(), replace(LITTLE, sent=1.0)
    for place in range(12):  # one client with a small loss takes part first, one with a large loss later
        monitor.observe(place // 6, message, 1.0 if place < 6 else 9.0)
        monitor.end_round(DENSE_BYTES)
    assert not told(caplog)


@pytest.mark.parametrize(("figure", "expected"), [(16_208.3, 17_000), (99.5, 100), (7.5, 8), (0.0, 0), (2300, 2300)])
def test_budgets_are_rounded_up_to_two_digits(figure: float, expected: int) -> None:
    assert rounded_up(figure) == expected


# Whole runs.


@pytest.mark.parametrize("name", learning_runs.RUNS)
def test_runs_of_lenet5_that_learn_are_not_warned_about(name: str, caplog: pytest.LogCaptureFixture) -> None:
    monitor = LearningMonitor()
    figures = [each for each in learning_runs.read() if each.run == name]
    assert len({each.server_round for each in figures}) == learning_runs.RUNS[name][2]
    for _, replies in groupby(figures, lambda each: each.server_round):
        for each in replies:
            monitor.observe(each.node, each.message, each.loss)
        monitor.end_round(DENSE_BYTES)
    assert not told(caplog)


def test_the_least_that_is_sent_lies_between_what_runs_send_that_learn_and_the_lora_app() -> None:
    least: dict[str, float] = defaultdict(lambda: math.inf)
    by_client: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    for each in learning_runs.read():
        sent = by_client[each.run, each.node]
        sent.append(each.message.sent)
        if len(sent) >= MESSAGES:
            least[each.run] = min(least[each.run], sum(sent[-MESSAGES:]) / MESSAGES)
    assert set(least) == set(learning_runs.RUNS)
    assert min(least[name] for name in least if "80 B" not in name) == pytest.approx(0.44, abs=0.005)
    assert min(least.values()) == pytest.approx(0.36, abs=0.005)
    assert min(least.values()) > LEAST_SENT


@pytest.mark.slow
def test_a_lora_app_without_terms_is_warned_about_and_learns_with_terms_or_with_the_budget_that_the_warning_names(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("torch", reason="the LoRA app needs PyTorch")
    from tests import lora

    def progress(scheme: Scheme) -> float:
        strategy = DecodeUpdates(fedavg(nodes=4, fraction_evaluate=0.0))
        found = run(lora.app_with([CompressUpdates(scheme)]), strategy, MESSAGES, nodes=4, start=lora.initial)
        return lora.test_loss(found.models[0]) - lora.test_loss(found.models[-1])

    plain = progress(Dense())
    assert plain > 0.9  # of a loss of 6.7
    assert not told(caplog)
    assert progress(SuRP(budget=218, rank_one=0)) < plain / 10
    (line,) = told(caplog)
    found = re.search(r"4 of 4 clients sent \d+% of what training changed.*SuRP\(budget=(\d+)\)", line)
    assert found
    caplog.clear()
    assert progress(SuRP(budget=int(found[1]), rank_one=0)) > plain / 4
    assert not told(caplog)
    assert progress(SuRP(budget=218)) > plain / 4


BEST = np.random.default_rng(0).standard_t(2, (100, 100)).astype(np.float32)


def least_squares(scheme: Scheme, rate: float) -> list[float]:
    """Losses by round of clients that each step by `rate` to the best weights; without compression, 2 is the limit."""
    losses: list[float] = []

    def step(arrays: Arrays, node: int, server_round: int) -> Arrays:
        error = BEST - arrays["weight"]
        losses.append(float(np.square(error).mean()))
        return {"weight": arrays["weight"] + np.float32(rate) * error}

    def reply(arrays: Arrays) -> RecordDict:
        metrics = MetricRecord({"num-examples": 1, "loss": losses[-1]})
        return RecordDict({"arrays": record_of(arrays), "metrics": metrics})

    app = app_with([CompressUpdates(scheme)], step, reply)
    run(app, DecodeUpdates(fedavg(fraction_evaluate=0.0)), 8, start=lambda: {"weight": np.zeros_like(BEST)})
    return losses[::3]


@pytest.mark.parametrize("budget", [100, 1000])
def test_training_that_diverges_only_with_compression_is_warned_about_and_converges_as_the_warning_advises(
    budget: int, caplog: pytest.LogCaptureFixture
) -> None:
    plain = least_squares(Dense(), rate=1.9)
    assert plain[-1] < plain[0] / 2
    assert not told(caplog)
    risen = least_squares(SuRP(budget=budget), rate=1.9)
    assert risen[-1] > 2 * risen[0]
    (line,) = told(caplog)
    assert "training loss rose from" in line
    assert "lower the learning rate" in line
    caplog.clear()
    advised = least_squares(SuRP(budget=budget), rate=0.2)
    assert advised[-1] < advised[0] / 2
    assert not told(caplog)
