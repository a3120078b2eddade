"""Flower's legacy types ↔ the records of its message API. Knows types alone.

Legacy arrays have no names: they are named "0", "1", … by their place, as Flower names them on the wire.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, RecordDict

from surp_fl.errors import MalformedMessage
from surp_fl.flower.legacy_records import FIT_METRICS, WEIGHT
from surp_fl.strategies.legacy.flower_types import Code, EvaluateRes, FitRes, Parameters, Scalar, Status
from surp_fl.strategies.limits import check_numbers

_NUMPY = "numpy.ndarray"  # tensor type of arrays that are stored as numpy.save does
OK = Status(Code.OK, "")


def record_of_parameters(parameters: Parameters) -> ArrayRecord:
    """Name arrays by their place; their bytes are shared, not copied.

    Raises:
        ValueError: there are none, or they are not NumPy arrays.
    """
    if not parameters.tensors:
        raise ValueError(
            "the model has no arrays; expected those of the initial model: give the strategy initial_parameters=, or "
            "let the client's get_parameters() return them"
        )
    if parameters.tensor_type not in (_NUMPY, ""):
        raise ValueError(
            f"the model has tensors of type {parameters.tensor_type!r}; expected {_NUMPY!r}: make it with "
            "ndarrays_to_parameters()"
        )
    return ArrayRecord({str(place): _array_of(place, tensor) for place, tensor in enumerate(parameters.tensors)})


def _array_of(place: int, tensor: bytes) -> Array:
    try:
        array = np.load(io.BytesIO(tensor), allow_pickle=False)
    except (ValueError, EOFError) as fault:
        raise ValueError(
            f"array {place} of the model cannot be read ({fault}); expected what numpy.save writes: make the model "
            "with ndarrays_to_parameters(), of arrays that have no objects in them"
        ) from fault
    return Array(dtype=str(array.dtype), shape=tuple(array.shape), stype=_NUMPY, data=tensor)


def parameters_of_record(record: ArrayRecord) -> Parameters:
    """The arrays of a record, in its order."""
    return Parameters(tensors=[array.data for array in record.values()], tensor_type=_NUMPY)


def fit_res_of(content: RecordDict, sent: ArrayRecord) -> FitRes:
    """The reply that a legacy client without compression would have sent.

    Args:
        content: of a decoded reply.
        sent: the model that the client was sent; its arrays stand for those that the reply leaves out.
    """
    (arrays,) = content.array_records.values()
    parameters = parameters_of_record(ArrayRecord({name: arrays.get(name, array) for name, array in sent.items()}))
    return FitRes(OK, parameters, *metrics_of(content))


def metrics_of(content: RecordDict) -> tuple[int, dict[str, Scalar]]:
    """Number of examples and metrics of a decoded reply."""
    (numbers,) = content.metric_records.values()
    examples: Any = numbers[WEIGHT]
    metrics: Any = dict(content.config_records.get(FIT_METRICS, {}))
    return int(examples), metrics


def evaluate_res_of(content: RecordDict) -> EvaluateRes:
    """Read an evaluation reply.

    Raises:
        MalformedMessage: it is none of a legacy client, or its metrics cannot be logged.
    """
    try:
        loss: Any = content.metric_records["evaluateres.loss"]["loss"]
        examples: Any = content.metric_records["evaluateres.num_examples"]["num_examples"]
        metrics = content.config_records["evaluateres.metrics"]
        status: Any = content.config_records["evaluateres.status"]
        check_numbers(metrics)
        values: dict[str, Scalar] = dict(metrics)  # type: ignore[arg-type]
        return EvaluateRes(Status(Code(status["code"]), str(status["message"])), float(loss), int(examples), values)
    except (KeyError, TypeError, ValueError) as fault:
        raise MalformedMessage(
            f"the evaluation reply holds {sorted(content)}, and {fault!r}; expected that of a legacy client: give the "
            "ClientApp a client_fn"
        ) from fault
