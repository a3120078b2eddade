"""What a client reads beside messages: its own state, cut or of other kinds, and what the server announces.

State that cannot be used counts as none: the client starts from nothing, and is of use in the same round.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, RecordDict

from surp_fl.flower.client_origin import load_origin, save_origin
from surp_fl.flower.client_state import (
    ServerDirectives,
    StoredState,
    load,
    load_local_version,
    save,
    save_local_version,
)
from surp_fl.flower.protocol import HELD, KINDS, MODEL, NAME, ORIGIN, ROUND, ROUNDS, SENT, SESSION
from surp_fl.flower.records import announced_kinds, arrays_of, record_of
from surp_fl.layout import Layout
from tests.flower_app import initial

LAYOUT = Layout.of(initial())
NOW = ServerDirectives(3, session=7, session_round=3, retained_rounds=(2,), applied=1, budget=None)
THEN = ServerDirectives(2, session=7, session_round=2, retained_rounds=(1,), applied=1, budget=None)


def stored() -> Context:
    """A client after round 2, whose message of that round was not applied."""
    context = Context(1, 1, {}, RecordDict(), {})
    vector = np.ones(LAYOUT.size, np.float32)
    velocity = {"residual": vector.copy(), "velocity": vector.copy(), "sent share": np.float32(0.5)}
    sent = np.array([3, 5]), np.array([1, 2], np.float32)
    memory = {name: np.asarray(each) for name, each in velocity.items()}
    save_local_version(context, initial(), None, None)
    changed = initial()
    changed["weight"][0, 0] += 1
    save_origin(context, changed, initial(), None)
    save(context, memory, sent, vector, LAYOUT, THEN)
    return context


def everything(context: Context) -> StoredState:
    """All that a client reads at the start of a round."""
    local = load_local_version(context)
    if local is not None:
        load_origin(context, local)
    return load(context, LAYOUT, NOW)


def test_state_as_it_was_written_is_read_with_the_lost_message_added_back() -> None:
    found = everything(stored())
    assert found.memory["residual"][:6].tolist() == [1, 1, 1, 2, 1, 3]
    assert found.model is not None
    context = stored()
    assert load_origin(context, initial()) is not None


@pytest.mark.parametrize("name", [NAME, SENT, MODEL, HELD, ORIGIN])
def test_stored_arrays_cut_at_any_byte_are_read_or_count_as_none(name: str) -> None:
    record = stored().state.array_records[name]
    for place, (key, array) in enumerate(record.items()):
        size = len(array.data)
        lengths = {0, size // 2, size - 1} | set(range(size if place == 0 else 0)[:160])  # the header, and values
        for length in sorted(lengths):
            context = stored()
            cut = Array(array.dtype, array.shape, array.stype, array.data[:length])
            context.state[name] = ArrayRecord({**record, key: cut})
            everything(context)


def replaced(name: str, key: str, value: Any) -> Context:
    """The client with one stored array or entry of another kind; None removes it."""
    context = stored()
    if name == SESSION:
        entries = dict(context.state.config_records[SESSION])
        context.state[SESSION] = ConfigRecord({k: v for k, v in (entries | {key: value}).items() if v is not None})
    else:
        arrays = arrays_of(context.state.array_records[name]) | {key: value}
        context.state[name] = record_of({k: v for k, v in arrays.items() if v is not None})
    return context


ONES = np.ones(LAYOUT.size)
FINE = {
    "residual of NaN": (NAME, "residual", np.full(LAYOUT.size, np.nan, np.float32)),
    "residual cut": (NAME, "residual", np.ones(3, np.float32)),
    "no residual": (NAME, "residual", None),
    "model of other kind": (MODEL, "model", ONES),
    "no model": (MODEL, "model", None),
    "held of text": (HELD, "weight", np.array(["x"])),
    "origin cut": (ORIGIN, "changed", np.zeros(0)),
    "origin of nothing": (ORIGIN, "values:none", np.zeros(3)),
    "round of long ago": (SESSION, "round", -5),
    "round to come": (SESSION, "round", 1 << 60),
    "another session": (SESSION, SESSION, b"x"),
    "another fingerprint": (SESSION, "fingerprint", "x"),
    "held by text": (SESSION, "held", "x"),
    "messages below 0": (SESSION, "messages", -3),
    "residual of text": (NAME, "residual", np.full(LAYOUT.size, "x")),
    "residual of integers": (NAME, "residual", ONES.astype(np.int64)),
    "sent without values": (SENT, "values", None),
    "sent without indices": (SENT, "indices", None),
    "sent beyond the model": (SENT, "indices", np.array([3, LAYOUT.size])),
    "sent at fractions": (SENT, "indices", np.array([3.0, 5.0])),
    "more indices than values": (SENT, "indices", np.array([3, 5, 6])),
    "endless origin": (ORIGIN, "changed", np.array([np.inf])),
}
BROKEN = {
    "no round": (SESSION, "round", None),
    "round of text": (SESSION, "round", "x"),
    "first of text": (SESSION, "first", "x"),
    "messages of text": (SESSION, "messages", "x"),
    "an odd number of copies": (SESSION, "copies", ["weight"]),
    "copies that are no list": (SESSION, "copies", 3),
}


@pytest.mark.parametrize("kind", FINE)
def test_state_of_another_kind_counts_as_none(kind: str) -> None:
    everything(replaced(*FINE[kind]))


@pytest.mark.parametrize("kind", BROKEN)
def test_state_of_another_kind_is_no_reason_to_fail_every_round(kind: str) -> None:
    everything(replaced(*BROKEN[kind]))


OTHER_VECTORS = {
    "cut residual": (NAME, "residual", ONES[1:].astype(np.float32)),
    "residual of float64": (NAME, "residual", ONES),
    "velocity of float64": (NAME, "velocity", ONES),
    "cut velocity": (NAME, "velocity", ONES[1:].astype(np.float32)),
    "three shares": (NAME, "sent share", np.zeros(3, np.float32)),
}


@pytest.mark.parametrize("kind", OTHER_VECTORS)
def test_a_memory_of_other_sizes_or_dtypes_than_a_scheme_takes_is_not_used(kind: str) -> None:
    name, key, value = OTHER_VECTORS[kind]
    assert key not in load(replaced(name, key, value), LAYOUT, NOW).memory


@pytest.mark.parametrize("announced", ["{", "[]", "1" * 5000, "", "null"])
def test_kinds_that_are_no_object_are_refused_with_the_documented_error(announced: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|Expecting|Exceeds"):
        announced_kinds(RecordDict({"config": ConfigRecord({KINDS: announced})}))


def test_kinds_within_kinds_are_refused_with_the_documented_error() -> None:
    with pytest.raises(ValueError, match=r"JSON|Expecting|Exceeds"):
        announced_kinds(RecordDict({"config": ConfigRecord({KINDS: "[" * 5000 + "]" * 5000})}))


@pytest.mark.parametrize("retained", [[1, 2], [1.5], []])
def test_retained_rounds_that_are_numbers_are_read(retained: Any) -> None:
    ServerDirectives.of(RecordDict({"config": ConfigRecord({ROUND: 2, ROUNDS: retained})}))


@pytest.mark.parametrize("retained", [3, "three", b"3", [float("inf")], ["three"]], ids=str)
def test_retained_rounds_that_are_no_list_of_numbers_count_as_missing(retained: Any) -> None:
    found = ServerDirectives.of(RecordDict({"config": ConfigRecord({ROUND: 2, ROUNDS: retained})}))
    assert found.retained_rounds == ()
