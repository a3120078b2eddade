"""SuRP's own claims: the budget is used, the context is named and checked, and it beats STC."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from surp_fl import STC, Layout, MalformedMessage, SuRP
from surp_fl.codecs.codec import Scheme
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.decoder import read
from surp_fl.codecs.surp.encoder import begun
from surp_fl.codecs.surp.rate_distortion import MagnitudeGroup, select_groups
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.topk import largest
from surp_fl.types import Reference
from tests.fuzz.writer import Victim, Writer
from tests.vectors import AWKWARD, Vector

RNG = np.random.default_rng(0)


def update(seed: int = 0) -> tuple[Layout, Vector, Vector, Vector]:
    """An update, the model and the model before it: large where rows and columns are, and where it changed recently."""
    rng = np.random.default_rng(seed)
    shapes = {"conv": (20, 1, 5, 5), "bias": (20,), "hidden": (120, 300), "last": (10, 120)}
    model, delta = {}, {}
    for name, shape in shapes.items():
        flat = (shape[0], -1)
        activity = rng.lognormal(0, 1, size=(shape[0], 1)) * rng.lognormal(0, 1, np.zeros(shape).reshape(flat).shape)
        model[name] = (rng.normal(size=activity.shape) * activity).reshape(shape)
        delta[name] = (rng.laplace(size=activity.shape) * activity).reshape(shape)
    layout = Layout.of(model)
    vector, now = layout.flatten(delta), layout.flatten(model)
    before = now.copy()
    changed = np.argsort(-np.abs(vector))[:300:2]
    before[changed] -= np.sign(vector[changed])
    return layout, vector, now, before


def error(scheme: Scheme, reference: Reference = None) -> float:
    layout, vector, _, _ = update()
    message = scheme.codec.encode(vector, layout, rng=RNG, reference=reference)
    return float(np.linalg.norm(vector - scheme.codec.decode(message, layout, reference=reference)))


@pytest.mark.compiled
@pytest.mark.parametrize("budget", [50, 100, 218, 436, 1000, 2000, 20_000])
@pytest.mark.parametrize("progressive", [False, True])
def test_the_budget_is_used_up(budget: int, progressive: bool) -> None:
    layout, vector, _, _ = update()
    message = SuRP(budget=budget, progressive=progressive).codec.encode(vector, layout, rng=RNG)
    assert budget * (0.98 if budget < 1000 else 0.995) <= len(message) <= budget


@pytest.mark.parametrize("budget", [16, 17, 20])
def test_the_smallest_budgets_hold_something(budget: int) -> None:
    layout, vector, _, _ = update()
    codec = SuRP(budget=budget).codec
    message = codec.encode(vector, layout, rng=RNG)
    assert len(message) <= budget
    assert len(codec.decode_sparse(message, layout)[0]) > 0


def test_a_vector_with_little_to_say_takes_little() -> None:
    vector = AWKWARD["only one is not zero"]
    layout = Layout.of({"a": vector})
    codec = SuRP(budget=500).codec
    message = codec.encode(vector, layout, rng=RNG)
    assert len(message) <= 14
    np.testing.assert_allclose(codec.decode(message, layout), vector, rtol=1 / 32)


@pytest.mark.compiled
@pytest.mark.parametrize("budget", [50, 100, 218, 436, 1000, 2000])
def test_the_error_is_below_stcs_with_context_and_from_a_hundred_bytes_without(budget: int) -> None:
    _, _, model, before = update()
    stc, surp = error(STC(budget=budget)), SuRP(budget=budget)
    assert budget < 100 or error(surp) < stc
    assert error(surp, model) < stc
    assert error(surp, (model, before)) < stc


def test_contexts_pay() -> None:
    _, _, model, before = update()
    surp = SuRP(budget=218)
    assert error(surp, (model, before)) < error(surp, model) < error(surp)


def test_another_reference_is_refused_and_never_garbage() -> None:
    layout, vector, model, before = update()
    codec = SuRP(budget=218).codec
    other = model.copy()
    other[np.abs(model).argmax()] *= 2
    for given, wrong in (
        (model, other),
        (model, None),
        ((model, before), (other, before)),
        ((model, before), (model, other)),
        ((model, before), model),
    ):
        message = codec.encode(vector, layout, rng=RNG, reference=given)
        with pytest.raises(MalformedMessage):
            codec.decode(message, layout, reference=wrong)


def test_a_missing_reference_is_named() -> None:
    layout, vector, model, before = update()
    codec = SuRP(budget=218).codec
    with pytest.raises(MalformedMessage, match="against the model that the client was sent, which"):
        codec.decode(codec.encode(vector, layout, rng=RNG, reference=model), layout)
    with pytest.raises(MalformedMessage, match="and the one that it was sent before"):
        codec.decode(codec.encode(vector, layout, rng=RNG, reference=(model, before)), layout, reference=model)


def test_a_message_without_context_needs_none_and_takes_any() -> None:
    layout, vector, model, _ = update()
    codec = SuRP(budget=218).codec
    message = codec.encode(vector, layout, rng=RNG)
    np.testing.assert_array_equal(codec.decode(message, layout), codec.decode(message, layout, reference=model))


def test_a_reference_that_changes_in_place_is_read_anew() -> None:
    layout, vector, model, _ = update()
    codec, changing = SuRP(budget=218).codec, model.copy()
    first = codec.encode(vector, layout, rng=RNG, reference=changing)
    changing[:] = model[::-1]
    assert codec.encode(vector, layout, rng=RNG, reference=changing) != first
    changing[:] = model
    assert codec.encode(vector, layout, rng=RNG, reference=changing) == first


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("count", [1, 7, 200, 3000])
def test_gathering_finds_the_largest(name: str, count: int) -> None:
    vector = AWKWARD[name]
    found, values = largest(vector, count)
    order = np.argsort(-np.abs(vector), kind="stable")[: min(count, np.count_nonzero(vector))]
    assert found.tolist() == order.tolist()
    np.testing.assert_array_equal(values, vector[found])


def test_gathering_finds_the_largest_in_a_sorted_and_a_striped_vector() -> None:
    periodic = (np.arange(200_000) % 7 == 3) * np.arange(200_000) // 50_000  # what a regular sample sees least of
    for vector in (np.arange(200_000), 200_000 - np.arange(200_000), np.arange(200_000) % 7 == 3, periodic):
        magnitudes = np.asarray(vector, np.float32)
        found, values = largest(magnitudes, 500)
        assert found.tolist() == np.argsort(-magnitudes, kind="stable")[:500].tolist()
        assert values.tolist() == magnitudes[found].tolist()


def test_groups_are_disjoint_and_fall() -> None:
    layout, vector, _, _ = update()
    chosen = select_groups(vector, Context.of(layout, None).side, 8000.0)
    together = np.concatenate([group.coordinates for group in chosen])
    assert len(np.unique(together)) == len(together)
    magnitudes = [group.magnitude for group in chosen]
    assert magnitudes == sorted(magnitudes, reverse=True)
    assert len(magnitudes) > 1


def test_picks_that_cost_less_than_a_bit_each_are_all_read() -> None:
    """All that changed recently changes in the same direction again: a thousand coordinates in a few bytes."""
    layout = Layout.of({"a": np.zeros((200, 100), np.float32)})
    model = np.ones(20_000, np.float32)
    before = model.copy()
    before[::20] -= 1
    vector = np.zeros(20_000, np.float32)
    vector[::20] = 3.0
    coordinates, ones = np.arange(0, 20_000, 20), np.ones(1000)
    everything = MagnitudeGroup(coordinates, np.zeros(1000, np.bool_), 3.0, ones, ones)
    context = Context.of(layout, (model, before))
    body = begun(2, context.side, 46).with_groups([everything], disjoint=True).to_bytes()
    assert len(body) < 20
    indices, values = read(body, layout, (model, before))
    np.testing.assert_array_equal(indices, coordinates)
    np.testing.assert_array_equal(values, vector[::20])


def hostile(select_groups: int, k: int, n: int) -> bytes:
    """A body of groups that each have the same k of n coordinates, in as few bits as possible."""
    layout = Layout.of({"w": np.zeros(n, np.float32)})
    everything = MagnitudeGroup(np.arange(k), np.zeros(k, np.bool_), 1.0, np.ones(k), np.ones(k))
    message = begun(0, Context.of(layout, None).side, 100_000)
    for number in range(select_groups):
        message = message.with_groups([everything], disjoint=number == 0)
    return message.to_bytes()


def test_a_small_message_cannot_code_everything_again_and_again() -> None:
    layout = Layout.of({"w": np.zeros(8_000, np.float32)})
    np.testing.assert_array_equal(read(hostile(2, 8_000, 8_000), layout, None), np.full(8_000, 2, np.float32))
    writer = Writer(Victim(layout, None))
    for _ in range(3):
        writer.group(np.arange(8_000))
    with pytest.raises(MalformedBits, match="more work"):
        read(writer.body(), layout, None)


def test_a_message_has_no_more_than_so_many_groups() -> None:
    layout = Layout.of({"w": np.zeros(1, np.float32)})
    assert read(hostile(4000, 1, 1), layout, None)[1].tolist() == [4000]
    writer = Writer(Victim(layout, None))
    for _ in range(4096):
        writer.group(np.zeros(1, np.int64))
    read(writer.body(), layout, None)
    writer.group(np.zeros(1, np.int64))
    with pytest.raises(MalformedBits, match="no possible size"):
        read(writer.body(), layout, None)


def test_a_flat_vector_is_refined_as_far_as_a_decoder_follows() -> None:
    vector = np.full(5000, np.pi, np.float32)
    layout = Layout.of({"w": vector})
    message = SuRP(budget=3000).codec.encode(vector, layout, rng=RNG)
    decoded = SuRP(budget=3000).codec.decode(message, layout)
    assert np.abs(decoded - vector).max() < 0.01


@pytest.mark.parametrize("budget", [16, 18, 20, 24])
def test_the_smallest_messages_say_something(budget: int) -> None:
    """Equal neighbours share their path down the tree to the last, and are all cut off where the first is."""
    vector = np.zeros(4_000_000, np.float32)
    vector[2_000_000:2_000_009] = 1
    layout = Layout.of({"w": vector})
    for context in (None, vector):
        message = SuRP(budget).codec.encode(vector, layout, rng=RNG, reference=context)
        assert SuRP(budget).codec.decode(message, layout, reference=context).any()


def test_more_budget_than_there_is_to_say_takes_no_memory() -> None:
    vector = np.arange(100, dtype=np.float32)
    layout = Layout.of({"w": vector})
    assert len(SuRP(budget=10**11).codec.encode(vector, layout, rng=RNG)) < 4000


def test_a_model_with_its_rows_exchanged_is_another_model() -> None:
    rng = np.random.default_rng(0)
    model = rng.lognormal(size=(60, 1)).astype(np.float32) * np.ones(40, np.float32)
    layout = Layout.of({"w": model})
    vector = rng.laplace(size=2400).astype(np.float32)
    message = SuRP(218).codec.encode(vector, layout, rng=RNG, reference=model.reshape(-1))
    with pytest.raises(MalformedMessage):
        SuRP(218).codec.decode(message, layout, reference=model[::-1].reshape(-1).copy())


def test_a_reference_of_another_size_is_refused_before_it_is_read() -> None:
    vector = AWKWARD["heavy tail"]
    layout = Layout.of({"w": vector})
    message = SuRP(218).codec.encode(vector, layout, rng=RNG, reference=(vector, vector))
    with pytest.raises(ValueError, match="reference"):
        SuRP(218).codec.decode(message, layout, reference=(vector, vector[:4]))


def test_what_can_be_written_to_through_a_view_is_read_anew() -> None:
    rng = np.random.default_rng(0)
    base = rng.lognormal(size=2400).astype(np.float32)
    view = base[:]
    view.flags.writeable = False
    layout = Layout.of({"w": base.reshape(60, 40)})
    before = Context.of(layout, view).digest
    base[:40] = 1000
    assert Context.of(layout, view).digest != before


@pytest.mark.slow
def test_messages_are_near_the_ideal_length_of_their_symbols() -> None:
    """Within 1 % at 200 bytes and 0.2 % at 20,000, the end of the message included.

    It may be a little less: the last symbol of a total is given what rounding leaves of the range.
    """
    command = [sys.executable, "-m", "tests.ideal_length", "200", "20000"]
    environment = os.environ | {"SURP_FL_PURE_PYTHON": "1"}
    root = Path(__file__).parents[3]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=root)
    ratios = json.loads(done.stdout)
    assert 0.97 < ratios["200"] < 1.01
    assert 0.998 < ratios["20000"] < 1.002
