"""All readers of the format give the same answers, and what the C encoder writes takes most of the error away."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from surp_fl import Layout, SuRP
from surp_fl.codecs import reader_of
from surp_fl.types import Vector
from tests.conformance.requests import Asked, asked, crc_of, decode_request, encode_request
from tests.conformance.run import corner_cases, known_failures, wrong_answers
from tests.conformance.testees import NAMES, Testee, compiler, started
from tests.format_walk.stream import random_cases

pytestmark = pytest.mark.xdist_group("conformance")
SHAPES = {"conv": (6, 2, 3, 3), "bias": (6,), "fc": (40, 30), "scalar": (), "none": (0, 3)}


@pytest.fixture(scope="module", params=NAMES)
def testee(request: pytest.FixtureRequest) -> Iterator[tuple[str, Testee]]:
    if request.param == "c" and compiler() is None:
        pytest.skip("there is no C compiler")
    with started(request.param) as found:
        yield request.param, found


@pytest.fixture(scope="module")
def cases() -> list[Asked]:
    return [asked(case) for case in islice(random_cases(3, specials=0), 150)]


@pytest.fixture(scope="module")
def c() -> Iterator[Testee]:
    if compiler() is None:
        pytest.skip("there is no C compiler")
    with started("c") as found:
        yield found


def update(rng: np.random.Generator) -> tuple[Layout, Vector]:
    arrays = {name: rng.standard_t(2, size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    layout = Layout.of(arrays)
    return layout, layout.flatten(arrays)


def test_every_testee_answers_corner_cases_and_random_ones_rightly(
    testee: tuple[str, Testee], cases: list[Asked]
) -> None:
    name, process = testee
    assert wrong_answers(process, [*corner_cases(), *cases], known_failures(name)) == []


def test_a_known_failure_that_is_none_any_more_is_an_error(c: Testee, cases: list[Asked]) -> None:
    stale = {cases[0].name: "it is answered rightly", "00000000": "it is not asked"}
    assert len(wrong_answers(c, cases[:3], stale)) == 2


def test_a_wrong_answer_is_an_error_unless_it_is_known(c: Testee, cases: list[Asked]) -> None:
    valid = next(each for each in cases if each.answer.startswith("ok"))
    wrong = Asked(valid.request, "ok 1")
    assert len(wrong_answers(c, [wrong], {})) == 1
    assert wrong_answers(c, [wrong], {wrong.name: "the answer here is a wrong one"}) == []


def test_the_list_of_known_failures_is_of_those_that_it_names(tmp_path: Path) -> None:
    file = tmp_path / "known.txt"
    file.write_text("# a remark\nc: 01234567: reads: it aloud\npython: 89abcdef: no\n")
    assert known_failures("c", file) == {"01234567": "reads: it aloud"}


@pytest.mark.parametrize("with_model", [False, True])
@pytest.mark.parametrize("budget", [30, 60, 218, 1000, 4000])
def test_what_the_c_encoder_writes_takes_away_four_fifths_of_the_error_that_the_library_does(
    c: Testee, budget: int, with_model: bool
) -> None:
    rng = np.random.default_rng(budget)
    layout, vector = update(rng)
    model = rng.normal(size=layout.size).astype(np.float32) if with_model else None
    shapes = [spec.shape for spec in layout.floats]
    found = c.answer_to(encode_request(layout.fingerprint, shapes, budget, vector, model)).split()
    assert found[0] == "ok"
    message = bytes.fromhex(found[1])
    assert len(message) <= budget
    ours = SuRP(budget).codec.encode(vector, layout, rng=rng, reference=model)
    theirs, best = (reader_of(each).decode(each, layout, reference=model) for each in (message, ours))
    whole = float(np.linalg.norm(vector))
    taken, most = (whole - float(np.linalg.norm(vector - each)) for each in (theirs, best))
    assert taken >= 0.8 * most
    assert c.answer_to(decode_request(layout.fingerprint, shapes, message, model)) == f"ok {crc_of(theirs)}"


def test_a_message_that_was_damaged_is_refused_by_the_c_reader(c: Testee) -> None:
    layout, vector = update(np.random.default_rng(0))
    shapes = [spec.shape for spec in layout.floats]
    message = bytearray(SuRP(218).codec.encode(vector, layout, rng=np.random.default_rng(0)))
    assert c.answer_to(decode_request(layout.fingerprint, shapes, bytes(message))).startswith("ok")
    assert c.answer_to(decode_request(layout.fingerprint + 1, shapes, bytes(message))) == "damaged"
    message[100] ^= 1
    assert c.answer_to(decode_request(layout.fingerprint, shapes, bytes(message))) == "damaged"
    message[0] ^= 0x20
    assert c.answer_to(decode_request(layout.fingerprint, shapes, bytes(message))) == "unknown-version"


def test_the_c_encoder_writes_zeros_and_refuses_what_is_not_finite(c: Testee) -> None:
    zeros, shapes = np.zeros(12, np.float32), [(3, 4)]
    answer = c.answer_to(encode_request(1, shapes, 5, zeros)).split()
    assert c.answer_to(decode_request(1, shapes, bytes.fromhex(answer[1]))) == f"ok {crc_of(zeros)}"
    assert c.answer_to(encode_request(1, shapes, 4, zeros)) == "invalid"
    zeros[3] = np.inf
    assert c.answer_to(encode_request(1, shapes, 50, zeros)) == "invalid"


def test_a_model_of_many_empty_arrays_has_room_in_the_workspace(c: Testee) -> None:
    shapes = [(1, 40), *[(0, 0)] * 6000]
    values = np.arange(40, dtype=np.float32)
    answer = c.answer_to(encode_request(1, shapes, 60, values)).split()
    assert c.answer_to(decode_request(1, shapes, bytes.fromhex(answer[1]))).startswith("ok")
