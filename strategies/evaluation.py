"""Evaluations that wait for the next round's train messages, which carry the same model to the same clients.

Knows Flower's messages. Does not know models.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from flwr.app import Message, MetricRecord
from flwr.serverapp.strategy import Result

from surp_fl.flower.evaluation import EvaluationRequest, evaluation_in, put_request
from surp_fl.flower.protocol import SESSION
from surp_fl.flower.records import error_reply
from surp_fl.flower.versions import in_place_of

log = logging.getLogger("flwr")

Aggregate = Callable[[int, list[Message]], MetricRecord | None]  # server round, evaluate replies


class DeferredEvaluation:
    """The evaluation of one round's model, made in the next round's training.

    Args:
        rounds: of the run; the last one's model is trained no more, and evaluated in an exchange of its own.

    Attributes:
        server_round: whose model waits; 0 for none.
    """

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._requests: dict[int, EvaluationRequest] = {}  # by node
        self._asked: set[int] = set()  # nodes of this round
        self.server_round = 0
        self._metrics: dict[int, MetricRecord] = {}  # by round

    def defer(self, server_round: int, messages: list[Message]) -> bool:
        """Take a round's evaluate messages, if they can wait."""
        requests = {message.metadata.dst_node_id: EvaluationRequest.of(message) for message in messages}
        found = {node: request for node, request in requests.items() if request is not None}
        if server_round >= self._rounds or not found or len(found) < len(messages):
            return False
        self._requests, self.server_round = found, server_round
        return True

    def attach(self, messages: Iterable[Message]) -> None:
        """Add the waiting requests to train messages: as many as wait, to nodes that were to evaluate first."""
        if not self.server_round:
            return
        ordered = sorted(messages, key=lambda message: message.metadata.dst_node_id not in self._requests)
        for message in ordered[: len(self._requests)]:
            node = message.metadata.dst_node_id
            self._asked.add(node)
            request = self._requests.get(node) or next(iter(self._requests.values()))
            name = next(name for name, config in message.content.config_records.items() if SESSION in config)
            message.content = put_request(message.content, name, request)

    def collect(self, train_replies: Iterable[Message], aggregate: Aggregate) -> None:
        """Aggregate the evaluations that came with train replies, as those of the round whose model they are of.

        Args:
            train_replies: as they came.
            aggregate: gives the metrics of a round's evaluate replies, errors among them.
        """
        server_round, self.server_round, self._requests = self.server_round, 0, {}
        asked, self._asked = self._asked, set()
        if not server_round:
            return
        answers = [reply for reply in train_replies if reply.metadata.src_node_id in asked]
        replies = [found for reply in answers if (found := _evaluate_reply(reply)) is not None]
        if not replies:
            log.warning("surp-fl: none of %d clients evaluated the model of round %d", len(asked), server_round)
        elif (metrics := aggregate(server_round, replies)) is not None:
            log.info("\t└──> Aggregated MetricRecord of round %d's model: %s", server_round, metrics)
            self._metrics[server_round] = metrics

    def add_to(self, result: Result) -> None:
        """Add the metrics to the result of the run, in the order of rounds."""
        if self._metrics:
            every = self._metrics | dict(result.evaluate_metrics_clientapp)
            result.evaluate_metrics_clientapp = dict(sorted(every.items()))


def _evaluate_reply(reply: Message) -> Message | None:
    """The evaluate reply within a train reply, or an error in its place; None if there is none."""
    try:
        content = evaluation_in(reply)
    except (ValueError, TypeError) as fault:
        return error_reply(reply, f"surp-fl: its evaluation is no metrics: {fault}")
    return None if content is None else in_place_of(reply, content)
