"""Versions of the public model: what is kept of them, in how much memory, and what leads from one to the next."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict

from surp_fl import SuRP
from surp_fl.errors import MalformedMessage
from surp_fl.flower.model_messages import put_full_model
from surp_fl.flower.packed_model import Packed, digest_of
from surp_fl.flower.received_model import receive_model
from surp_fl.flower.records import record_of
from surp_fl.merged_change import apply_merged
from surp_fl.model_file import compress
from surp_fl.strategies.downlink.history import History
from surp_fl.strategies.downlink.initial import KnownInitial
from surp_fl.strategies.downlink.public_model import PublicModel
from tests.flower_app import Arrays, initial

DOWN = SuRP(budget=150)
WHOLE = sum(array.nbytes for array in initial().values())


def changed(model: Arrays, seed: int, count: int = 20) -> Arrays:
    """The model with so many other weights."""
    rng = np.random.default_rng(seed)
    weight = model["weight"].copy()
    weight.reshape(-1)[rng.choice(weight.size, count, replace=False)] += np.float32(0.5)
    return model | {"weight": weight}


def versions(public: PublicModel, rounds: int, count: int = 20) -> list[tuple[bytes, Arrays]]:
    """Digests and arrays of the public model while the strategy's changes in some weights a round."""
    model, found = initial(), []
    for seed in range(rounds):
        public.advance(model)
        found.append((public.version, public.arrays))
        model = changed(model, seed, count)
    return found


def kept_after(rounds: int, most_bytes: int, count: int = 20) -> tuple[History, list[Arrays]]:
    history, models = History(most_bytes), [initial()]
    for seed in range(rounds):
        models.append(changed(models[-1], seed, count))
        history.push(digest_of(models[-2]), models[-2], models[-1])
    return history, models


def test_every_version_that_is_kept_comes_back_to_the_bit() -> None:
    history, models = kept_after(9, 10_000)
    for model in models[:-1]:
        assert digest_of(history.arrays_of(digest_of(model), models[-1])) == digest_of(model)
    assert digest_of(models[-1]) not in history
    with pytest.raises(KeyError):
        history.arrays_of(digest_of(models[-1]), models[-1])


def test_as_many_versions_are_kept_as_fit_the_oldest_are_dropped() -> None:
    each = 20 * (8 + 4)  # places and values
    for most, expected in ((3 * each, 3), (3 * each - 1, 2), (each - 1, 0)):
        history, models = kept_after(9, most)
        assert [digest_of(model) in history for model in models[:-1]] == [False] * (9 - expected) + [True] * expected
    history, models = kept_after(
        9, 2 * 2400, count=300
    )  # most of the array changed: all of it is kept, at 4 bytes a value
    assert sum(digest_of(model) in history for model in models) == 2
    history.clear()
    history.push(b"before", initial(), changed(initial(), 0, 300))
    history.push(b"after", initial(), changed(initial(), 0, 300))
    assert b"before" in history


def test_a_zero_of_another_sign_and_another_nan_are_other_versions() -> None:
    before = {"w": np.array([0.0, np.nan, 1.0] * 30, np.float32)}
    after = {"w": before["w"].copy()}
    after["w"][3] = -0.0
    history = History(1000)
    history.push(digest_of(before), before, after)
    assert digest_of(history.arrays_of(digest_of(before), after)) == digest_of(before)
    history.push(digest_of(after), after, after)
    assert history._bytes == 12  # NaN stays NaN


def test_merged_changes_lead_from_every_kept_version_to_the_latest_one_alone() -> None:
    public = PublicModel(SuRP(budget=40))
    found = versions(public, 4)
    for version, arrays in found[:-1]:
        merged = public.merged_from(version)
        assert merged is not None
        assert digest_of(apply_merged(arrays, merged)) == public.version
    before = public.packed.version
    public.advance(changed(initial(), 77))
    assert public.packed.version != before
    merged = public.merged_from(found[0][0])
    assert merged is not None
    assert digest_of(apply_merged(initial(), merged)) == public.version
    assert public.packed.version == public.version
    assert public.merged_from(b"unknown.") is None


def test_a_model_that_no_change_leads_to_leaves_nothing_of_the_versions_before() -> None:
    for odd in (
        initial() | {"weight": np.full((30, 20), np.nan, np.float32)},
        initial() | {"weight": initial()["weight"][:29]},
        initial() | {"wide": initial()["wide"].astype(np.float32)},
    ):
        public = PublicModel(DOWN)
        found = versions(public, 4)
        public.advance(odd)
        assert (public.version, public.chain_from(found[-1][0])) == (digest_of(odd), None)
        assert all(public.merged_from(version) is None for version, _ in found)


def test_a_change_of_more_than_half_the_model_is_none() -> None:
    public = PublicModel(SuRP(budget=WHOLE - 600))
    public.advance(initial())
    first, rng = public.version, np.random.default_rng(9)
    other = {name: rng.normal(size=array.shape).astype(array.dtype) for name, array in initial().items()}
    public.advance(other)
    assert public.chain_from(first) is None
    assert public.version == digest_of(other)


def test_a_chain_has_128_changes_and_half_the_models_bytes_at_most() -> None:
    large = {"w": np.random.default_rng(0).normal(size=40_000).astype(np.float32)}
    for budget, expected in ((40, 128), (4000, 19)):
        public, seen = PublicModel(SuRP(budget=budget)), []
        for seed in range(135 if expected == 128 else 25):
            rng = np.random.default_rng(seed)
            public.advance({"w": large["w"] + rng.normal(size=40_000).astype(np.float32)})
            seen.append(public.version)
        lengths = [len(chain) for version in seen if (chain := public.chain_from(version)) is not None]
        assert lengths == list(range(expected, -1, -1))


def test_a_model_that_comes_again_makes_no_version_although_the_last_one_only_approximates_it() -> None:
    public = PublicModel(SuRP(budget=40))
    public.advance(initial())
    first, after = public.version, changed(initial(), 0, 200)
    for each in (after, after, after):
        public.advance(each)
    chain = public.chain_from(first)
    assert chain is not None
    assert [delta.base for delta in chain] == [first]
    assert public.version != digest_of(after)


def test_a_change_that_changes_no_bit_is_not_kept() -> None:
    public = PublicModel(DOWN)
    model = initial() | {"bias": np.zeros(20, np.float32)}
    public.advance(model)
    first = public.version
    public.advance(model | {"bias": -model["bias"]})
    assert public.version == first
    public.advance(changed(model, 0, 3))
    chain = public.chain_from(first)
    assert chain is not None
    assert len(chain) == 1


def test_a_model_that_clients_make_is_sent_exactly_where_others_are_quantised() -> None:
    model: Arrays = {"weight": np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)}
    known: Any = KnownInitial("net")
    for initial_model, exact in ((known, True), (None, False)):
        public = PublicModel(DOWN, initial=initial_model, bits=8)
        public.advance(model)
        assert (public.version == digest_of(model)) is exact


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_first_model_of_few_bits_keeps_ties_and_counters_and_comes_to_clients_as_it_is(bits: int) -> None:
    rng = np.random.default_rng(0)
    weight = rng.laplace(size=(60, 50)).astype(np.float32)
    model: Arrays = {
        "embedding": weight, "norm.running_mean": rng.normal(size=50).astype(np.float32),
        "norm.running_var": rng.uniform(0.5, 2, 50).astype(np.float32), "steps": np.array(938), "head": weight.copy(),
        "half": rng.normal(size=(30, 20)).astype(np.float16),
    }  # fmt: skip
    public = PublicModel(DOWN, bits=bits)
    public.advance(model)
    found = public.arrays
    assert public.packed.is_file
    assert public.packed.payload < bits * (weight.size + 600) / 8 + 500
    assert np.array_equal(found["embedding"], found["head"])
    assert found["steps"] == 938
    assert [array.dtype for array in found.values()] == [array.dtype for array in model.values()]
    assert np.linalg.norm(found["embedding"] - weight) < 0.75**bits * np.linalg.norm(weight)
    content = put_full_model(RecordDict({"arrays": record_of(model)}), "arrays", public.packed, keep=True)
    received = receive_model(content, None).arrays
    assert received is not None
    assert digest_of(received) == public.version


@pytest.mark.parametrize(("bits", "most"), [(2, 0.5), (4, 0.12)])
def test_layers_of_any_scale_keep_the_same_share_of_a_first_model(bits: int, most: float) -> None:
    """As initial models have them: an embedding of unit deviation beside linear layers of a thirtieth and less."""
    rng = np.random.default_rng(0)
    scales = {"embedding": 1.0, "hidden": 0.03, "last": 0.002}
    model: Arrays = {name: (scale * rng.normal(size=(80, 60))).astype(np.float32) for name, scale in scales.items()}
    public = PublicModel(DOWN, bits=bits)
    public.advance(model)
    for name, array in model.items():
        assert np.linalg.norm(public.arrays[name] - array) < most * np.linalg.norm(array)


def test_a_model_file_that_claims_more_than_its_bytes_can_hold_is_refused_before_memory_is_allocated() -> None:
    file = compress({"weight": np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)}, budget=900)
    for size in (1 << 28, 1 << 46):
        huge = np.broadcast_to(np.float32(0), (size,))
        packed = replace(Packed.of_file({}, file), manifest=json.dumps([["weight", list(huge.shape), "f4"]]).encode())
        content = put_full_model(RecordDict({"arrays": record_of(initial())}), "arrays", packed, keep=True)
        tracemalloc.start()
        with pytest.raises(MalformedMessage, match=f"a model file of {len(file)} bytes"):
            receive_model(content, None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 20


@pytest.mark.parametrize("damage", ["another shape", "another file", "cut"])
def test_a_model_file_that_is_not_the_model_of_its_manifest_is_malformed(damage: str) -> None:
    model: Arrays = {"weight": np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)}
    file = {
        "another shape": compress({"weight": model["weight"].reshape(20, 30)}, budget=900),
        "another file": compress({"weigh": model["weight"]}, budget=900),
        "cut": compress(model, budget=900)[:30],
    }[damage]
    packed = Packed.of_file(model, file)
    content = put_full_model(RecordDict({"arrays": record_of(model)}), "arrays", packed, keep=True)
    with pytest.raises(MalformedMessage, match="model file"):
        receive_model(content, None)


@pytest.mark.parametrize("what", ["a dtype", "nearly all zeros"])
def test_a_model_that_no_file_holds_or_hardly_any_bytes_do_is_sent_as_it_is(what: str) -> None:
    weight = np.random.default_rng(0).normal(size=(30, 20)).astype(np.longdouble)
    if what != "a dtype":
        weight = np.zeros((700, 900), np.float32)
        weight[3, 5] = 1
    model: Arrays = {"weight": weight}
    public = PublicModel(DOWN, bits=4)
    public.advance(model)
    assert public.version == digest_of(model)
    assert not public.packed.is_file
