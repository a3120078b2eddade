"""The decoding wrapper: messages come in, the inner strategy sees ordinary replies.

It must be the outermost strategy. Knows Flower and the table of readers. Does not know clients' training.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from surp_fl.codecs.codec import Scheme
from surp_fl.codecs.dense import longest
from surp_fl.errors import MalformedMessage
from surp_fl.flower.packed_model import digest_of
from surp_fl.flower.protocol import SESSION
from surp_fl.flower.records import arrays_of, count_bytes
from surp_fl.memory import norm_of
from surp_fl.statistics import Kinds
from surp_fl.strategies.aggregation import NOT_FINITE, Aggregator, Decoded, RoundReplies
from surp_fl.strategies.around import AroundStrategy
from surp_fl.strategies.directives import BudgetFor, budget_of, put_directives
from surp_fl.strategies.downlink.delivery import Delivery, Lossless
from surp_fl.strategies.downlink.initial import Initial, known_initial
from surp_fl.strategies.evaluation import DeferredEvaluation
from surp_fl.strategies.failures import FailureLimit
from surp_fl.strategies.initial_model import put_untrained
from surp_fl.strategies.learning import LearningMonitor, SentMessage, training_loss
from surp_fl.strategies.limits import payload_limit
from surp_fl.strategies.node_registry import SentModel
from surp_fl.strategies.norm_check import NormCheck
from surp_fl.strategies.own_start import OwnStart, has_own_start, rounds_of, timeout_of
from surp_fl.strategies.replies import (
    ParsedReply,
    by_content,
    check_evaluation,
    decode,
    log_rejections,
    parse_replies,
    reject,
    weights_of,
)
from surp_fl.strategies.round_stats import PREFIX, DownlinkBytes, MetricsChoice, RoundStats
from surp_fl.strategies.sessions import SavedSession, Session, save_session
from surp_fl.strategies.sparse_mean import needs_weighted_mean_only
from surp_fl.strategies.translated import chain_of
from surp_fl.strategies.untrained_mean import UntrainedMean
from surp_fl.strategies.validation import (
    all_finite,
    check_downlink,
    check_inner,
    check_metrics,
    check_one_model,
    check_outermost,
)
from surp_fl.updates import values_of

log = logging.getLogger("flwr")


class DecodeUpdates(AroundStrategy):
    """Decodes the messages of `CompressUpdates` for any Flower strategy that averages arrays.

    Each usable reply becomes the reply that the client would have sent without compression: the model that it was
    sent, plus its decoded update. A reply that cannot be used (damaged, of another scheme or model, not compressed) is
    logged and replaced by an error reply, so that the round continues without it. Replies are sorted by their contents,
    so that floating-point sums do not depend on the order in which they arrive.

    FedAvg, FedProx, FedAvgM, FedAdagrad, FedAdam and FedYogi (and strategies that inherit their aggregation) need the
    weighted mean of the replies alone: it is summed up from the sparse updates and handed on as one reply, so that
    memory does not grow with the number of clients. Any other strategy is handed each client's model.

    Public attributes and methods of the inner strategy are read, set and called on the wrapper as well, unless the
    wrapper has the name itself. A strategy with a `start` of its own runs it.

    Args:
        strategy: the inner strategy.
        scheme: decode messages of this scheme alone, and dense ones, which every client sends where the model is small
            enough for them to be the shorter; None decodes every scheme of this version.
        budget_for: (node id, round) -> bytes that the node's message may have in that round; None leaves budgets to the
            train config ("surp-fl:budget") and to the clients. A message longer than the announced budget, or than the
            dense message, is rejected before it is decoded.
        mean_alone: whether the inner strategy needs the weighted mean alone; None decides by its type.
        patience: rounds in a row without a usable reply that are tolerated, once a reply was usable; the model stays as
            it was in them.
        history_bytes: memory for the models of earlier rounds, which make messages smaller where clients hold them too;
            the last one is kept in any case.
        downlink: the scheme that compresses the model's changes for clients, as SuRP(budget=2000), or a function that
            gives the scheme of a round, counted from 1; "lossless" for all that changed, to the bit, which is little
            where updates are sparse and the server adds no momentum; None sends the full model each time.
        first_model_bits: with `downlink`: bits that a weight of the first model takes on its way down, as 8, 4 or 2,
            and of any later one to which no change leads; what is lost comes with later changes. None sends it as it
            is, compressed without loss.
        packed: send a full model as one array, which takes a client one request instead of one for each array; with
            `downlink` this is always so.
        initial: the model that clients with `CompressUpdates(..., initial=...)` make by themselves, so that they are
            sent only what differs from it: its name, if it is the model that the run starts from, or a function that
            makes it, as an ArrayRecord or arrays by name. Clients whose model has another digest are sent the full one.
        evaluate_with_train: whether clients evaluate a round's model when they are sent it to train, in the next round,
            and send both replies as one: half of Flower's requests. Needs `CompressUpdates.evaluates` on the clients,
            and Flower's `start`. The metrics appear in `Result` under the round whose model they are of; the model of
            the last round is evaluated in an exchange of its own.
        statistics: which float arrays are running statistics, "mean" or "variance" by name; they are sent beside the
            trained arrays, without error feedback. None recognises those of torch, Keras and flax by their names.
        proportion: reject updates whose L2 norm is more than this many times the usual one; None accepts any norm.
            `strategies/proportion.py` defines the usual norm.
        metrics: which figures of a round join the app's aggregated training metrics, under "surp-fl/": "few" (four),
            "all" or "none". None is "few" with Flower's `start`, which logs them, and "none" with a `start` of the
            strategy's own, which may write them to files. The inner strategy is given none in any case.

    Attributes:
        traffic: bytes and seconds of every round so far, in full whatever `metrics` is.

    Raises:
        TypeError, ValueError: the strategy cannot be the inner one; when made.
        RuntimeError: another strategy is around this one; in `configure_train`.
        NoUsableReplyError: there were replies, and none of them could be used, in the first round or in more than
            `patience` rounds in a row; in `aggregate_train`.
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
        downlink: Scheme | Callable[[int], Scheme] | Lossless | None = None,
        first_model_bits: float | None = None,
        packed: bool = True,
        initial: Initial | None = None,
        evaluate_with_train: bool = False,
        statistics: Kinds | None = None,
        proportion: float | None = 100.0,
        metrics: MetricsChoice | None = None,
    ) -> None:
        check_inner(strategy, mean_alone, DecodeUpdates)
        check_downlink(downlink, first_model_bits)
        check_metrics(metrics)
        self.scheme = scheme
        self.budget_for = budget_for
        self.mean_alone = needs_weighted_mean_only(strategy) if mean_alone is None else mean_alone
        self._decides_mean_alone = mean_alone is None
        self.patience = patience
        self.downlink = downlink
        self.first_model_bits = first_model_bits
        self.statistics = statistics
        self.proportion = proportion
        self._metrics = metrics  # private: strategies inside may have metrics of their own
        self.traffic: list[RoundStats] = []
        self._initial = known_initial(initial)
        self._delivery = Delivery(downlink, packed, kinds=statistics, initial=self._initial, bits=first_model_bits)
        self._norm_check = NormCheck(proportion)
        self._session = Session(history_bytes, statistics)
        self._aggregator = Aggregator(strategy, self.mean_alone)
        self._failures = FailureLimit(patience)
        self._learning = LearningMonitor()
        self._untrained_mean: UntrainedMean | None = None  # of this round
        self._evaluate_with_train = evaluate_with_train
        self._deferred: DeferredEvaluation | None = None  # of this run
        self._evaluation_downlink = DownlinkBytes.none()  # of this round
        self._running = False
        self._model: ArrayRecord | None = None  # the last one of this run; None before its first round
        self.strategy = strategy  # set last: see AroundStrategy

    def summary(self) -> None:
        """Log the inner strategy's configuration."""
        log.info("\t├──> Updates are decoded by surp-fl (%s)", self.scheme or "any known scheme")
        self.strategy.summary()

    def start(self, *args: Any, **options: Any) -> Result:
        """Run the rounds; arguments and result are those of the inner strategy's `start`, usually Flower's."""
        own = OwnStart(self.strategy, self) if has_own_start(self.strategy) else None
        start = super().start if own is None else own
        self.begin(timeout_of(self.strategy.start, args, options))
        if self._evaluate_with_train and own is None:
            self._deferred = DeferredEvaluation(rounds_of(start, args, options))
        try:
            result = start(*args, **options)
            if own is None and len(result.arrays):
                self._model = result.arrays
            self.end()
            if self._deferred is not None:
                self._deferred.add_to(result)
            return result
        finally:
            self._running, self._deferred = False, None

    def begin(self, timeout: float = 3600.0) -> None:
        """Begin a run, as `start` does; for a server that calls the other methods itself.

        Args:
            timeout: seconds that training and evaluation of a round have for their replies.
        """
        self._delivery = Delivery(
            self.downlink, self._delivery.packed, timeout, self.statistics, self._initial, self.first_model_bits
        )
        self._norm_check = NormCheck(self.proportion)  # norms of an earlier run may be those of another model
        if self._decides_mean_alone:
            self.mean_alone = needs_weighted_mean_only(self.strategy)
        self._aggregator = Aggregator(self.strategy, self.mean_alone)  # its attributes may have been set since
        self._running, self._model = True, None

    def end(self) -> None:
        """End a run: one that begins with the model that it ended with continues the session."""
        if self._model is not None:
            self._session.end(self._model)

    def saved_session(self) -> bytes:
        """What another process needs, beside the last model, for clients to go on with what they owe.

        Call it in `evaluate_fn` of round 1 and later, where the round's updates are in the model, and keep it with the
        model.

        Raises:
            RuntimeError: no round has begun, so that there is no session yet.
        """
        if self._model is None:
            raise RuntimeError("no round has begun: save the session from round 1 on, and keep what was saved before")
        return self._session.saved.to_bytes()

    def resume_session(self, saved: bytes, model: ArrayRecord) -> None:
        """Have the next start from a model continue the session that was saved with it.

        Args:
            saved: what `saved_session` gave in the round of the model. Of another round it would have clients send
                again what the model has, or not what it lacks.
            model: that the start gets as `initial_arrays`. Where this strategy ended a run with the same model, it goes
                on with its own session.

        Raises:
            ValueError: it is no saved session.
        """
        save_session(digest_of(arrays_of(model)), SavedSession.from_bytes(saved))

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Configure as the inner strategy does, attach models and directives, and record what each node is sent."""
        check_outermost(self._running, None if type(self).start is DecodeUpdates.start else type(self).__name__)
        session = self._session
        if self._model is None:
            before = session.id
            session.begin(arrays)
            if self._initial is not None and session.id != before:
                self._initial.forget()
            self._model = arrays
        session.initial.read(arrays)
        config[SESSION] = session.id
        untrained = session.initial.untrained_in(arrays) if self._aggregator.untrained_apart else {}
        trained = ArrayRecord({name: array for name, array in arrays.items() if name not in untrained})
        messages = list(self.strategy.configure_train(server_round, trained if untrained else arrays, config, grid))
        check_one_model(messages)
        if untrained:
            put_untrained(messages, untrained, list(arrays))
        stats = RoundStats(server_round)
        self.traffic.append(stats)
        session.round += 1
        public = self._delivery.train(messages, grid, arrays, server_round)
        models: dict[int, SentModel] = {}  # by id of the ArrayRecord, which the messages of a round share
        sent: dict[int, SentModel] = {}  # by node id
        for message in messages:
            ((name, record),) = message.content.array_records.items()
            if id(record) not in models:
                models[id(record)] = SentModel.of(session.round, name, record, public, self.statistics)
            sent[message.metadata.dst_node_id] = models[id(record)]
            stats.model_bytes = models[id(record)].bytes
        session.registry.begin_round(sent, messages)
        for message in messages:
            budget = budget_of(self.budget_for, message.metadata.dst_node_id, server_round)
            put_directives(message, session, budget, self.statistics)
        if self._deferred is not None and self._delivery.trains_global_model:  # the one that waits for its evaluation
            self._deferred.attach(messages)
        session.registry.payload_limits = {
            node: payload_limit(message.content, sent[node].layout)
            for message in messages
            for node in [message.metadata.dst_node_id]
        }
        stats.record_downlink(self._delivery.attach_models(messages))
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Decode, aggregate as the inner strategy does, and restore the model's dtypes."""
        registry, initial, aggregator = self._session.registry, self._session.initial, self._aggregator
        answers, resent = self._delivery.resend_missing(replies)
        self.traffic[-1].record_downlink(resent)
        if self._deferred is not None:
            self._deferred.collect(answers, self._aggregate_evaluation)
        parsed, errors = parse_replies(sorted(answers, key=by_content), registry, aggregator.weight_key)
        parsed.sort(key=lambda each: registry.retained_rounds(each.node)[:1])  # by history: the context cache hits
        model = parsed[0].sent_model if parsed else None
        self._untrained_mean = None if model is None else UntrainedMean(model.layout, model.untrained)
        before = [dict(vars(inner)) for inner in chain_of(self.strategy)]
        residual = dict(initial.residual)

        def check_usable(usable: int) -> None:
            self.traffic[-1].failures = len(errors)
            self._failures.check(server_round, usable, errors, self._packed_name())

        round_replies = RoundReplies(server_round, parsed, self._decoded(parsed, errors), errors, check_usable)
        nodes, arrays, metrics = aggregator.aggregate(round_replies)
        if arrays is not None:
            arrays = initial.cast(arrays, self._untrained_result())
        if arrays is not None and aggregator.untrained_apart and not all_finite(arrays):  # others report their own NaN
            name = type(chain_of(self.strategy)[0]).__name__
            log.error("surp-fl: round %d: what %s gives is %s", server_round, name, NOT_FINITE)
            initial.residual = residual
            for inner, attributes in zip(chain_of(self.strategy), before, strict=True):
                vars(inner).update(attributes)  # its momentum is not finite either
            return None, None
        if arrays is not None:
            registry.applied.update(dict.fromkeys(nodes, self._session.round))
            self._model = arrays
        if metrics is not None:
            self.traffic[-1].add_to_metrics(metrics, self._metrics_choice())
        return arrays, metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Configure as the inner strategy does, attach models, and count what is sent."""
        messages = list(self.strategy.configure_evaluate(server_round, arrays, config, grid))
        deferred = self._deferred if self._delivery.trains_global_model else None
        if deferred is not None and deferred.defer(server_round, messages):
            return []
        if not self.traffic:  # a start() of the strategy's own may evaluate first
            self.traffic.append(RoundStats(server_round))
        self._delivery.evaluate(messages, grid, arrays, server_round)
        self._evaluation_downlink = self._delivery.attach_models(messages)
        self.traffic[-1].record_downlink(self._evaluation_downlink)
        return messages

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Aggregate as the inner strategy does; with `metrics="all"`, one counts the model bytes that were sent."""
        if self._deferred is not None and self._deferred.server_round == server_round:
            return None  # its metrics come with the next round's training
        answers, resent = self._delivery.resend_missing(replies)
        self.traffic[-1].record_downlink(resent)
        metrics = self._aggregate_evaluation(server_round, answers)
        if metrics is not None and self._metrics_choice() == "all":
            sent_bytes = sum(self._evaluation_downlink.payload) + sum(resent.payload)
            metrics[f"{PREFIX}payload_bytes_down_sum"] = sent_bytes
        return metrics

    def _aggregate_evaluation(self, server_round: int, answers: list[Message]) -> MetricRecord | None:
        """The metrics that the inner strategy makes of evaluate replies; those that it cannot use are errors to it."""
        key = self._aggregator.evaluation_key
        usable, errors = check_evaluation(answers, key)
        log_rejections(errors)
        if usable and key is not None and not any(weights_of(usable, key)):
            log.warning("surp-fl: all evaluations of this round weigh 0 ('%s'): there is no mean of them", key)
            return None
        return self.strategy.aggregate_evaluate(server_round, usable + self._aggregator.errors_to_show(errors))

    def _metrics_choice(self) -> MetricsChoice:
        return self._metrics or ("none" if has_own_start(self.strategy) else "few")

    def _decoded(self, parsed: list[ParsedReply], errors: list[Message]) -> Decoded:
        """Decode one reply after the other; those that cannot be decoded, or are out of proportion, become errors."""
        stats, registry, weight_key = self.traffic[-1], self._session.registry, self._aggregator.weight_key
        checked = self._norm_check.decode_round(parsed, lambda each: decode(each, registry, self.scheme))
        for each, result, seconds in checked:
            if isinstance(result, MalformedMessage):
                errors.append(reject(each.reply, result))
                continue
            registry.confirm(each.node)
            if self._untrained_mean is not None:
                weight = each.compressed.metrics[weight_key] if weight_key else 1.0
                self._untrained_mean.add(float(weight), result.untrained, result.in_part)
            compressed, values = each.compressed, values_of(result.update)
            stats.record_reply(compressed, values.size, count_bytes(each.reply.content), seconds)
            message = SentMessage.of(compressed.stats, norm_of(values), compressed.change.payload, values.size)
            self._learning.observe(each.node, message, training_loss(compressed.metrics))
            yield each, result
        if parsed:
            self._learning.end_round(longest(parsed[0].sent_model.layout.untied))

    def _untrained_result(self) -> dict[str, Any]:
        """The integer arrays and running statistics of this round that are not left to the inner strategy."""
        if self._untrained_mean is None:
            return {}
        return self._untrained_mean.mean() if self._aggregator.untrained_apart else self._untrained_mean.agreed()

    def _packed_name(self) -> str | None:
        """The name of the ArrayRecord that apps expect, where the model travels as one array."""
        name = next((sent.arrays_name for sent in self._session.registry.sent.values()), None)
        return name if self._delivery.packed or self.downlink else None
