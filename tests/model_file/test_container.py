"""The bytes of a file: whole, cut on purpose, cut elsewhere, and damaged."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from surp_fl import MalformedMessage
from surp_fl.model_file import compress, cut, decompress, is_model_file
from surp_fl.model_file.container import CHECK_BYTES, chunk_for, sections_of
from tests.model_file.models import trained

MODEL = trained()
FILE = compress(MODEL, ratio=8)
HEADER = len(cut(FILE, len(FILE))) - len(sections_of(FILE).body) - CHECK_BYTES * -(-len(sections_of(FILE).body) // 512)


def error(file: bytes) -> float:
    found = decompress(file)
    return sum(float(np.square(found[name] - array).sum()) for name, array in MODEL.items() if array.dtype.kind == "f")


def test_a_file_is_known_by_its_first_bytes() -> None:
    assert is_model_file(FILE)
    assert not is_model_file(FILE[1:])
    with pytest.raises(MalformedMessage, match="no model file"):
        decompress(b"PK\3\4 and so on")
    with pytest.raises(MalformedMessage, match="version 2; this library reads version 1"):
        decompress(FILE[:5] + b"\2" + FILE[6:])


def test_every_prefix_beyond_the_header_is_a_coarser_model_and_says_what_is_missing() -> None:
    whole = len(sections_of(FILE).body)
    for length in [*range(HEADER, HEADER + 40), *range(HEADER, len(FILE), 97), len(FILE) - 1]:
        found = sections_of(FILE[:length])
        assert found.whole == whole
        assert len(found.body) + found.unchecked <= length - HEADER
        assert found.body == sections_of(FILE).body[: len(found.body)]
        assert length - HEADER - len(found.body) < 512 + CHECK_BYTES * (2 + length // 512)
        assert list(decompress(FILE[:length])) == list(MODEL)


def test_without_its_header_a_file_says_that_it_was_cut() -> None:
    for length in range(len(b"\xf5SuRP"), HEADER):
        with pytest.raises(MalformedMessage, match="it was cut"):
            decompress(FILE[:length])


def test_a_file_cut_on_purpose_uses_all_of_its_bytes() -> None:
    for size in (HEADER, HEADER + 3, HEADER + 100, 3000, len(FILE) - 1, len(FILE), 10 * len(FILE)):
        shorter = cut(FILE, size)
        found = sections_of(shorter)
        assert min(size, len(FILE)) - 2 * CHECK_BYTES < len(shorter) <= size
        assert found.unchecked == 0
        assert cut(shorter, size) == shorter
        assert cut(cut(FILE, 3000), 2000) == cut(FILE, 2000)
    assert cut(FILE, len(FILE)) == FILE
    errors = [error(cut(FILE, size)) for size in (HEADER, 1500, 2000, 3000, len(FILE))]
    assert errors == sorted(errors, reverse=True)
    with pytest.raises(ValueError, match=f"cannot be cut has {HEADER:,}"):
        cut(FILE, HEADER - 1)


def test_no_damaged_byte_is_decoded() -> None:
    """Each byte of a whole file, and of one that was cut on purpose, where the damaged end is left out."""
    rng = np.random.default_rng(0)
    for file in (FILE, cut(FILE, 2500)):
        last = HEADER + (len(file) - HEADER) // 516 * 516  # where its last chunk begins
        for place in rng.permutation(len(file))[:400].tolist():
            damaged = bytearray(file)
            damaged[place] ^= 1 << int(rng.integers(8))
            if place >= last and file is not FILE:
                assert sections_of(bytes(damaged)).body == sections_of(file[:last]).body
            else:
                with pytest.raises(MalformedMessage):
                    sections_of(bytes(damaged))


def test_chunks_that_are_exchanged_or_repeated_are_found() -> None:
    first, second = FILE[HEADER : HEADER + 516], FILE[HEADER + 516 : HEADER + 1032]
    rest = FILE[HEADER + 1032 :]
    for body in (second + first + rest, first + first + rest, second + rest, FILE[HEADER:] + b"\0"):
        with pytest.raises(MalformedMessage):
            decompress(FILE[:HEADER] + body)


@pytest.mark.parametrize(("budget", "chunk"), [(0, 9), (16_000, 9), (40_000, 10), (1 << 30, 16)])
def test_checks_take_few_of_the_bytes(budget: int, chunk: int) -> None:
    assert chunk_for(budget) == chunk
    assert CHECK_BYTES * (budget >> chunk) <= 0.008 * budget


def test_a_message_that_does_not_fit_its_checks_is_malformed() -> None:
    """A body that no encoder writes, behind checks that hold."""
    body = b"\xff" * 300
    header = FILE[:HEADER]
    file = header + body + zlib.crc32(body, zlib.crc32(header)).to_bytes(4, "little")
    with pytest.raises(MalformedMessage, match="the SuRP message of the model file is not valid"):
        decompress(file)
