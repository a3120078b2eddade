"""Targets: the readers of bits and bytes. What they read is compared with what Python's integers say."""

from __future__ import annotations

import numpy as np

from surp_fl import model_file
from surp_fl.entropy.bitio import BitReader, BitWriter, MalformedBits
from surp_fl.entropy.golomb_rice import gap_bits, read_gaps, read_size, rice_parameter, write_gaps
from surp_fl.errors import MalformedMessage
from surp_fl.model_file.varints import ByteReader as StrictReader
from surp_fl.varints import ByteReader, varint
from tests.fuzz.targets.target import Fields, Target, numbers

_STEPS = 16  # of a program of reads
_MOST_WIDTH = 63  # bits of an int64 that is not negative


def bit_io(data: bytes) -> None:
    """A program of reads: numbers of any width, several of one width, varints, and the end."""
    fields = Fields(data)
    program, body = Fields(fields.take(_STEPS)), fields.rest()
    reader, whole, at = BitReader(body), int.from_bytes(body, "big"), 0

    def expected(width: int) -> int:
        return whole >> (8 * len(body) - at - width) & (1 << width) - 1

    while program.left:
        kind = program.number(1)
        width, count = program.number(1) % (_MOST_WIDTH + 1), 1
        before = reader.left
        try:
            if kind % 4 == 0:
                assert reader.read_one(width) == expected(width), "another number than the bits say"
            elif kind % 4 == 1:
                count = kind >> 2
                found = reader.read(count, width).tolist()
                for each in found:
                    assert each == expected(width), "another number than the bits say"
                    at += width
                at -= count * width
            elif kind % 4 == 2:
                value = reader.read_varint()
                width = before - reader.left
                written = BitWriter()
                written.write_varint(value)
                assert int.from_bytes(written.to_bytes(), "big") == expected(width), "a varint of two forms"
            else:
                reader.finish()
                assert (before >= 8, expected(before)) == (False, 0), "the end is not the end"
                return
        except MalformedBits:
            assert kind % 4 >= 2 or count * width > before, "bits that are there cannot be read"
            return
        at += count * width
        assert reader.left == 8 * len(body) - at, "the reader stands elsewhere"


def golomb_rice(data: bytes) -> None:
    """Ascending indices of any model, from any bit on, with any parameter or the best one."""
    fields = Fields(data)
    n, lead, given, count = 1 + fields.number(4), fields.number(1) % 16, fields.number(1), fields.number(2)
    body = fields.rest()
    reader = BitReader(body)
    try:
        before = reader.read_one(lead)
        if given & 1:
            count = read_size(reader, n)
        parameter = given >> 1 & 31 if given & 64 else rice_parameter(min(max(count, 1), n), n)
        start = 8 * len(body) - reader.left
        indices = read_gaps(reader, count, n, parameter)
    except MalformedBits:
        return
    assert indices.shape == (count,), "another number of indices"
    assert (np.diff(indices, prepend=-1, append=n) > 0).all(), "no ascending indices of the model"
    writer = BitWriter()
    writer.write_one(before, lead)
    if given & 1:
        writer.write_varint(count)
    write_gaps(writer, indices, parameter)
    end = 8 * len(body) - reader.left
    assert end == start + gap_bits(indices, parameter), "gaps of another length than the writer's"
    written = int.from_bytes(writer.to_bytes(), "big") >> (-end & 7)
    assert written == int.from_bytes(body, "big") >> reader.left, "other bits come back"


def varints(data: bytes) -> None:
    """Numbers and pieces of bytes, read by both readers: the strict one takes the shortest form alone."""
    fields = Fields(data)
    groups, most, content = fields.number(1) % 12, fields.number(8), fields.rest()
    reader, strict = ByteReader(content), StrictReader(content)
    while not reader.exhausted:
        start = reader.offset
        try:
            found = reader.number(groups)
        except MalformedMessage:
            break
        if found is None:
            break
        assert found[1] == reader.offset - start <= groups, "another length than was read"
        shortest = varint(found[0])
        assert len(shortest) <= found[1], "a number in fewer bytes than it takes"
        assert len(shortest) < found[1] or shortest == content[start : reader.offset], "a number of other bytes"
    while not strict.exhausted:
        start = strict.offset
        try:
            value = strict.varint(most)
            assert value <= most, "a number beyond the limit"
            assert varint(value) == content[start : strict.offset], "no number in its shortest form"
            start = strict.offset
            assert strict.take(value) == content[start : start + value], "other bytes"
        except MalformedMessage:
            return


def container(data: bytes) -> None:
    """A model file of any sections, cut anywhere: by the library, or without a check of the last chunk."""
    fields = Fields(data)
    chunk, size = 6 + fields.number(1) % 19, fields.number(2)
    parts = fields.piece(), fields.piece(), fields.piece(), fields.piece()
    body = fields.rest()
    header = model_file.container.header_of(*parts, len(body), chunk)
    file = model_file.container.in_chunks(header, body, chunk)
    size = size % (len(file) + 1)
    found = model_file.container.sections_of(file)
    assert (found.manifest, found.exact, found.small, found.scales) == parts, "other sections"
    assert (found.body, found.whole, found.unchecked) == (body, len(body), 0), "another body"
    if size < len(header):
        return
    torn = model_file.container.sections_of(file[:size])
    assert (body.startswith(torn.body), torn.whole) == (True, len(body)), "no prefix of the body"
    shorter = model_file.cut(file, size)
    assert len(shorter) <= size, "a cut file is longer than asked for"
    kept = model_file.container.sections_of(shorter)
    assert (body.startswith(kept.body), kept.unchecked) == (True, 0), "a cut file whose end is not checked"
    assert len(kept.body) >= len(torn.body), "cutting keeps less than tearing off"


def damaged_file(data: bytes) -> None:
    """Any bytes after the first ones of a model file: only a header whose check holds is read."""
    try:
        model_file.container.sections_of(model_file.container.MAGIC + data)
    except MalformedMessage:
        return
    raise AssertionError("bytes without a check were read")


def _gaps() -> bytes:
    writer = BitWriter()
    writer.write_one(5, 3)
    write_gaps(writer, np.array([3, 4, 900]), rice_parameter(3, 1000))
    return numbers(4, 999) + bytes([3, 0, 3, 0]) + writer.to_bytes()


TARGETS = (
    Target(
        bit_io, "BitReader", lambda: [bytes([0, 3, 9, 7, 2, 0, 3, 0]).ljust(_STEPS, b"\3") + bytes(range(128, 140))]
    ),
    Target(golomb_rice, "BitReader", lambda: [_gaps()], 64),
    Target(varints, "ByteReader", lambda: [b"\5" + numbers(8, 300) + varint(3) + b"abc" + varint(300)], 64),
    Target(container, "model_file", lambda: [bytes([0, 90, 0, 1, 0, 65, 0, 0, 0, 0, 0, 0]) + bytes(range(200))]),
    Target(damaged_file, "model_file", lambda: [bytes([1, 0, 0, 0, 0, 0, 9]) + bytes(4)], 64),
)
