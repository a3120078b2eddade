"""SuRP's decoder against a slow reader written from FORMAT.md alone, over messages that no encoder has chosen.

`python -m tests.format_walk.generate` runs many more of them.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice, product
from random import Random

import numpy as np
import pytest

from surp_fl import Layout, SuRP
from surp_fl.types import Reference, Vector
from tests.codecs.test_sizes import LAYOUT, SHAPES, updates
from tests.format_walk.agreement import disagreement, layout_of
from tests.format_walk.body import Setting, named_context, read_body
from tests.format_walk.cases import Case, case_of, chosen
from tests.format_walk.features import FEATURES
from tests.format_walk.frame import HEADER, associated, fingerprint_of, framed
from tests.format_walk.generate import line_of
from tests.format_walk.models import random_setting
from tests.format_walk.specials import ones, special_cases
from tests.format_walk.stream import random_cases
from tests.format_walk.taste import Taste

pytestmark = pytest.mark.compiled  # tests/conformance asks the uncompiled reader as well

CASES = 700
RNG = np.random.default_rng(0)


def setting_of(shapes: tuple[tuple[int, ...], ...], reference: Reference) -> Setting:
    return Setting(shapes, *(reference if isinstance(reference, tuple) else (reference,)))


def test_the_library_reads_random_messages_as_they_are_meant_and_they_have_every_feature() -> None:
    visited = Counter[str]()
    for case in (*special_cases(Random(0)), *islice(random_cases(0, specials=0), CASES)):
        assert disagreement(case) == "", line_of(case)
        visited.update(case.visited.keys())
    assert [feature for feature in FEATURES if not visited[feature]] == []


def test_the_walk_notes_no_feature_that_is_not_listed() -> None:
    visited = {feature for case in islice(random_cases(1, specials=0), 100) for feature in case.visited}
    assert visited <= set(FEATURES)


def check_written(message: bytes, layout: Layout, reference: Reference) -> None:
    """A message of the library's encoder is in its frame, and read as the library reads it, whole and cut."""
    shapes = tuple(spec.shape for spec in layout.floats)
    setting, body = setting_of(shapes, reference), message[HEADER:]
    fingerprint = fingerprint_of([spec.name for spec in layout.floats], shapes)
    assert framed(body, associated(fingerprint, setting.sides[named_context(body)].digest)) == message
    expected = SuRP(100).codec.decode(message, layout, reference=reference)
    np.testing.assert_array_equal(read_body(body, setting), expected)
    assert expected.any()
    for length in (1, 7, len(body) // 2, len(body) - 1):
        assert disagreement(case_of(body[:length], setting)) == ""


@pytest.mark.parametrize(
    ("update", "context", "budget"),
    [
        *product(("early", "late"), ("none", "model", "history"), (60, 218)),
        *product(("late",), ("none", "history"), (2000,)),
        ("early", "none", 20_000),
    ],
)
def test_the_walk_reads_what_the_encoder_writes_of_a_recorded_update(update: str, context: str, budget: int) -> None:
    wanted, contexts = updates()[update]
    message = SuRP(budget).codec.encode(wanted, LAYOUT, rng=RNG, reference=contexts[context])
    check_written(message, LAYOUT, contexts[context])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("budget", [60, 400])
def test_the_walk_reads_what_the_encoder_writes_of_awkward_models(seed: int, budget: int) -> None:
    setting = random_setting(Random(seed))
    if setting.n == 0 or setting.model is None or setting.before is None:
        return
    layout = layout_of(Case(setting, b"", None))
    rank_one = np.concatenate([np.full(np.prod(shape, dtype=int), 0.01) for shape in setting.shapes])
    wanted = (rank_one * RNG.choice([-1, 1], setting.n) + 0.003 * RNG.laplace(size=setting.n)).astype(np.float32)
    message = SuRP(budget).codec.encode(wanted, layout, rng=RNG, reference=(setting.model, setting.before))
    check_written(message, layout, (setting.model, setting.before))


def test_recorded_shapes_are_those_of_the_layout() -> None:
    assert tuple(SHAPES.values()) == tuple(spec.shape for spec in LAYOUT.floats)


def rich(context: int) -> tuple[Setting, Taste]:
    """A model of several layers, of which few coordinates have changed, and a message with everything in it."""
    setting = ones((40, 24), (24,), (4, 6, 3, 3), (), (1, 30))
    assert setting.model is not None
    setting.model[:] = np.random.default_rng(1).lognormal(size=setting.n)
    return setting, Taste(context=context, terms=2, groups=6, picks=40)


@pytest.mark.parametrize("context", [0, 1, 2])
def test_every_prefix_of_a_message_means_the_same_to_both(context: int) -> None:
    whole = next(iter(chosen(*rich(context), Random(5))))
    assert whole.vector is not None
    for length in range(1, len(whole.body)):
        case = case_of(whole.body[:length], whole.setting)
        assert case.vector is not None
        assert disagreement(case) == ""


def test_every_prefix_of_a_message_of_trellis_mode_means_the_same_to_both() -> None:
    setting, taste = rich(0)
    taste.trellis = True
    whole = next(iter(chosen(setting, taste, Random(6))))
    for length in range(1, len(whole.body)):
        case = case_of(whole.body[:length], setting)
        assert case.vector is not None
        assert disagreement(case) == ""


@pytest.mark.parametrize("name", ["picks", "first magnitude", "magnitude", "terms"])
def test_a_number_out_of_range_is_refused_once_it_is_determined(name: str) -> None:
    refused = 0
    for seed in range(20):
        setting, taste = rich(0)
        taste.wrong = name
        cases = list(chosen(setting, taste, Random(seed)))
        assert [disagreement(case) for case in cases] == [""] * len(cases)
        refused += [case.vector is None for case in cases] == [True, False]  # whole, and cut before it
    assert refused > 3


def test_no_byte_may_follow_the_end_of_a_message() -> None:
    whole = next(iter(chosen(*rich(1), Random(5))))
    for byte in range(0, 256, 15):
        case = case_of(whole.body + bytes([byte]), whole.setting)
        assert case.vector is None
        assert disagreement(case) == ""


@pytest.mark.parametrize(("groups", "refused"), [(4096, False), (4097, True)])
def test_a_message_has_at_most_4096_groups(groups: int, refused: bool) -> None:
    taste = Taste(groups=groups, picks=1, overlap=1, same=1)
    cases = list(chosen(ones((6,), (3, 2)), taste, Random(0)))
    assert (cases[0].vector is None) == refused
    assert [disagreement(case) for case in cases] == [""] * len(cases)


def test_a_body_of_ones_is_malformed_from_six_bytes_on() -> None:
    for length in range(1, 9):
        case = case_of(b"\xff" * length, ones((5, 5)))
        assert (case.vector is None) == (length >= 6)
        assert disagreement(case) == ""


def test_a_vector_with_another_value_is_a_disagreement() -> None:
    whole = next(iter(chosen(*rich(2), Random(5))))
    assert whole.vector is not None
    other: Vector = whole.vector.copy()
    other[3] = np.nextafter(other[3], np.float32(9))
    assert disagreement(Case(whole.setting, whole.body, other)).startswith("1 of ")
    assert disagreement(Case(whole.setting, whole.body, None)) != ""
    assert disagreement(Case(whole.setting, whole.body + b"\0", whole.vector)) != ""
