"""The inputs that the guided fuzzer found: every target reads them, and would tell if its reader failed."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator

import pytest

from tests.fuzz.corpus_files import COMMITTED, MOST_BYTES, MOST_INPUTS, inputs_of
from tests.fuzz.in_c import C_TARGETS
from tests.fuzz.targets.table import TARGETS
from tests.fuzz.targets.target import Fields, Target, numbers, pieces

_MOST_SECONDS = 1.0  # of the processor, for one input of a few hundred bytes: the slowest takes 0.02
_WHOLE_CORPUS = 400_000  # bytes

every_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What is refused is logged, thousands of times."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def _read_all(target: Target) -> None:
    for data in [*inputs_of(target.name), *target.seeds()]:
        began = time.process_time()
        target.one(data)
        assert time.process_time() - began < _MOST_SECONDS, f"{data.hex()} takes too long"


@every_target
def test_every_input_is_read_or_refused_as_documented(target: Target) -> None:
    _read_all(target)


@every_target
def test_a_target_fails_where_its_reader_raises_what_is_not_documented(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[target.one.__module__], target.reads, _Broken())
    with pytest.raises(KeyError, match="broken"):
        _read_all(target)


class _Broken:
    """A reader, or readers by name, that fails in all that is done with it."""

    def __call__(self, *arguments: object, **options: object) -> object:
        raise KeyError("broken")

    def __getattr__(self, name: str) -> object:
        raise KeyError("broken")

    def __contains__(self, name: object) -> bool:
        raise KeyError("broken")


def test_the_corpus_is_small_and_has_every_target_and_no_other() -> None:
    assert {path.name for path in COMMITTED.iterdir()} == {*TARGETS, *C_TARGETS}
    for name in TARGETS:
        assert 0 < len(inputs_of(name)) <= MOST_INPUTS
        assert sum(map(len, inputs_of(name))) <= MOST_BYTES
    assert sum(path.stat().st_size for path in COMMITTED.glob("*/*")) <= _WHOLE_CORPUS


def test_fields_give_back_what_their_inverses_wrote() -> None:
    fields = Fields(numbers(4, 1, 2) + numbers(2, 65_535) + pieces(b"one", b"") + b"rest")
    assert (fields.number(4), fields.number(4), fields.signed(2)) == (1, 2, -1)
    assert (fields.piece(), fields.piece(), fields.left, fields.rest(), fields.number(8)) == (
        b"one",
        b"",
        4,
        b"rest",
        0,
    )
