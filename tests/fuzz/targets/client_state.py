"""Target: what a client stored between rounds, of which a file was cut or overwritten on the disk."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from flwr.app import Array, ArrayRecord, Context, RecordDict

from surp_fl.flower import protocol
from surp_fl.flower.client_origin import load_origin, save_origin
from surp_fl.flower.client_state import ServerDirectives, load, load_local_version, save, save_local_version
from tests.fuzz.targets.model import MODEL, MODEL_LAYOUT
from tests.fuzz.targets.sections import changed
from tests.fuzz.targets.target import Fields, Target, numbers

_DIRECTIVES = ServerDirectives(2, 5, 2, (1, 2), 0, None)  # the message of round 1 was not applied


def _saved() -> RecordDict:
    context = _context(RecordDict())
    vector = MODEL_LAYOUT.flatten(MODEL)
    sent = np.array([1, 5, 9]), np.array([0.5, -1, 2], np.float32)
    save_local_version(context, changed(), None, None)
    save_origin(context, MODEL, changed(), None)
    save(context, {"residual": vector}, sent, vector, MODEL_LAYOUT, ServerDirectives(1, 5, 1, (1,), 0, None))
    return context.state


def _context(state: RecordDict) -> Context:
    return Context(run_id=1, node_id=1, node_config={}, state=state, run_config={})


_STATE = _saved()
_ARRAYS = [(record, name) for record in _STATE.array_records for name in _STATE.array_records[record]]


def client_state(data: bytes) -> None:
    """One stored array, of which the first bytes stay, and the others are what the fuzzer says."""
    fields = Fields(data)
    which = _ARRAYS[fields.number(1) % len(_ARRAYS)]
    damaged = _damaged(*which, fields.number(2), fields.rest())
    context = _context(RecordDict({**_STATE, which[0]: damaged}))
    stored = load(context, MODEL_LAYOUT, _DIRECTIVES)
    local = load_local_version(context)
    if local is not None:
        load_origin(context, local)
    residual = stored.memory.get("residual")
    assert residual is None or residual.shape == (MODEL_LAYOUT.size,), "a residual of another model"
    assert stored.model is None or stored.model.shape == (MODEL_LAYOUT.size,), "another model"
    assert 0 < stored.presence <= 1, "no share of rounds"


def _damaged(record: str, name: str, kept: int, rest: bytes) -> ArrayRecord:
    """A record of the state, with one of its arrays damaged."""
    found = dict(_STATE.array_records[record])
    array = found[name]
    found[name] = Array(dtype=array.dtype, shape=array.shape, stype=array.stype, data=array.data[:kept] + rest)
    return ArrayRecord(found)


def _seeds() -> Iterator[bytes]:
    for number, (record, name) in enumerate(_ARRAYS):
        data = _STATE.array_records[record][name].data
        header = 10 + int.from_bytes(data[8:10], "little")
        for kept in (len(data), len(data) - 3, header, 4):
            yield bytes([number]) + numbers(2, kept) + data[kept:][:200]
        yield bytes([number]) + numbers(2, 0) + data[:300]


assert protocol.SENT in _STATE, "a message that was not applied is stored"
TARGETS = (Target(client_state, "load", _seeds, 320),)
