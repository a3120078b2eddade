"""Throw damaged, cut, extended and invented messages at every decoder.

    python -m tests.fuzz.messages --count 1000000

Half of them get a valid frame, as an attacker would give them. A decoder may decode, or raise MalformedMessage;
anything else is a failure, and so is a decode that takes too long or too much memory.
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from surp_fl import Layout, MalformedMessage, SuRP
from surp_fl.codecs import READERS, SCHEMES, reader_of
from surp_fl.frame import HEADER_BYTES, pack
from surp_fl.immutable import immutable
from surp_fl.types import Reference
from tests.fuzz.writer import has_terms

MOST_SECONDS = 1.0  # of the processor, for one message of about two hundred bytes
MOST_VECTORS = 8  # of memory, in sizes of the decoded vector, above a fixed megabyte

Mutation = Callable[[bytearray, np.random.Generator], bytearray]


def _flip(body: bytearray, rng: np.random.Generator) -> bytearray:
    for _ in range(rng.integers(1, 5)):
        body[rng.integers(len(body))] ^= 1 << int(rng.integers(8))
    return body


def _overwrite(body: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(len(body)))
    fresh = rng.bytes(int(rng.integers(1, 9))) if rng.random() < 0.7 else bytes([255 * int(rng.integers(2))]) * 8
    body[start : start + len(fresh)] = fresh
    return body


def _cut(body: bytearray, rng: np.random.Generator) -> bytearray:
    return body[: int(rng.integers(len(body)))]


def _extend(body: bytearray, rng: np.random.Generator) -> bytearray:
    return body + rng.bytes(int(rng.integers(1, 60)))


def _invent(body: bytearray, rng: np.random.Generator) -> bytearray:
    return bytearray(rng.bytes(int(rng.integers(0, 300))))


MUTATIONS: tuple[Mutation, ...] = (_flip, _overwrite, _cut, _extend, _invent)


def originals() -> tuple[Layout, Reference, list[bytes]]:
    """A small model with awkward layers, what both ends hold, and valid messages of every scheme."""
    rng = np.random.default_rng(0)
    shapes = {"conv": (6, 2, 3, 3), "bias": (6,), "fc": (40, 30), "scalar": (), "none": (0, 3)}
    arrays = {name: rng.standard_t(2, size=shape).astype(np.float32) for name, shape in shapes.items()}
    layout = Layout.of(arrays)
    vector = layout.flatten(arrays)
    model = rng.normal(size=layout.size).astype(np.float32)
    before = model.copy()
    before[::17] += 1
    reference: Reference = (immutable(model), immutable(before))
    codecs = [scheme.codec for row in SCHEMES.values() for scheme in row.examples.values()]
    messages = [codec.encode(vector, layout, rng=rng) for codec in codecs]
    messages += [SuRP(218).codec.encode(vector, layout, rng=rng, reference=held) for held in (model, reference)]
    low_rank = {name: 0 * array for name, array in arrays.items()}
    low_rank["fc"] = np.sign(arrays["fc"][:, :1] @ arrays["fc"][:1])
    terms = SuRP(60).codec.encode(layout.flatten(low_rank), layout, rng=rng, reference=reference)
    assert has_terms(terms)
    messages.append(terms)
    return layout, reference, messages


def fuzz(count: int, seed: int) -> Counter[str]:
    """Decode mutated messages.

    Returns:
        How often what happened.

    Raises:
        AssertionError: a decode took too long or too much memory, or gave what is no decoded vector.
        Exception: whatever a decoder raises that is not MalformedMessage.
    """
    layout, reference, messages = originals()
    for message in messages:  # compiles the loops
        reader_of(message).decode(message, layout, reference=reference)
    rng = np.random.default_rng(seed)
    seen: Counter[str] = Counter()
    tracemalloc.start()
    for number in tqdm(range(count), unit="message", disable=None):
        original = messages[int(rng.integers(len(messages)))]
        if rng.random() < 0.5:
            message = bytes(MUTATIONS[int(rng.integers(len(MUTATIONS)))](bytearray(original), rng))
        else:
            reader = READERS[int(rng.choice(list(READERS)))] if rng.random() < 0.1 else reader_of(original)
            body = MUTATIONS[int(rng.integers(len(MUTATIONS)))](bytearray(original[HEADER_BYTES:]), rng)
            try:
                message = pack(reader.scheme_id, bytes(body), reader.associated_data(bytes(body), layout, reference))
            except ValueError:  # a context that does not exist has no share
                message = pack(reader.scheme_id, bytes(body), layout.fingerprint)
        watched = number % 100 == 0
        if watched:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
        began = time.process_time()
        try:
            decoded = reader_of(message).decode(message, layout, reference=reference)
            assert decoded.shape == (layout.size,), f"{message.hex()} decodes to shape {decoded.shape}"
            assert np.isfinite(decoded).all(), f"{message.hex()} decodes to NaN or infinity"
            seen["decoded"] += 1
        except MalformedMessage:
            seen["malformed"] += 1
        seconds = time.process_time() - began
        assert seconds < MOST_SECONDS, f"{message.hex()} took {seconds:.2f} s"
        if watched:
            memory = tracemalloc.get_traced_memory()[1] - before
            most = MOST_VECTORS * 4 * layout.size + 2**20
            assert memory < most, f"{message.hex()} took {memory:,} bytes"
    tracemalloc.stop()
    return seen


def main(arguments: list[str] | None = None) -> int:
    """Fuzz, and say what happened."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.messages", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1_000_000, help="messages (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    seen = fuzz(options.count, options.seed)
    took = time.perf_counter() - began
    print(f"{options.count:,} messages in {took:.0f} s: {dict(seen)}; nothing but MalformedMessage was raised")
    return 0


if __name__ == "__main__":
    sys.exit(main())
