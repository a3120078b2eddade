"""The library as a testee: requests on standard input, answers on standard output. `testee.c` describes them."""

from __future__ import annotations

import sys

import numpy as np

from surp_fl import Layout, MalformedMessage, SuRP
from surp_fl.codecs import reader_of
from surp_fl.types import Reference, Vector
from tests.conformance.requests import crc_of


def answer_to(request: str) -> str:
    """The answer to one request."""
    verb, fingerprint, arrays, what, *vectors = request.split()
    shapes = [tuple(map(int, each.split("x"))) for each in arrays.split(",")] if arrays != "-" else []
    layout = Layout.of({f"{i}": np.zeros(shape, np.float32) for i, shape in enumerate(shapes)}, {}, tied=False)
    layout.__dict__["fingerprint"] = int(fingerprint)  # a cached property: names of arrays are not in a request
    first, second = (_vector(each, layout.size) for each in vectors)
    if verb == "encode":
        assert first is not None
        message = SuRP(int(what)).codec.encode(first, layout, rng=np.random.default_rng(0), reference=second)
        return f"ok {message.hex()}"
    reference: Reference = first if first is None or second is None else (first, second)
    message = bytes.fromhex(what.replace("-", ""))
    try:
        return f"ok {crc_of(reader_of(message).decode(message, layout, reference=reference))}"
    except MalformedMessage:
        return "malformed"


def _vector(digits: str, size: int) -> Vector | None:
    if digits == "-" and size > 0:
        return None
    return np.frombuffer(bytes.fromhex(digits.replace("-", "")), "<f4").astype(np.float32)


def main() -> int:
    """Answer until the input ends."""
    for line in sys.stdin:
        print(answer_to(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
