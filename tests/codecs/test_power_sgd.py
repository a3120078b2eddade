"""PowerSGD as its authors write it: factors by a power iteration that starts where the last one ended."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from surp_fl import ErrorFeedback, Layout, MalformedMessage, PowerSGD
from surp_fl.codecs.power_sgd.low_rank import factors, orthogonalized
from surp_fl.memory import LAST_SENT, State
from surp_fl.types import Vector
from tests.schemes import body_of, decode_body, through

ARRAYS = {"w": np.outer([3.0, 4.0], [1.0, 2.0, -2.0]).astype(np.float32), "b": np.array([0.5, -7.0], np.float32)}
LAYOUT = Layout.of(ARRAYS)
VECTOR = LAYOUT.flatten(ARRAYS)
EXACT = PowerSGD(rank=1, value_bits=32)


def low_rank_and_noise(seed: int, noise: float = 0.3) -> tuple[Vector, Layout]:
    """Layers of rank 6 with falling singular values, noise, and a bias."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, rows, columns in (("a", 30, 50), ("b", 64, 20)):
        directions = np.random.default_rng(rows)  # the same for every seed
        left, right = directions.normal(size=(rows, 6)), directions.normal(size=(6, columns))
        arrays[name] = left @ np.diag(0.6 ** np.arange(6)) @ right + noise * rng.normal(size=(rows, columns))
    arrays["bias"] = rng.normal(size=10)
    layout = Layout.of({name: array.astype(np.float32) for name, array in arrays.items()})
    return layout.flatten(arrays), layout


def test_a_layer_of_rank_one_is_its_factors_by_hand() -> None:
    """P̂ = (3, 4)/5 up to its sign, and Q = Mᵀ·P̂ = 5·(1, 2, −2); the bias is sent as it is."""
    np.testing.assert_allclose(through(EXACT, VECTOR, LAYOUT), VECTOR, rtol=1e-6)
    body = body_of(EXACT, VECTOR, LAYOUT)
    assert body[:2] == bytes([1, 32])
    values = np.frombuffer(body, "<f4", offset=2)
    np.testing.assert_allclose(values * np.sign(values[0]) ** np.repeat([1, 0], [5, 2]),
                               [0.6, 0.8, 5, 10, -10, 0.5, -7], rtol=1e-6)  # fmt: skip


def test_one_message_is_the_papers_algorithm_1() -> None:
    matrix, start = (np.random.default_rng(0).normal(size=shape) for shape in ((20, 30), (30, 4)))
    left, right = factors(matrix, start, rounded=lambda values: values)
    expected = np.linalg.qr(matrix @ start)[0]
    np.testing.assert_allclose(left @ right.T, expected @ expected.T @ matrix, atol=1e-12)
    np.testing.assert_allclose(left.T @ left, np.eye(4), atol=1e-12)


def test_columns_are_orthogonalized_as_in_torchs_hook() -> None:
    hook = pytest.importorskip("torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook")
    torch = pytest.importorskip("torch")
    columns = np.random.default_rng(0).normal(size=(40, 5))
    theirs = torch.from_numpy(columns.copy())[None]
    hook._orthogonalize_gram_schmidt(theirs)
    np.testing.assert_allclose(orthogonalized(columns), theirs[0].numpy(), atol=1e-10)


def errors_of(scheme: PowerSGD, rounds: int) -> list[float]:
    """Errors of a client that trains on similar data in each round, over those of the best factors of rank two."""
    state: State = {}
    errors = []
    for server_round in range(rounds):
        wanted, layout = low_rank_and_noise(server_round)  # without a residual, so that all rounds are alike
        sent = through(scheme.continued(state), wanted, layout, seed=server_round)
        state = scheme.memory.settle(wanted, sent, state)
        layers = [layout.unflatten(wanted)[name] for name in ("a", "b")]
        left = [np.square(np.linalg.svd(layer, compute_uv=False)[2:]).sum() for layer in layers]
        errors.append(float(np.linalg.norm(wanted - sent) / np.sqrt(sum(left))))
    return errors


def test_a_warm_start_comes_as_close_as_the_best_factors_in_a_few_rounds() -> None:
    warm, cold = errors_of(PowerSGD(), 12), errors_of(PowerSGD(memory=ErrorFeedback()), 12)
    assert warm[0] == cold[0]
    assert max(warm[4:]) < 1.02
    assert min(cold) > 1.1


def test_iterations_do_instead_of_a_warm_start() -> None:
    assert max(errors_of(PowerSGD(memory=ErrorFeedback(), iterations=6), 4)) < 1.02


def test_what_was_sent_is_as_good_a_start_as_its_q() -> None:
    """The start spans the rows of P·Qᵀ, which are those of Qᵀ; so does Q, and nothing else matters."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(20, 30)), rng.normal(size=(20, 30))
    layout = Layout.of({"w": first.astype(np.float32)})
    exact = PowerSGD(rank=3, value_bits=32)
    left, right = factors(first, rng.normal(size=(30, 3)), rounded=lambda values: values)
    last: State = {LAST_SENT: (left @ right.T).ravel().astype(np.float32)}
    sent = through(exact.continued(last), second.ravel().astype(np.float32), layout)
    p, q = factors(second, right, rounded=lambda values: values)
    np.testing.assert_allclose(sent, (p @ q.T).ravel(), atol=1e-5)


@pytest.mark.parametrize("value_bits", [16, 32])
def test_decoding_never_adds_error(value_bits: int) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        vector = (rng.standard_cauchy(600) * 10.0 ** rng.integers(-40, 30)).astype(np.float32)
        layout = Layout.of({"w": vector.reshape(20, 30)})
        for rank in (1, 5, 11):
            sent = through(PowerSGD(rank=rank, value_bits=value_bits), vector, layout).astype(float)
            assert np.linalg.norm(vector - sent) <= np.linalg.norm(vector.astype(float))


def test_values_beyond_float32_and_of_nothing_are_sent() -> None:
    huge = np.full((20, 30), 3e38, np.float32)
    layout = Layout.of({"w": huge})
    for vector in (huge.ravel(), 0 * huge.ravel(), np.full(600, 1e-45, np.float32)):
        sent = through(PowerSGD(), vector, layout)
        assert np.linalg.norm((vector - sent).astype(float)) <= np.linalg.norm(vector.astype(float))


def test_a_lower_rank_does_not_stay_low() -> None:
    """After a message of a layer of rank one, the next one has both columns again."""
    vector, layout = low_rank_and_noise(0)
    arrays = layout.unflatten(vector)
    arrays["a"] = np.outer(arrays["a"][:, 0], arrays["a"][0])
    scheme = PowerSGD()
    low = through(scheme, layout.flatten(arrays), layout)
    again = through(scheme.continued({LAST_SENT: low}), vector, layout)
    assert np.linalg.matrix_rank(layout.unflatten(again)["a"]) == 2


def test_layers_that_factors_would_not_make_smaller_are_sent_as_they_are() -> None:
    np.testing.assert_array_equal(through(PowerSGD(rank=2, value_bits=32), VECTOR, LAYOUT), VECTOR)
    assert body_of(PowerSGD(rank=2, value_bits=32), VECTOR, LAYOUT) == bytes([0, 32]) + VECTOR.astype("<f4").tobytes()


def test_the_bytes_are_those_of_the_factors() -> None:
    vector, layout = low_rank_and_noise(0)
    for rank in (1, 2, 5):
        for width in (16, 32):
            values = rank * (30 + 50) + rank * (64 + 20) + 10
            assert len(body_of(PowerSGD(rank, width), vector, layout)) == 2 + values * width // 8


def body(rank: int, width: int, values: list[float]) -> bytes:
    return bytes([rank, width]) + struct.pack(f"<{len(values)}f", *values)


VALUES = [0.6, 0.8, 5, 10, -10, 0.5, -7]


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (b"", "ends at bit 8"),
        (body(1, 8, VALUES), "this version knows"),
        (body(1, 32, VALUES[:-1]), "24 bytes for 7 values"),
        (body(1, 32, [*VALUES, 0]), "32 bytes for 7 values"),
        (body(1, 32, VALUES) + b"\0", "29 bytes for 7 values"),
        (body(2, 32, [0] * 8), "of which no array has factors"),
        (body(0, 32, VALUES), "28 bytes for 8 values"),
        (body(1, 32, [0, 0, *VALUES[2:]]), "that of the other is not"),
        (body(1, 32, [*VALUES[:2], 0, 0, 0, 1, 1]), "that of the other is not"),
        (body(1, 32, [np.inf, *VALUES[1:]]), "not finite"),
        (body(1, 32, [*VALUES[:6], np.nan]), "not finite"),
    ],
)
def test_bodies_that_no_encoder_writes_are_malformed(made: bytes, says: str) -> None:
    assert decode_body(EXACT, body(1, 32, VALUES), LAYOUT)[0] == np.float32(0.6 * 5)
    with pytest.raises(MalformedMessage, match=says):
        decode_body(EXACT, made, LAYOUT)


def test_large_layers_are_multiplied_block_by_block() -> None:
    rng = np.random.default_rng(0)
    for shape in ((3, 40_000), (40_000, 3), (300, 400)):
        layer = np.outer(rng.normal(size=shape[0]), rng.normal(size=shape[1])).astype(np.float32)
        layout = Layout.of({"w": layer})
        np.testing.assert_allclose(through(EXACT, layer.ravel(), layout), layer.ravel(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [{"rank": 0}, {"value_bits": 8}, {"iterations": 0}])
def test_options_that_make_no_sense_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        PowerSGD(**options)  # type: ignore[arg-type]
