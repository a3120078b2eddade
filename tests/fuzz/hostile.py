"""Searches for SuRP messages that cost a decoder more time or memory than their bytes are worth.

    python -m tests.fuzz.hostile --count 2000

The messages are those of `writer.py`. A message that asks for too much has to be refused, about as fast.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surp_fl import (
    EDEN,
    QSGD,
    SBC,
    STC,
    Cast,
    Dense,
    FedPAQ,
    LaplacianSuRP,
    Layout,
    MalformedMessage,
    PaperSuRP,
    PowerSGD,
    RandomK,
    SignSGD,
    SuRP,
    TernGrad,
    TopK,
    UnbiasedSuRP,
)
from surp_fl.codecs import READERS, Scheme
from surp_fl.frame import HEADER_BYTES, pack, scheme_id_of
from tests.fuzz.writer import (
    MAX_INDICES,
    SURP,
    Victim,
    Writer,
    evenly_spaced,
    program,
    random_terms,
    run_of,
    run_with_gaps,
    victim,
)  # fmt: skip

MOST_PASSES, MICROSECONDS_A_BYTE = 3, 20  # of a decoder's time


def pass_seconds(n: int) -> float:
    """Least time of one pass over a vector of n coordinates: the largest magnitude."""
    vector = np.ones(n, np.float32)
    best = np.inf
    for _ in range(5):
        began = time.process_time()
        np.abs(vector).max()
        best = min(best, time.process_time() - began)
    return float(best)


@dataclass(frozen=True)
class Cost:
    """What the costliest message of a search takes.

    Attributes:
        ratio: its time over what is allowed.
        seconds: its time.
        length: bytes.
        seed: of its program.
    """

    ratio: float
    seconds: float
    length: int
    seed: int


def worst_of(victim: Victim, count: int, seed: int, most: int) -> Cost:
    """Search for the message that takes longest for its length."""
    one_pass = pass_seconds(victim.layout.size)
    writer = Writer(victim)
    writer.group(np.arange(3))
    victim.seconds(victim.message(writer.body()))  # compiles, and reads what is held
    worst = Cost(0.0, 0.0, 0, 0)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        for body in program(Writer(victim, random_terms(victim, rng)), rng, most, beyond=bool(rng.random() < 0.3)):
            message = victim.message(body)
            allowed = MOST_PASSES * one_pass + 1e-6 * MICROSECONDS_A_BYTE * len(message)
            seconds = victim.seconds(message, 1)
            if seconds > worst.ratio * allowed:  # once more: the machine may have been busy
                seconds = min(seconds, victim.seconds(message, 5))
            if seconds > worst.ratio * allowed:
                worst = Cost(seconds / allowed, seconds, len(message), number)
    return worst


def bodies(layout: Layout) -> Iterator[tuple[int, bytes]]:
    """Scheme ids and bodies that take a decoder's memory, for a model of one matrix; valid ones and others."""
    n, rng = layout.size, np.random.default_rng(0)
    vector = rng.laplace(size=n).astype(np.float32)
    schemes: list[Scheme] = [
        Dense(), QSGD(bits=2, bucket=n), QSGD(bits=8, bucket=1), EDEN(40), EDEN(n), TopK(sparsity=0.0),
        TopK(sparsity=0.0, value_bits=16), TopK(sparsity=0.7), PowerSGD(rank=1), PowerSGD(rank=300),
        PowerSGD(rank=300, value_bits=32), QSGD(bits=16, coded=True, bucket=1), QSGD(bits=8, coded=True),
        FedPAQ(bits=1), TernGrad(), SBC(sparsity=0.0), SBC(sparsity=0.7, per_array=False), SBC(n // 8),
        RandomK(sparsity=0.0), RandomK(sparsity=0.0, value_bits=16), RandomK(sparsity=0.7), Cast("fp16"),
        Cast("bf16"), Cast("int8"), SignSGD(), SignSGD(per_array=False), STC(n), STC(n // 8),
        PaperSuRP(steps=n // 20), PaperSuRP(steps=n // 4), LaplacianSuRP(steps=n // 20), LaplacianSuRP(steps=n // 8),
        SuRP(20_000), SuRP(n), SuRP(n // 8), UnbiasedSuRP(40), UnbiasedSuRP(n // 8),
    ]  # fmt: skip
    for scheme in schemes:
        message = scheme.codec.encode(vector, layout, rng=rng)
        yield scheme_id_of(message), message[HEADER_BYTES:]
        yield scheme_id_of(message), message[HEADER_BYTES:] + bytes(len(message) // 4)
    for k in (MAX_INDICES, 10_000):
        for kind in (run_of, run_with_gaps, evenly_spaced):
            writer = Writer(Victim(layout, None))
            while writer.length < 40_000 and not writer.overdrawn:
                body = writer.body()
                writer.group(kind(writer, k, rng))
            yield SURP, body
            yield SURP, writer.body(400_000)
    for _ in range(20):
        terms = random_terms(Victim(layout, None), rng)
        yield SURP, Writer(Victim(layout, None), terms).body()


def memory(n: int) -> list[dict[str, int | str]]:
    """How many bytes each decoder takes at most for each of `bodies`, by the kernel's account.

    Needs MALLOC_MMAP_THRESHOLD_=65536: memory that the process kept for itself would not count.
    """
    if os.environ.get("MALLOC_MMAP_THRESHOLD_") != "65536":
        raise ValueError("run it with MALLOC_MMAP_THRESHOLD_=65536 in the environment")
    layout = Layout.of({"w": np.broadcast_to(np.float32(0), (1000, n // 1000))})
    found: list[dict[str, int | str]] = []
    seen = set()
    for scheme_id, body in bodies(layout):
        reader = READERS[scheme_id]
        message = pack(scheme_id, body, layout.fingerprint)
        for decode in (reader.decode, reader.decode_sparse):
            for _ in range(1 if (reader, decode.__name__) in seen else 2):  # the first compiles
                Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
                before = _resident("VmRSS")
                with suppress(MalformedMessage):
                    decode(message, layout)
                taken = _resident("VmHWM") - before
            seen.add((reader, decode.__name__))
            found.append({"scheme": reader.name, "n": n, "message": len(message), "bytes": taken})
    return found


def _resident(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])


def main(arguments: list[str] | None = None) -> int:
    """Search for the costliest messages, and say what they cost."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.hostile", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=2000, help="messages for each model (%(default)s)")
    parser.add_argument("--most", type=int, default=4000, help="bytes (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", action="store_true", help="measure memory instead, as JSON")
    options = parser.parse_args(arguments)
    if options.memory:
        json.dump(memory(1_000_000), sys.stdout)
        return 0
    models: list[list[tuple[int, ...]]] = [
        [(1, 10_000_000)], [(512, 4608)] * 4, [(50, 100)] * 2000, [(30, 40), (7,), (300, 200)],
        [(1024, 27_648)], [(20_000, 500)],
    ]  # fmt: skip
    for shapes in models:
        for context in range(3):
            worst = worst_of(victim(shapes, context), options.count, options.seed, options.most)
            print(f"{len(shapes)} layers, context {context}: {worst}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
