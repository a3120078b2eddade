"""Inflating to a limit: nothing beyond it is made, and one whole stream is expected."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest

from surp_fl.errors import MalformedMessage
from surp_fl.inflate import inflated


def deflated(content: bytes) -> bytes:
    return zlib.compress(content, 9, -zlib.MAX_WBITS)


@pytest.mark.parametrize("size", [0, 1, 5, 70_000])
def test_a_stream_may_hold_as_much_as_the_limit_and_not_a_byte_more(size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    assert inflated(deflated(content[:size]), size, "it") == content[:size]
    with pytest.raises(MalformedMessage, match=f"it holds more than {size:,} bytes"):
        inflated(deflated(content[: size + 1]), size, "it")


@pytest.mark.parametrize("limit", [0, 1000])
def test_what_is_beyond_the_limit_takes_no_memory(limit: int) -> None:
    bomb = deflated(bytes(1 << 27))
    tracemalloc.start()
    with pytest.raises(MalformedMessage, match="holds more than"):
        inflated(bomb, limit, "it")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("damage", ["cut", "followed", "no stream"])
def test_what_is_not_one_whole_stream_is_malformed(damage: str) -> None:
    whole = deflated(b"abcdefgh" * 9)
    data = {"cut": whole[:-2], "followed": whole + b"x", "no stream": b"\xff\xff\xff"}[damage]
    with pytest.raises(MalformedMessage, match=r"it (cannot be inflated|ends too early, or bytes follow)"):
        inflated(data, 100, "it")
