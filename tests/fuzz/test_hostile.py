"""Memory and time of decoders: bounded by the model and the message, on what no encoder would send."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from surp_fl import Layout, MalformedMessage, SuRP, truncate
from surp_fl.codecs import READERS
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.trellis.body import begun_with
from surp_fl.codecs.surp.trellis.factor_levels import Components, told
from surp_fl.codecs.surp.trellis.factors import most_components
from surp_fl.codecs.surp.trellis.level_coder import encode_layer
from surp_fl.codecs.surp.trellis.level_models import LevelModels
from surp_fl.codecs.surp.trellis.level_reader import Layer
from surp_fl.codecs.surp.trellis.magnitude_context import code_of_mean
from surp_fl.codecs.surp.trellis.sign_lags import MOST_LAGS, MOST_WEIGHT, NO_LAGS, LagModels, SignLags
from surp_fl.entropy.adaptive_integer import AdaptiveInteger
from surp_fl.entropy.integers import encode_bits
from surp_fl.frame import HEADER_BYTES
from tests.fuzz import hostile, writer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
VICTIMS = {"one layer": [(1, 10_000_000)], "four layers": [(512, 4608)] * 4, "many layers": [(50, 100)] * 2000}
VICTIMS |= {"wide": [(1024, 27_648)], "high": [(20_000, 500)]}


@pytest.mark.parametrize("context", [0, 1, 2])
@pytest.mark.parametrize("shapes", VICTIMS.values(), ids=VICTIMS)
def test_decoding_takes_three_passes_over_the_vector_and_twenty_microseconds_a_byte(
    shapes: list[tuple[int, ...]], context: int
) -> None:
    """The messages are found by a search; of each costly one, the least time of six counts."""
    worst = hostile.worst_of(writer.victim(shapes, context), count=8, seed=3, most=1500)
    assert worst.ratio < 1, f"{worst}"


@pytest.mark.parametrize("step", [27_648, 9, 7], ids=["one column", "scattered columns", "columns side by side"])
def test_terms_of_all_rows_take_no_longer_than_their_bytes_pay_for(step: int) -> None:
    victim = writer.victim([(1024, 27_648)], 0)
    columns = np.zeros(27_648, np.int8)
    columns[::step] = 1
    terms = [writer.Signs(0, np.ones(1024, np.int8), columns)] * 8
    message = victim.message(writer.Writer(victim, terms).body())
    allowed = hostile.MOST_PASSES * hostile.pass_seconds(victim.layout.size)
    allowed += 1e-6 * hostile.MICROSECONDS_A_BYTE * len(message)
    assert victim.seconds(message, 5) < allowed


@pytest.mark.parametrize(
    "shapes", [[(1, 10_000_000)], [(2, 5_000_000)], [(2000, 5000)]], ids=["one row", "two", "many"]
)
@pytest.mark.parametrize("level", [0, 1, 3, 2**24 - 1])
@pytest.mark.parametrize("number", [0, MOST_LAGS], ids=["no lags", "most lags"])
def test_levels_that_cost_hardly_a_bit_take_no_longer_than_their_bytes_pay_for(
    number: int, shapes: list[tuple[int, ...]], level: int
) -> None:
    """As many equal levels as the credit allows; the message is cut where it does not."""
    victim = writer.victim(shapes, 0)
    (rows, columns), most = shapes[0], 1_500_000
    encoder = begun_with(None, Context.of(victim.layout, None).side, 10_000_000)
    for value, width in ((1 << 19, 20), (0, 1)):
        encode_bits(encoder, value, width)
    code = 1 if level == 0 else code_of_mean(level)
    AdaptiveInteger(4).encode(encoder, 1 + (2 * (code - 64) if code >= 64 else 2 * (64 - code) - 1))
    lags = (
        SignLags(np.arange(1, number + 1, dtype=np.int64), np.full(number, MOST_WEIGHT, np.int64))
        if rows > 1
        else NO_LAGS
    )
    if rows > 1:
        LagModels().encode(encoder, lags)
    levels = np.full(most // columns * columns if rows > 2 else columns, level, np.int32)
    levels[:: min(columns, 5000)] = 1  # no row is without
    encode_layer(encoder, LevelModels(), levels, levels.astype(np.float32), columns, code, *lags)
    body = encoder.finish()
    low, high, middle = 1, len(body), len(body)
    while low < high:  # the longest prefix that a decoder takes; often all of it
        try:
            READERS[3].decode(victim.message(body[:middle]), victim.layout)
            low = middle
        except MalformedMessage:
            high = middle - 1
        middle = (low + high + 1) // 2
    allowed = hostile.MOST_PASSES * hostile.pass_seconds(victim.layout.size) + 1e-6 * hostile.MICROSECONDS_A_BYTE * low
    assert victim.seconds(victim.message(body[:low]), 5) < allowed


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the kernel tells the peak of memory")
def test_every_decoder_takes_four_vectors_and_four_times_the_message_at_most() -> None:
    """Resident memory, which arrays of compiled code are part of; each message in a process whose peak is set anew."""
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, "-m", "tests.fuzz.hostile", "--memory"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=ROOT)
    found = json.loads(done.stdout)
    assert len(found) >= 20
    assert {row["scheme"] for row in found} == {reader.name for reader in READERS.values()}
    assert max(row["bytes"] / row["n"] for row in found) > 4  # a vector at least: the kernel does tell
    for row in found:
        assert row["bytes"] <= 4 * 4 * row["n"] + 4 * row["message"] + 2**20, row


def ended(n: int = 1000) -> tuple[Layout, bytes]:
    """A message that ends with a count of 0."""
    vector = np.zeros(n, np.float32)
    vector[[3, 70, 500]] = 1, -2, 3
    layout = Layout.of({"w": vector})
    message = SuRP(budget=500).codec.encode(vector, layout, rng=np.random.default_rng(0))
    assert len(message) < 400
    return layout, message


@pytest.mark.parametrize("tail", [b"\0", b"\xff", b"\x80" + bytes(100_000)])
def test_anything_after_the_end_is_malformed(tail: bytes) -> None:
    layout, message = ended()
    longer = READERS[3], message[HEADER_BYTES:] + tail
    with pytest.raises(MalformedMessage, match="after the end"):
        longer[0].decode(writer.Victim(layout, None).message(longer[1]), layout)


def test_a_message_is_valid_at_every_length_up_to_its_end() -> None:
    layout, message = ended()
    for length in range(HEADER_BYTES + 1, len(message) + 1):
        READERS[3].decode(truncate(message, length), layout)


@pytest.mark.parametrize("context", [0, 2])
def test_every_length_of_a_message_at_the_limit_of_its_work_is_valid(context: int) -> None:
    victim = writer.victim([(30, 40), (7,), (300, 200)], context)
    rng = np.random.default_rng(0)
    for _ in range(3):
        made = writer.Writer(victim)
        (body,) = writer.program(made, rng, most=400, beyond=False)
        for length in range(1, len(body) + 1):
            READERS[3].decode(victim.message(body[:length]), victim.layout, reference=victim.reference)


def test_more_work_than_the_bytes_are_worth_is_malformed() -> None:
    victim = writer.victim([(1, 100_000)], 0)
    made = writer.Writer(victim)
    while not made.overdrawn:
        within = made.body()
        made.group(np.arange(10_000))
    assert READERS[3].decode(victim.message(within), victim.layout)[0] != 0
    with pytest.raises(MalformedMessage, match="more work than its bytes are worth"):
        READERS[3].decode(victim.message(made.body()), victim.layout)


@pytest.mark.parametrize("n", [1, 50, 5000, 60_000])
@pytest.mark.parametrize("budget", [218, 10_000])
def test_encoders_stay_within_the_work_of_a_decoder(n: int, budget: int) -> None:
    """Equal numbers cost the fewest bits for what they ask."""
    vector = np.full(n, np.pi, np.float32)
    layout = Layout.of({"w": vector.reshape(n // 50, 50) if n % 50 == 0 else vector})
    for reference in (None, vector):
        for progressive in (False, True):
            codec = SuRP(budget, progressive).codec
            message = codec.encode(vector, layout, rng=np.random.default_rng(0), reference=reference)
            assert codec.decode(message, layout, reference=reference).any()


def test_a_model_of_very_many_layers_is_sent() -> None:
    rng = np.random.default_rng(0)
    shapes = {f"w{i}": (4, 4) for i in range(30_000)}
    layout = Layout.of({name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()})
    vector = rng.laplace(size=layout.size).astype(np.float32)
    codec = SuRP(2000).codec
    assert codec.decode(codec.encode(vector, layout, rng=rng), layout).any()


@pytest.mark.parametrize("shape", [(4, 2_000_000), (40, 200_000), (3000, 2500)], ids=["few rows", "wide", "square"])
def test_factors_that_cost_hardly_a_bit_take_no_longer_than_their_bytes_pay_for(shape: tuple[int, int]) -> None:
    """Equal values in as many components as the credit allows, whose products fill a whole layer again and again."""
    victim = writer.victim([shape], 0)
    side, (rows, columns) = Context.of(victim.layout, None).side, shape
    matrix = np.zeros(shape, np.float32)
    rank = 1
    while rank < most_components(Layer(0, *shape)):
        lefts, rights = np.ones((rank, rows)), np.zeros((rank, columns))
        rights[:, 0] = 1
        factors = told([(Components(Layer(0, *shape), matrix, np.ones(rank), lefts, rights), rank)], 0.5)
        if begun_with(factors, side, 1_000_000).overdrawn:
            break
        encoder = begun_with(factors, side, 1_000_000)
        rank += 1 + rank // 4
    message = victim.message(encoder.finish())
    allowed = hostile.MOST_PASSES * hostile.pass_seconds(victim.layout.size)
    allowed += 1e-6 * hostile.MICROSECONDS_A_BYTE * len(message)
    assert victim.seconds(message, 3) < allowed
