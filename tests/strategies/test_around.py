"""The wrapper has the inner strategy's public attributes: reading, setting, copying, pickling, listing them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from flwr.app import MetricRecord
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping, FedAvg, Strategy

from surp_fl import CompressUpdates, SuRP
from surp_fl.strategies import DecodeUpdates
from tests.flower_app import app_with, fedavg, run


class Saving(FedAvg):
    """With methods and attributes as apps have them."""

    saved_to = ""

    def set_save_path(self, path: str) -> Strategy:
        self.saved_to = path
        return self

    def _private(self) -> None:
        """Not for the outside."""


def wrapped(**options: Any) -> DecodeUpdates:
    return DecodeUpdates(Saving(fraction_evaluate=0.0, **options))


def private(inner: Strategy) -> Strategy:
    return DifferentialPrivacyServerSideFixedClipping(inner, 0.01, 1.0, 3)


def test_public_attributes_and_methods_of_the_inner_strategy_are_read_on_the_wrapper() -> None:
    strategy = wrapped(fraction_train=0.25)
    assert strategy.fraction_train == 0.25
    assert strategy.set_save_path("here") is strategy.strategy
    assert strategy.saved_to == "here"


def test_public_attributes_that_are_set_on_the_wrapper_are_those_that_the_inner_strategy_reads() -> None:
    strategy = wrapped()
    strategy.fraction_train = 0.5
    strategy.new_to_both = 7
    assert vars(strategy.strategy)["fraction_train"] == 0.5
    assert vars(strategy.strategy)["new_to_both"] == 7
    assert not {"fraction_train", "new_to_both"} & set(vars(strategy))


def test_what_the_wrapper_has_itself_stays_on_the_wrapper() -> None:
    inner = Saving(fraction_evaluate=0.0)
    inner.patience = 99  # type: ignore[attr-defined]
    strategy = DecodeUpdates(inner)
    strategy.patience = 5
    strategy._own = 1
    assert (strategy.patience, strategy.strategy.patience) == (5, 99)  # type: ignore[attr-defined]
    assert "_own" not in vars(inner)
    with pytest.raises(AttributeError, match=r"DecodeUpdates has no attribute '_private'"):
        strategy._private  # noqa: B018


def test_a_subclass_keeps_the_attributes_that_its_class_body_names() -> None:
    class Counting(DecodeUpdates):
        rounds_seen = 0

    strategy = Counting(Saving(fraction_evaluate=0.0))
    strategy.rounds_seen = 3
    assert vars(strategy)["rounds_seen"] == 3
    assert not hasattr(strategy.strategy, "rounds_seen")


def test_of_nested_strategies_the_outermost_that_has_the_attribute_is_meant() -> None:
    innermost = Saving(fraction_evaluate=0.0)
    strategy = DecodeUpdates(private(innermost))
    strategy.noise_multiplier = 0.5
    strategy.set_save_path("there")
    strategy.fraction_train = 0.5
    strategy.new_to_all = 1
    assert strategy.strategy.noise_multiplier == 0.5  # type: ignore[attr-defined]
    assert (innermost.saved_to, innermost.fraction_train) == ("there", 0.5)
    assert strategy.strategy.new_to_all == 1  # type: ignore[attr-defined]


def test_the_error_of_an_attribute_that_is_nowhere_names_all_strategies() -> None:
    strategy = DecodeUpdates(private(Saving(fraction_evaluate=0.0)))
    pattern = r"neither DecodeUpdates nor .*\(DifferentialPrivacyServerSideFixedClipping > Saving\) has .* 'nowhere'"
    with pytest.raises(AttributeError, match=pattern):
        strategy.nowhere  # noqa: B018
    assert not hasattr(strategy, "nowhere")


def test_dir_lists_the_inner_strategys_public_names() -> None:
    assert {"set_save_path", "fraction_train", "traffic", "start"} <= set(dir(wrapped()))
    assert "_construct_messages" not in dir(wrapped())


def test_it_remains_what_it_is_to_isinstance() -> None:
    strategy = wrapped()
    assert isinstance(strategy, Strategy)
    assert not isinstance(strategy, FedAvg)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_copies_and_pickles_have_the_attributes_too(duplicate: Any) -> None:
    strategy = wrapped(fraction_train=0.25)
    twin = duplicate(strategy)
    assert twin.fraction_train == 0.25
    twin.patience = 9
    assert strategy.patience == 2
    if duplicate is not copy.copy:
        twin.fraction_train = 0.75
        assert strategy.fraction_train == 0.25


def test_an_unfinished_object_has_no_attributes_of_an_inner_strategy() -> None:
    with pytest.raises(AttributeError, match="DecodeUpdates has no attribute 'strategy'"):
        DecodeUpdates.__new__(DecodeUpdates).strategy  # noqa: B018


def test_a_weight_key_or_aggregation_that_is_set_on_the_wrapper_is_used() -> None:
    app = app_with([CompressUpdates(SuRP(budget=100))])
    given: list[tuple[str, int]] = []

    def models(contents: Any, weighted_by: str) -> MetricRecord:
        given.extend((weighted_by, len(content.array_records)) for content in contents)
        return MetricRecord()

    strategy = DecodeUpdates(fedavg(fraction_evaluate=0.0))
    assert strategy.mean_alone
    strategy.weighted_by_key = "loss"
    strategy.train_metrics_aggr_fn = models
    run(app, strategy, rounds=1)
    assert given == [("loss", 1)] * 3  # the models of three clients
    assert not strategy.mean_alone
