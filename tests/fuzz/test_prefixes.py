"""Whatever part of its bytes a reader is given: it gives a value, or raises the one exception that it documents.

The invariant of h11's readers. No reader of this library takes a stream, so that the bytes one at a time are all
prefixes, shortest first.
"""

from __future__ import annotations

import numpy as np
import pytest

from surp_fl import SuRP, truncate
from surp_fl.codecs import SCHEMES, reader_of
from surp_fl.frame import HEADER_BYTES
from surp_fl.immutable import immutable
from tests.fuzz.every_reader import AFTER, BEFORE, CASES, LAYOUT, RNG, Case

EVERY = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
SUFFIXES = (b"\0", b"\xff", bytes(100), b"\xff" * 100, b"{}[]")
EXAMPLES = {name: scheme for row in SCHEMES.values() for name, scheme in row.examples.items()}
DELTA = LAYOUT.difference(AFTER, BEFORE)
MODEL = immutable(LAYOUT.flatten(BEFORE))


def reads(case: Case, data: bytes) -> bool:
    """Whether the reader gives a value; any exception but the documented one goes on."""
    try:
        case.read(data)
    except case.error as fault:
        raised = fault
    else:
        return True
    assert type(raised) is case.error
    assert str(raised)
    return False


@EVERY
def test_the_whole_is_read_and_each_prefix_gives_a_value_or_the_one_exception(case: Case) -> None:
    assert reads(case, case.whole)
    for length in range(len(case.whole)):
        reads(case, case.whole[:length])


@EVERY
def test_a_suffix_gives_a_value_or_the_one_exception(case: Case) -> None:
    for suffix in (*SUFFIXES, case.whole):
        reads(case, case.whole + suffix)
        reads(case, suffix)


@pytest.mark.parametrize("case", [case for case in CASES if case.again], ids=lambda case: case.name)
def test_a_prefix_or_suffix_with_checks_that_hold_gives_a_value_or_the_one_exception(case: Case) -> None:
    assert case.again is not None
    for length in range(len(case.whole)):
        reads(case, case.again(case.whole[:length]))
    for suffix in SUFFIXES:
        reads(case, case.again(case.whole + suffix))


@pytest.mark.parametrize("case", [case for case in CASES if case.name.endswith(": decode")], ids=lambda case: case.name)
def test_no_part_of_a_message_and_none_with_a_suffix_passes_for_a_message(case: Case) -> None:
    assert not any(reads(case, case.whole[:length]) for length in range(len(case.whole)))
    assert not any(reads(case, case.whole + suffix) for suffix in SUFFIXES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_message_that_can_be_truncated_is_one_at_every_length_and_others_refuse(name: str) -> None:
    message = EXAMPLES[name].codec.encode(DELTA, LAYOUT, rng=RNG)
    for length in range(HEADER_BYTES + 1, len(message) + 1):
        if reader_of(message).progressive:
            cut = truncate(message, length)
            assert len(cut) <= length
            assert reader_of(cut).decode(cut, LAYOUT).shape == (LAYOUT.size,)
        else:
            with pytest.raises(ValueError, match="message cannot be cut"):
                truncate(message, length)


@pytest.mark.parametrize("reference", [MODEL, (MODEL, immutable(MODEL + np.float32(0.5)))], ids=["model", "and before"])
def test_a_truncated_message_decodes_with_the_reference_of_the_whole_one(reference: object) -> None:
    codec = SuRP(budget=218).codec
    message = codec.encode(DELTA, LAYOUT, rng=RNG, reference=reference)  # type: ignore[arg-type]
    for length in range(HEADER_BYTES + 1, len(message) + 1):
        cut = truncate(message, length)
        assert len(cut) <= length
        assert np.isfinite(codec.decode(cut, LAYOUT, reference=reference)).all()  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="keep at least 5"):
        truncate(message, HEADER_BYTES)
