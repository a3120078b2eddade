"""Targets: Flower's records, as they come over the network: replies, models, directives, and legacy ones."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from surp_fl import MalformedMessage, SuRP
from surp_fl.array_spec import specs_of
from surp_fl.change import Change, change_of
from surp_fl.flower import legacy_records, protocol
from surp_fl.flower.client_state import ServerDirectives
from surp_fl.flower.evaluation import take_request
from surp_fl.flower.packed_model import digest_of
from surp_fl.flower.received_model import receive_model
from surp_fl.flower.records import announced_kinds, from_record, metrics_of, to_record
from surp_fl.merged_change import merge
from surp_fl.strategies.legacy.conversions import evaluate_res_of
from tests.fuzz.targets.model import MODEL, MODEL_LAYOUT
from tests.fuzz.targets.sections import changed, message_of
from tests.fuzz.targets.target import Fields, Target, pieces

_MOST = 12  # entries of a record
_KNOWN = digest_of(MODEL)
_AFTER = changed()
_REPLY_KEYS = (
    protocol.NAME, protocol.STATISTICS, protocol.INTEGER_ARRAYS, protocol.UNTIED, protocol.STATS, protocol.ARRAYS_NAME,
    protocol.METRICS_NAME, protocol.EXAMPLES, protocol.MISSING, "loss", "accuracy", protocol.EVALUATED + "x",
)  # fmt: skip
_DIRECTIVE_KEYS = (
    protocol.SESSION, protocol.ROUND, protocol.ROUNDS, protocol.APPLIED, protocol.BUDGET, protocol.EVALUATE,
    "server-round", "lr", protocol.EVALUATION_CONFIG + "batch",
)  # fmt: skip


def _after_lengths(values: list[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(each)) + each for each in values)


_VALUES: tuple[Callable[[Fields], Any], ...] = (
    lambda fields: fields.signed(8),
    lambda fields: struct.unpack("<d", fields.take(8).ljust(8, b"\0"))[0],
    lambda fields: fields.piece().decode("latin-1"),
    Fields.piece,
    lambda fields: bool(fields.number(1) & 1),
    lambda fields: [fields.signed(2) for _ in range(fields.number(1) % 5)],
    lambda fields: [fields.piece() for _ in range(fields.number(1) % 3)],
    lambda fields: [fields.piece().decode("latin-1") for _ in range(fields.number(1) % 3)],
    lambda fields: [bool(fields.number(1) & 1) for _ in range(fields.number(1) % 3)],
    lambda fields: _KNOWN,
    lambda fields: [_KNOWN] * (fields.number(1) % 3),
    lambda fields: [message_of(fields.piece(), MODEL_LAYOUT) for _ in range(fields.number(1) % 3)],
    lambda fields: [_after_lengths([fields.piece(), fields.piece()]) for _ in range(fields.number(1) % 3)],
)


def _entries(fields: Fields, keys: tuple[str, ...]) -> ConfigRecord:
    """Any entries under these keys: each after its key and its kind."""
    found: dict[str, Any] = {}
    for _ in range(fields.number(1) % _MOST):
        key = keys[fields.number(1) % len(keys)]
        found[key] = _VALUES[fields.number(1) % len(_VALUES)](fields)
    return ConfigRecord(found)


def reply(data: bytes) -> None:
    """A compressed reply's record; what is read and written again is read as the same."""
    try:
        found = from_record(_entries(Fields(data), _REPLY_KEYS))
    except MalformedMessage:
        return
    again = from_record(to_record(found))
    assert (again.change, again.arrays_name, again.untied) == (found.change, found.arrays_name, found.untied)
    assert again.metrics.keys() == found.metrics.keys(), "other metrics come back"
    assert repr(again.stats) == repr(found.stats), "other figures come back"
    metrics_of(found)


def downlink(data: bytes) -> None:
    """The config of a train message with a model, and perhaps a full model; the client holds a version, or none."""
    fields = Fields(data)
    form = fields.number(1)
    config = _entries(fields, protocol.DOWN)
    version = digest_of(_AFTER) if form & 1 else _KNOWN
    content = RecordDict(
        {"config": ConfigRecord({**config, protocol.VERSION: version, protocol.ARRAYS_NAME: "arrays"})}
    )
    if form & 2:
        packed = fields.rest()
        array = Array(dtype="uint8", shape=(len(packed),), stype="numpy.ndarray", data=packed)
        content[protocol.PACKED] = ArrayRecord({"model": array})
    try:
        found = receive_model(content, None if form & 4 else MODEL, make_initial=lambda name: _AFTER)
    except MalformedMessage:
        return
    assert found.version == version, "another version"
    assert found.arrays is None or digest_of(found.arrays) == version, "another model than the version says"
    assert found.arrays is None or specs_of(found.arrays) == specs_of(MODEL), "another kind of model"


def directives(data: bytes) -> None:
    """The config of a train message, beside the model."""
    content = RecordDict({"config": _entries(Fields(data), _DIRECTIVE_KEYS)})
    with suppress(ValueError):
        found = ServerDirectives.of(content)
        assert found.budget is None or isinstance(found.budget, int), "a budget that is no number"
        assert {type(found.session_round), type(found.server_round)} == {int}, "rounds are no numbers"
    own, request = take_request(content)
    assert request is None or not any(key.startswith(protocol.EVALUATE) for key in own["config"]), "a request is left"
    fields = Fields(data)
    kinds = ConfigRecord({protocol.KINDS: fields.rest().decode("latin-1")})
    with suppress(ValueError):
        assert isinstance(announced_kinds(RecordDict({"config": kinds})), dict), "kinds that are no mapping"


def legacy_reply(data: bytes) -> None:
    """The records of a legacy app's replies, to a train and to an evaluate message."""
    fields = Fields(data)
    present, keys = fields.number(1), ("code", "message", "num_examples", "loss", "x")
    configs = [_entries(fields, keys) for _ in range(2)]
    numbers = MetricRecord({keys[2 + place]: fields.signed(8) for place in range(fields.number(1) % 3)})
    loss = MetricRecord({"loss": struct.unpack("<d", fields.take(8).ljust(8, b"\0"))[0]})
    trained = {
        legacy_records.FITTED_ARRAYS: ArrayRecord(),
        legacy_records.FIT_STATUS: configs[0],
        legacy_records.FIT_METRICS: configs[1],
        legacy_records.FIT_EXAMPLES: numbers,
    }
    evaluated = {
        "evaluateres.loss": loss,
        "evaluateres.num_examples": numbers,
        "evaluateres.metrics": configs[1],
        "evaluateres.status": configs[0],
    }
    with suppress(ValueError):
        found = legacy_records.message_content(_some(trained, present))
        assert legacy_records.WEIGHT in found["metrics"], "a reply without its number of examples"
    with suppress(MalformedMessage):
        evaluate_res_of(_some(evaluated, present))


def _some(records: dict[str, Any], which: int) -> RecordDict:
    return RecordDict({name: record for place, (name, record) in enumerate(records.items()) if which >> place & 1})


def _entry(keys: tuple[str, ...], key: str, kind: int, value: bytes) -> bytes:
    return bytes([keys.index(key), kind]) + value


def _change() -> Change:
    wanted = MODEL_LAYOUT.difference(_AFTER, MODEL)
    return change_of(SuRP(99), wanted, MODEL, _AFTER, MODEL_LAYOUT, np.random.default_rng(0), None)


def _seeds_of_replies() -> Iterator[bytes]:
    made = _change()
    entries = [
        _entry(_REPLY_KEYS, protocol.NAME, 3, pieces(made.message)),
        _entry(_REPLY_KEYS, protocol.STATS, 3, pieces(struct.pack("<5f", 1, 2, 3, 4, np.inf))),
        _entry(_REPLY_KEYS, "loss", 1, struct.pack("<d", 0.5)),
        _entry(_REPLY_KEYS, protocol.METRICS_NAME, 2, pieces(b"m")),
        _entry(_REPLY_KEYS, protocol.INTEGER_ARRAYS, 3, pieces(made.integers)),
    ]
    yield bytes([len(entries)]) + b"".join(entries)
    yield bytes([len(entries) + 1, *_entry(_REPLY_KEYS, protocol.EXAMPLES, 0, struct.pack("<q", 9))]) + b"".join(
        entries
    )


def _seeds_of_downlinks() -> Iterator[bytes]:
    keys, merged, made = protocol.DOWN, merge(MODEL, _AFTER), _change()
    assert merged is not None
    bases = _entry(keys, protocol.BASES, 10, b"\1")
    yield b"\1\2" + bases + _entry(keys, protocol.MERGED, 3, pieces(merged))
    delta = _entry(keys, protocol.DELTAS, 11, b"\1" + pieces(b"\3" + made.message[4:]))
    sections = _entry(keys, protocol.SECTIONS, 12, b"\1" + pieces(made.statistics, made.integers))
    yield b"\0\4" + bases + delta + sections + _entry(keys, protocol.KEEP, 4, b"\1")
    yield b"\1\1" + _entry(keys, protocol.INITIAL, 2, pieces(b"lenet"))
    form = b'[["w","f4",[1]]]'
    yield b"\2\1" + _entry(keys, protocol.MANIFEST, 3, pieces(form)) + bytes(4)


def _seeds_of_directives() -> Iterator[bytes]:
    keys = _DIRECTIVE_KEYS
    rounds = [(protocol.SESSION, 5), (protocol.ROUND, 3), (protocol.APPLIED, 2), (protocol.BUDGET, 218)]
    entries = [_entry(keys, key, 0, struct.pack("<q", value)) for key, value in rounds]
    entries.append(_entry(keys, protocol.EVALUATE, 7, b"\2" + pieces(b"evaluate", b"config")))
    yield bytes([len(entries)]) + b"".join(entries)
    yield b'{"norm.mean": "mean"}'


TARGETS = (
    Target(reply, "from_record", _seeds_of_replies),
    Target(downlink, "receive_model", _seeds_of_downlinks, 400),
    Target(directives, "take_request", _seeds_of_directives),
    Target(legacy_reply, "legacy_records", lambda: [bytes([15, 1, 0, 0, *bytes(8), 0, 1, *bytes(20)])], 128),
)
