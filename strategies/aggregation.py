"""Decoded replies → the inner strategy: each client's model, or one reply that holds their weighted mean.

Knows Flower's strategies and decoded replies. Does not know how replies are decoded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord
from flwr.serverapp.strategy import FedAvg, Strategy
from numpy.typing import NDArray

from surp_fl.errors import MalformedMessage
from surp_fl.flower.records import arrays_of, ordinary_reply
from surp_fl.strategies.replies import DecodedReply, ParsedReply, is_rejection, reject, shorten_errors
from surp_fl.strategies.sparse_mean import Mean, averages_untrained_apart
from surp_fl.strategies.stagnation import StagnationMonitor
from surp_fl.strategies.translated import chain_of
from surp_fl.strategies.validation import all_finite, nested
from surp_fl.updates import as_vector, indices_of

log = logging.getLogger("flwr")

NOT_FINITE = "not finite; the model stays as it is, and clients add what they sent back to their residuals"
Decoded = Iterator[tuple[ParsedReply, DecodedReply]]
CheckUsable = Callable[[int], None]  # is given the number of usable replies once all are decoded; may end the run


class Aggregate(NamedTuple):
    """The result of one round.

    Attributes:
        nodes: ids of the nodes whose updates are in it.
        arrays: the new model; None where the strategy has none.
        metrics: aggregated training metrics; None where there are none.
    """

    nodes: list[int]
    arrays: ArrayRecord | None
    metrics: MetricRecord | None


@dataclass(frozen=True)
class RoundReplies:
    """The replies of one round.

    Attributes:
        server_round: counted from 1.
        parsed: the replies whose records are valid.
        decoded: the same ones, decoded as the iterator advances; those that cannot be are missing.
        errors: error replies, to which `decoded` adds those that it rejects.
        check_usable: called after the last reply is decoded.
    """

    server_round: int
    parsed: list[ParsedReply]
    decoded: Decoded
    errors: list[Message]
    check_usable: CheckUsable

    @property
    def one_model(self) -> bool:
        """Whether all nodes that replied were sent the same model."""
        return len({id(each.sent_model) for each in self.parsed}) == 1


class Aggregator:
    """Hands decoded replies to the inner strategy.

    Args:
        strategy: the inner strategy.
        mean_only: whether it needs the weighted mean of the replies alone.

    Attributes:
        weight_key: the metric that weighs a reply; None where the strategy has none.
        evaluation_key: the same of evaluations, which Flower's FedAvg needs to be of one form; None where the strategy
            aggregates them in a way of its own.
        untrained_apart: whether integer arrays and running statistics are averaged apart from the strategy.
        stagnation: warns where the strategy discards most of what clients send.
    """

    def __init__(self, strategy: Strategy, mean_only: bool) -> None:
        innermost = nested(strategy)[-1]
        self._strategy = strategy
        self._mean_only = mean_only
        self.weight_key: Any = getattr(innermost, "weighted_by_key", None)
        own = isinstance(innermost, FedAvg) and type(innermost).aggregate_evaluate is FedAvg.aggregate_evaluate
        self.evaluation_key: Any = self.weight_key if own else None
        self.untrained_apart = mean_only or averages_untrained_apart(strategy)
        self.stagnation = StagnationMonitor(innermost)

    def aggregate(self, replies: RoundReplies) -> Aggregate:
        """Aggregate one round."""
        if self._mean_only and replies.one_model:
            return self._aggregate_mean(replies)
        return self._aggregate_models(replies)

    def errors_to_show(self, errors: list[Message]) -> list[Message]:
        """The errors that the inner strategy is given: Flower's DP wrappers skip a round that has a single error."""
        shown = errors if len(chain_of(self._strategy)) == 1 else [reply for reply in errors if not is_rejection(reply)]
        return shorten_errors(shown)

    def _aggregate_models(self, replies: RoundReplies) -> Aggregate:
        """Hand the inner strategy each client's model."""
        nodes = []
        ordinary = []
        weights: list[Any] = []
        coordinates: list[NDArray[np.int64]] = []
        for each, content in replies.decoded:
            layout = each.sent_model.layout.untied
            arrays = layout.moved(each.sent_model.arrays, as_vector(content.update, layout.size))
            if not all(np.isfinite(array).all() for array in arrays.values()):
                replies.errors.append(reject(each.reply, MalformedMessage("its model is beyond what its floats hold")))
                continue
            if not self.untrained_apart:
                arrays = layout.assembled(arrays, content.untrained)
            name = each.sent_model.arrays_name
            each.reply.content = ordinary_reply(each.compressed, arrays, name, each.reply.content)
            ordinary.append(each.reply)
            nodes.append(each.node)
            coordinates += [indices_of(content.update)] if self.stagnation.active else []
            weights += [each.compressed.metrics[self.weight_key]] if self.weight_key else []
        replies.check_usable(len(ordinary))
        if (weights and not any(weights)) or (replies.errors and not ordinary):
            return Aggregate([], None, None)
        shown = [*ordinary, *self.errors_to_show(replies.errors)]
        result, metrics = self._strategy.aggregate_train(replies.server_round, shown)
        if result is not None and coordinates and replies.one_model:
            sent = replies.parsed[0].sent_model
            before, layout = sent.arrays, sent.layout.untied
            after = layout.flatten_floats(arrays_of(result))
            self.stagnation.observe(coordinates, layout.flatten_floats(before), after)
        return Aggregate(nodes, result, metrics)

    def _aggregate_mean(self, replies: RoundReplies) -> Aggregate:
        """Hand the inner strategy one reply, which holds the weighted mean of all models."""
        assert isinstance(self._strategy, FedAvg)
        mean = Mean(replies.parsed[0].sent_model, self._strategy.weighted_by_key)
        nodes = []
        with np.errstate(over="ignore", invalid="ignore"):  # the result is checked below
            for each, content in replies.decoded:
                mean.add(each.compressed, content.update)
                nodes.append(each.node)
            replies.check_usable(len(nodes))
            if not mean.weight:
                return Aggregate([], None, None)  # no usable reply, or none with a training example
            reply_content = mean.content()
        if not all_finite(*reply_content.array_records.values()):
            log.error("surp-fl: round %d: the mean of %d replies is %s", replies.server_round, len(nodes), NOT_FINITE)
            return Aggregate([], None, None)
        log.info("surp-fl: the 1 result below is the weighted mean of %d clients' updates", len(nodes))
        one = next(each.reply for each in replies.parsed if each.node == nodes[0])
        one.content = reply_content
        with mean.metrics_of_all(self._strategy):
            shown = [one, *self.errors_to_show(replies.errors)]
            return Aggregate(nodes, *self._strategy.aggregate_train(replies.server_round, shown))
