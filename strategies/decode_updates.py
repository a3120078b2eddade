"""The decoding wrapper: messages come in, the inner strategy sees ordinary replies.

It must be the outermost strategy. Knows Flower and the table of readers. Does not know clients' training.
"""

from __future__ import annotations

import inspect
import json
import logging
import operator
import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Result, Strategy
from numpy.typing import NDArray

from surp_fl.codecs.codec import Scheme
from surp_fl.errors import MalformedMessage
from surp_fl.flower.packed_model import digest_of
from surp_fl.flower.protocol import APPLIED, BUDGET, KINDS, NAME, ROUND, ROUNDS, SESSION
from surp_fl.flower.records import arrays_of, count_bytes, ordinary_reply
from surp_fl.printable import printable
from surp_fl.statistics import Kinds
from surp_fl.strategies.decoding import Weighing
from surp_fl.strategies.downlink.delivery import Delivery
from surp_fl.strategies.first_model import FirstModel
from surp_fl.strategies.limits import most_bytes
from surp_fl.strategies.lineage import Ended, remember, taken_up
from surp_fl.strategies.node_registry import Books, Broadcast
from surp_fl.strategies.replies import (
    Opened,
    Said,
    by_content,
    decode,
    fit_to_log,
    is_ours,
    left_out,
    log_left_out,
    open_all,
    within_reason,
)
from surp_fl.strategies.sparse_mean import Mean, keeps_others_out, needs_only_the_mean
from surp_fl.strategies.standstill import Standstill
from surp_fl.strategies.traffic import PREFIX, Down, Traffic
from surp_fl.strategies.untrained_mean import Beside
from surp_fl.strategies.validation import (
    all_finite,
    check_downlink,
    check_inner,
    check_one_model,
    check_outermost,
    hint_for,
    nested,
)
from surp_fl.updates import as_vector, indices_of, values_of

log = logging.getLogger("flwr")

BudgetFor = Callable[[int, int], int]  # node id, round -> bytes
_REASONS = 5  # that are told of a round without a usable reply
_NOT_FINITE = "not finite; the model stays as it is, and what clients sent is owed again"
_Aggregated = tuple[list[int], ArrayRecord | None, MetricRecord | None]  # nodes whose updates went in; the result


class NoUsableReply(RuntimeError):  # noqa: N818  (the name says what is the matter)
    """Rounds had replies, and none of them could be used: the training diverged, or nothing fits together."""


class DecodeUpdates(Strategy):
    """Decodes the messages of `CompressUpdates` for any Flower strategy that averages arrays.

    Each usable reply becomes the reply that the client would have sent without compression: the model it was
    sent, plus its decoded update. A reply that cannot be used (damaged, of another scheme or model, not
    compressed) is logged and becomes an error reply, so that it costs itself and not the round. Replies are
    handed on in an order that depends on their contents alone, so that sums do not depend on who answered first.

    FedAvg, FedProx, FedAvgM, FedAdagrad, FedAdam and FedYogi (and strategies that inherit how they aggregate) need the
    weighted mean of the replies alone: it is summed up in pairs of index and value, and handed on as one reply, so that
    memory does not grow with the clients. Any other strategy is handed each client's model.

    Args:
        strategy: the strategy to run inside.
        scheme: refuse messages of any other scheme but dense ones, which every client sends to models that are small
            enough for them; None decodes every scheme that this version knows.
        budget_for: gives the bytes that a node's message may have in a round, (node id, round) -> bytes; None leaves
            it to the train config ("surp-fl:budget") and to the clients. A longer message than its node was told, or
            than the dense one, is refused before it is decoded.
        mean_alone: whether the inner strategy needs the weighted mean alone; None finds out by its type.
        patience: rounds in a row that may have no usable reply, and leave the model as it was, once there was one.
        history_bytes: for models of earlier rounds, which make messages smaller where clients hold them too; the last
            one is kept in any case.
        downlink: how the model's changes are sent to clients, as SuRP(budget=2000); None sends the model each time.
        packed: send a whole model as one array, which takes one request of a client in place of one an array; with
            `downlink` that is so in any case.
        statistics: which float arrays are running statistics, "mean" or "variance" by name; they are sent beside the
            trained arrays and no debt is kept of them. None recognises those of torch, Keras and flax by their names.
        proportion: how many times the usual L2 norm of an update a client's may have; a longer one is left out. None
            takes any. `strategies/proportion.py` says what is usual.

    Attributes:
        traffic: bytes and times of every round so far.

    Raises:
        TypeError, ValueError: the strategy is not one that can be inside; when made.
        RuntimeError: another strategy is around this one; in `configure_train`.
        NoUsableReply: there were replies, and none of them could be used, in the first round or in several in a row;
            in `aggregate_train`.
    """

    def __init__(
        self,
        strategy: Strategy,
        scheme: Scheme | None = None,
        *,
        budget_for: BudgetFor | None = None,
        mean_alone: bool | None = None,
        patience: int = 2,
        history_bytes: int = 1 << 28,
        downlink: Scheme | None = None,
        packed: bool = True,
        statistics: Kinds | None = None,
        proportion: float | None = 100.0,
    ) -> None:
        check_inner(strategy, mean_alone)
        check_downlink(downlink)
        self.strategy = strategy
        self.scheme = scheme
        self.budget_for = budget_for
        self.mean_alone = needs_only_the_mean(strategy) if mean_alone is None else mean_alone
        self.patience = patience
        self.downlink = downlink
        self.statistics = statistics
        self.proportion = proportion
        self._delivery = Delivery(downlink, packed, kinds=statistics)
        self._weighing = Weighing(proportion)
        self.traffic: list[Traffic] = []
        self._weighted_by: Any = getattr(nested(strategy)[-1], "weighted_by_key", None)
        self._books = Books(history_bytes)
        self._history_bytes = history_bytes
        self._session = secrets.randbits(62)
        self._last = b""  # digest of the model that a start ended with
        self._turn = 0  # rounds that this object has begun; rises from one start to the next
        self._evaluation = Down([], [])
        self._running = False
        self._failed_rounds = patience  # in a row; none is forgiven before a reply was usable
        self._others_beside = self.mean_alone or keeps_others_out(strategy)
        self._first = FirstModel(statistics)
        self._beside: Beside | None = None  # of this round
        self._standstill = Standstill(nested(strategy)[-1])

    def summary(self) -> None:
        """Log the inner strategy's configuration."""
        log.info("\t├──> Updates are decoded by surp-fl (%s)", self.scheme or "any known scheme")
        self.strategy.summary()

    def start(self, *args: Any, **options: Any) -> Result:
        """Run the rounds; arguments and result are those of Flower's `Strategy.start`."""
        self._running = True
        self._weighing = Weighing(self.proportion)  # another model, maybe: what was usual before says nothing of it
        given = inspect.signature(super().start).bind(*args, **options).arguments
        timeout = given.get("timeout", 3600.0)
        self._delivery = Delivery(self.downlink, self._delivery.packed, timeout, self.statistics)
        initial = given["initial_arrays"]
        version = digest_of(arrays_of(initial))
        before = taken_up(version)
        if version != self._last:  # another model than this object's: what clients owe is owed to the one before
            before = before or Ended(secrets.randbits(62), self._turn)
            self._session, self._turn, self._books = before.session, before.turn, Books(self._history_bytes)
            self._books.applied.update(before.applied)
            self._first = FirstModel(self.statistics)
        try:
            result = super().start(*args, **options)
            self._last = digest_of(arrays_of(result.arrays if len(result.arrays) else initial))
            remember(self._last, Ended(self._session, self._turn, dict(self._books.applied)))
            return result
        finally:
            self._running = False

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Configure as the inner strategy does, and remember what each node is sent."""
        check_outermost(self._running)
        self._first.see(arrays)
        config[SESSION] = self._session
        others = self._first.others_in(arrays) if self._others_beside else {}
        trained = ArrayRecord({name: array for name, array in arrays.items() if name not in others})
        messages = list(self.strategy.configure_train(server_round, trained if others else arrays, config, grid))
        check_one_model(messages)
        if others:
            _put_back(messages, others, list(arrays))
        self.traffic.append(Traffic(server_round))
        self._turn += 1
        public = self._delivery.train(messages, grid, arrays)
        broadcasts: dict[int, Broadcast] = {}  # the messages of a round share their ArrayRecord
        sent: dict[int, Broadcast] = {}
        for message in messages:
            ((name, record),) = message.content.array_records.items()
            if id(record) not in broadcasts:
                broadcasts[id(record)] = Broadcast.of(self._turn, name, record, public, self.statistics)
            sent[message.metadata.dst_node_id] = broadcasts[id(record)]
            self.traffic[-1].model_bytes = broadcasts[id(record)].bytes
        self._books.begin(sent)
        for message in messages:
            self._tell(message, server_round)
        self._books.most = {
            node: most_bytes(message.content, sent[node].layout)
            for message in messages
            for node in [message.metadata.dst_node_id]
        }
        self.traffic[-1].went(self._delivery.fill(messages))
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Decode, aggregate as the inner strategy does, and keep the model's dtypes."""
        answers, again = self._delivery.answered(replies)
        self.traffic[-1].went(again)
        opened, errors = open_all(sorted(answers, key=by_content), self._books, self._weighted_by)
        opened.sort(key=lambda each: self._books.rounds(each.node)[:1])  # what is read off two models is read once
        one_model = len({id(each.broadcast) for each in opened}) == 1
        aggregate = self._aggregate_mean if self.mean_alone and one_model else self._aggregate_each
        self._beside = Beside(opened[0].broadcast.layout, opened[0].broadcast.others) if opened else None
        before = [dict(vars(inner)) for inner in nested(self.strategy)]
        owed = dict(self._first.owed)
        applied, arrays, metrics = aggregate(server_round, opened, errors)
        if arrays is not None:
            arrays = self._first.like(arrays, self._others_of_all())
        if arrays is not None and self._others_beside and not all_finite(arrays):  # others' NaN is theirs to tell
            log.error("surp-fl: round %d: what %s gives is %s", server_round, type(self.strategy).__name__, _NOT_FINITE)
            self._first.owed = owed
            for inner, kept in zip(nested(self.strategy), before, strict=True):
                vars(inner).update(kept)  # its momentum, which is not finite either
            return None, None
        if arrays is not None:
            self._books.applied.update(dict.fromkeys(applied, self._turn))
        if metrics is not None:
            self.traffic[-1].add_to(metrics)
        return arrays, metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Configure as the inner strategy does, and count what is sent."""
        messages = list(self.strategy.configure_evaluate(server_round, arrays, config, grid))
        self._delivery.evaluate(messages, grid, arrays)
        self._evaluation = self._delivery.fill(messages)
        self.traffic[-1].went(self._evaluation)
        return messages

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Aggregate as the inner strategy does; the metrics say how many bytes of arrays went down for it."""
        answers, again = self._delivery.answered(replies)
        self.traffic[-1].went(again)
        usable, errors = within_reason(answers)
        log_left_out(errors)
        metrics = self.strategy.aggregate_evaluate(server_round, usable + self._handed_on(errors))
        if metrics is not None:
            metrics[f"{PREFIX}payload_bytes_down_sum"] = sum(self._evaluation.payload) + sum(again.payload)
        return metrics

    def _tell(self, message: Message, server_round: int) -> None:
        """Put into a message what its node alone has to know; the arrays stay shared."""
        node = message.metadata.dst_node_id
        told: dict[str, Any] = {ROUND: self._turn, APPLIED: self._books.applied.get(node, 0)}
        if rounds := self._books.rounds(node):  # Flower cannot count an empty list
            told[ROUNDS] = rounds
        if self.statistics is not None:
            told[KINDS] = json.dumps(dict(self.statistics))
        if self.budget_for is not None:
            told[BUDGET] = _whole(self.budget_for(node, server_round), node)
        configs = message.content.config_records
        name = next((name for name, config in configs.items() if SESSION in config), NAME)
        config = ConfigRecord({**configs.get(name, {SESSION: self._session}), **told})
        message.content = RecordDict({**message.content, name: config})

    def _aggregate_each(self, server_round: int, opened: list[Opened], errors: list[Message]) -> _Aggregated:
        """Hand the inner strategy each client's model."""
        applied = []
        replies = []
        weights: list[Any] = []
        coordinates: list[NDArray[np.int64]] = []
        for each, said in self._decoded(opened, errors):
            layout = each.broadcast.layout.untied
            arrays = layout.moved(each.broadcast.arrays, as_vector(said.change, layout.size))
            if not all(np.isfinite(array).all() for array in arrays.values()):
                errors.append(left_out(each.reply, MalformedMessage("its model is beyond what its floats hold")))
                continue
            if not self._others_beside:
                arrays = layout.assembled(arrays, said.others)
            each.reply.content = ordinary_reply(each.update, arrays, each.broadcast.arrays_name, each.reply.content)
            replies.append(each.reply)
            applied.append(each.node)
            coordinates += [indices_of(said.change)] if self._standstill.watching else []
            weights += [each.update.metrics[self._weighted_by]] if self._weighted_by else []
        self._check_some(server_round, len(replies), errors)
        if (weights and not any(weights)) or (errors and not replies):
            return [], None, None
        result, metrics = self.strategy.aggregate_train(server_round, [*replies, *self._handed_on(errors)])
        if result is not None and coordinates and len({id(each.broadcast) for each in opened}) == 1:
            before, layout = opened[0].broadcast.arrays, opened[0].broadcast.layout.untied
            after = layout.flatten_floats(arrays_of(result))
            self._standstill.see(coordinates, layout.flatten_floats(before), after)
        return applied, result, metrics

    def _aggregate_mean(self, server_round: int, opened: list[Opened], errors: list[Message]) -> _Aggregated:
        """Hand the inner strategy one reply, which holds the weighted mean of all models."""
        assert isinstance(self.strategy, FedAvg)
        mean = Mean(opened[0].broadcast, self.strategy.weighted_by_key)
        applied = []
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is looked at
            for each, said in self._decoded(opened, errors):
                mean.add(each.update, said.change)
                applied.append(each.node)
            self._check_some(server_round, len(applied), errors)
            if not mean.weight:
                return [], None, None  # nobody's, or that of clients without a single example
            content = mean.content()
        if not all_finite(*content.array_records.values()):
            log.error("surp-fl: round %d: the mean of %d replies is %s", server_round, len(applied), _NOT_FINITE)
            return [], None, None
        log.info("aggregate_train: surp-fl hands on the mean of %d replies as one", len(applied))
        one = next(each.reply for each in opened if each.node == applied[0])
        one.content = content
        with mean.metrics_of_all(self.strategy):
            return applied, *self.strategy.aggregate_train(server_round, [one, *self._handed_on(errors)])

    def _others_of_all(self) -> dict[str, NDArray[Any]]:
        """The arrays of this round's result that are not left to the strategy."""
        if self._beside is None:
            return {}
        return self._beside.mean() if self._others_beside else self._beside.agreed()

    def _handed_on(self, errors: list[Message]) -> list[Message]:
        """The errors that the inner strategy is told of: Flower's DP wrappers give a round up for a single one."""
        told = errors if len(nested(self.strategy)) == 1 else [reply for reply in errors if not is_ours(reply)]
        return fit_to_log(told)

    def _decoded(self, opened: list[Opened], errors: list[Message]) -> Iterator[tuple[Opened, Said]]:
        """Decode one after the other; what cannot be decoded, or is out of proportion, joins the errors."""
        traffic = self.traffic[-1]
        for each, said, seconds in self._weighing.round(opened, lambda each: decode(each, self._books, self.scheme)):
            if isinstance(said, MalformedMessage):
                errors.append(left_out(each.reply, said))
                continue
            self._books.understood(each.node)
            traffic.decode_seconds.append(seconds)
            if self._beside is not None:
                weight = each.update.metrics[self._weighted_by] if self._weighted_by else 1.0
                self._beside.add(float(weight), said.others)
            traffic.payload_bytes_up.append(each.update.change.payload)
            traffic.coordinates_up.append(values_of(said.change).size)
            traffic.record_bytes_up.append(count_bytes(each.reply.content))
            traffic.measured(each.update.stats)
            yield each, said

    def _check_some(self, server_round: int, usable: int, errors: list[Message]) -> None:
        """Log which replies cannot be used; raise NoUsableReply where none can, and that has to be."""
        log_left_out(errors)
        self.traffic[-1].failures = len(errors)
        if usable or not errors:
            self._failed_rounds = 0 if usable else self._failed_rounds
            return
        different = sorted({printable(reply.error.reason) for reply in errors})
        more = f"; and {len(different) - _REASONS} more" if len(different) > _REASONS else ""
        reasons = "; ".join(different[:_REASONS]) + more
        name = next((sent.arrays_name for sent in self._books.sent.values()), None)
        hint = hint_for(errors, name if self._delivery.packed or self.downlink else None)
        said = f"round {server_round}: none of the {len(errors)} replies could be used: {reasons}{hint}"
        if self._failed_rounds >= self.patience:
            raise NoUsableReply(said)
        self._failed_rounds += 1
        log.error("surp-fl: %s; the model stays as it is", said)


def _whole(budget: Any, node: int) -> int:
    try:
        return operator.index(budget)
    except TypeError:
        raise TypeError(f"budget_for gives {budget!r} for node {node}; expected a whole number of bytes") from None


def _put_back(messages: list[Message], others: dict[str, Array], order: list[str]) -> None:
    """Put arrays that the inner strategy was not shown into its messages; those that share a record go on sharing."""
    whole: dict[int, ArrayRecord] = {}
    for message in messages:
        ((name, record),) = message.content.array_records.items()
        if id(record) not in whole:
            whole[id(record)] = ArrayRecord({key: others[key] if key in others else record[key] for key in order})
        message.content = RecordDict({**message.content, name: whole[id(record)]})
