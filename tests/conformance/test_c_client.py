"""Clients whose messages the C encoder writes take part in rounds of Flower, through its own messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from surp_fl import CompressUpdates, Layout, SuRP
from surp_fl.codecs import Codec
from surp_fl.codecs.surp.scheme import MEMORY, READER
from surp_fl.frame import HEADER_BYTES
from surp_fl.memory import Memory
from surp_fl.strategies import DecodeUpdates
from surp_fl.types import Arrays, Reference, Vector
from tests.conformance.requests import encode_request
from tests.conformance.testees import Testee, compiler, started
from tests.flower_app import app_with, fedavg, initial, run

pytestmark = pytest.mark.skipif(compiler() is None, reason="there is no C compiler")
BUDGET = 60


@dataclass(frozen=True)
class WrittenInC:
    """SuRP's messages, written by another program."""

    program: Testee
    memory: Memory = field(default_factory=lambda: MEMORY)

    @property
    def codec(self) -> Codec:
        return Codec(READER, self.write)

    def write(self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        shapes = [spec.shape for spec in layout.floats]
        answer = self.program.answer_to(encode_request(layout.fingerprint, shapes, BUDGET, vector)).split()
        assert answer[0] == "ok", answer
        return bytes.fromhex(answer[1])[HEADER_BYTES:]


@pytest.fixture(scope="module")
def program() -> Iterator[Testee]:
    with started("c") as found:
        yield found


def towards(target: Arrays) -> Callable[[Arrays, int, int], Arrays]:
    """Training that goes a third of the way, with noise of each client's own."""

    def learn(arrays: Arrays, node: int, server_round: int) -> Arrays:
        rng = np.random.default_rng([node, server_round])
        for name, array in arrays.items():
            if array.dtype.kind == "f":
                array += ((target[name] - array) / 3 + rng.normal(scale=0.02, size=array.shape)).astype(array.dtype)
        return arrays

    return learn


def test_rounds_with_clients_that_write_in_c_come_about_as_near_to_the_optimum_as_the_librarys(
    program: Testee,
) -> None:
    rng = np.random.default_rng(5)
    target = {
        name: array + rng.standard_t(3, size=array.shape).astype(array.dtype) for name, array in initial().items()
    }
    left: list[float] = []
    for scheme in (WrittenInC(program), SuRP(BUDGET)):
        strategy = DecodeUpdates(fedavg())
        done = run(app_with([CompressUpdates(scheme)], towards(target)), strategy, rounds=12)
        assert [spent.failures for spent in strategy.traffic] == [0] * 12
        assert max(size for spent in strategy.traffic for size in spent.payload_bytes_up) <= BUDGET + 20  # and integers
        left.append(float(np.linalg.norm(done.models[-1]["weight"] - target["weight"])))
    assert left[0] < 1.2 * left[1]
    assert left[0] < 0.7 * float(np.linalg.norm(initial()["weight"] - target["weight"]))
