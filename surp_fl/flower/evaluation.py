"""Evaluation of the received model in the exchange that trains it: its request and its result.

An evaluation of its own takes a client as many of Flower's requests as training does. Here a train message carries the
evaluate message's config, and the compressed reply carries the metrics. Keys: protocol.py. Knows Flower's records. Does
not know models.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict

from surp_fl.flower.protocol import EVALUATE, EVALUATED, EVALUATED_NAME, EVALUATION_CONFIG, NAME

log = logging.getLogger("flwr")

Evaluate = Callable[[Message, Context], Message]


@dataclass(frozen=True)
class EvaluationRequest:
    """What an evaluate message says beside the model.

    Attributes:
        message_type: "evaluate", or "evaluate.<action>".
        config_name: name of its ConfigRecord.
        config: the entries of that.
    """

    message_type: str
    config_name: str
    config: dict[str, Any]

    @classmethod
    def of(cls, message: Message) -> EvaluationRequest | None:
        """Read an evaluate message; None where it has more than a model and one config."""
        configs = message.content.config_records
        if len(configs) != 1 or len(message.content) != 2 or len(message.content.array_records) != 1:
            return None
        ((name, config),) = configs.items()
        return cls(message.metadata.message_type, name, dict(config))


def put_request(content: RecordDict, name: str, request: EvaluationRequest) -> RecordDict:
    """Add a request to the ConfigRecord of this name; new content."""
    entries = {f"{EVALUATION_CONFIG}{key}": value for key, value in request.config.items()}
    entries[EVALUATE] = [request.message_type, request.config_name]
    return RecordDict({**content, name: ConfigRecord({**content.config_records[name], **entries})})


def take_request(content: RecordDict) -> tuple[RecordDict, EvaluationRequest | None]:
    """The content of a train message without a request, and the request; None for none."""
    for name, config in content.config_records.items():
        asked_for: Any = config.get(EVALUATE)
        match asked_for:
            case [str(message_type), str(config_name)]:
                own = {key: value for key, value in config.items() if not key.startswith(EVALUATE)}
                asked = {
                    key.removeprefix(EVALUATION_CONFIG): value
                    for key, value in config.items()
                    if key.startswith(EVALUATION_CONFIG)
                }
                request = EvaluationRequest(message_type, config_name, asked)
                return RecordDict({**content, name: ConfigRecord(own)}), request
    return content, None


def evaluated(
    request: EvaluationRequest, evaluate: Evaluate | None, message: Message, context: Context
) -> dict[str, Any]:
    """Evaluate the model of a train message, before it is trained.

    Args:
        request: of the server.
        evaluate: the app's function; None if it is not known.
        message: with the model; afterwards as before.
        context: of the client.

    Returns:
        Entries of the reply's ConfigRecord: the metrics; none where the app has no such function, or it fails.
    """
    if evaluate is None:
        log.warning(
            "surp-fl: the server asks for an evaluation with the training, and this client does not know how: put "
            "@compress.evaluates below the app's @app.evaluate(), with compress = CompressUpdates(...)"
        )
        return {}
    content, train = message.content, message.metadata.message_type
    arrays = {name: ArrayRecord({**record}) for name, record in content.array_records.items()}  # it may empty them
    message.content = RecordDict({**arrays, request.config_name: ConfigRecord(request.config)})
    message.metadata.message_type = request.message_type
    try:
        reply = evaluate(message, context)
        if reply.has_error() or len(reply.content.metric_records) != 1:
            raise ValueError(f"its reply has {'an error' if reply.has_error() else 'not one MetricRecord'}")
        ((name, metrics),) = reply.content.metric_records.items()
    except Exception as fault:  # the training goes on without it
        log.warning("surp-fl: the evaluation before the training fails: %r", fault)
        return {}
    finally:
        message.content, message.metadata.message_type = content, train
    return {EVALUATED_NAME: name} | {f"{EVALUATED}{key}": value for key, value in metrics.items()}


def evaluation_in(reply: Message) -> RecordDict | None:
    """The content that an evaluate reply would have had, as read from a train reply; None for none.

    Raises:
        ValueError, TypeError: what is there is no metric.
    """
    record = reply.content.config_records.get(NAME) if reply.has_content() else None
    name = None if record is None else record.get(EVALUATED_NAME)
    if record is None or not isinstance(name, str):
        return None
    metrics: Any = {key.removeprefix(EVALUATED): value for key, value in record.items() if key.startswith(EVALUATED)}
    return RecordDict({name: MetricRecord(metrics)})
