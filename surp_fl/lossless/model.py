"""A model's arrays ↔ a message, without names, shapes and dtypes: both ends know those.

    version    1 byte: 1
    forms      a plane, a byte for each array: 0 coded, 1 constant, 2 repeats an earlier array
    places     a plane, for each that repeats: the number of that array, 4 bytes, little-endian
    words      for each kind, in the order in which it first appears: of all its arrays, end to end, in blocks of 2^17;
               one word of a constant array, none of one that repeats
    padding    zeros, as many as make the message 1/1024 of the model

The padding bounds what a receiver does for a message, whatever it says: the arrays take at most 1,024 times the bytes
that came (deflate itself reaches 1,032 times), and time is in proportion to the arrays. There is no checksum: the
caller knows the digest of the model. Does not know Flower.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surp_fl.errors import MalformedMessage
from surp_fl.lossless.blocks import Kind, Words, read_block, write_block
from surp_fl.lossless.forms import CONSTANT, REPEATS, blocks_of, coded_sizes, forms_of, read_forms, write_forms
from surp_fl.lossless.planes import Reader
from surp_fl.types import Array, Arrays

Spec = tuple[str, tuple[int, ...], np.dtype[Any]]  # name, shape, dtype

MAX_RATIO = 1024  # bytes of the model for one of the message, at most

_VERSION = 1


def compress(arrays: Mapping[str, Array]) -> bytes:
    """Compress a model.

    Args:
        arrays: numbers or booleans of any shape, byte order and layout in memory.

    Returns:
        The message; at most a few bytes longer for each array and block than the numbers, and at least 1/1024 of them.

    Raises:
        TypeError: an array holds no numbers.

    >>> ones = {"weight": np.ones((20, 30), np.float32), "tied": np.ones((20, 30), np.float32)}
    >>> message = compress(ones)
    >>> len(message)
    12
    >>> specs = [(name, array.shape, array.dtype) for name, array in ones.items()]
    >>> bool((decompress(message, specs)["tied"] == 1).all())
    True
    """
    kinds = [Kind.of(array.dtype) for array in arrays.values()]
    words = [_words_of(array, kind) for array, kind in zip(arrays.values(), kinds, strict=True)]
    forms, places = forms_of(words, kinds)
    message = [bytes([_VERSION]), write_forms(forms, places)]
    for kind in dict.fromkeys(kinds):
        for pieces in blocks_of(coded_sizes([each.size for each in words], forms, kinds, kind)):
            message.append(write_block(np.concatenate([words[number][part] for number, part in pieces]), kind))
    length = sum(map(len, message))
    message.append(bytes(max(0, _least(sum(each.nbytes for each in words)) - length)))
    return b"".join(message)


def decompress(data: bytes | memoryview, specs: Sequence[Spec]) -> Arrays:
    """Decompress a model.

    Args:
        data: a message.
        specs: name, shape and dtype of each array, in the order in which they were compressed.

    Returns:
        New arrays, by name.

    Raises:
        MalformedMessage: the bytes are no message of such a model. One that is too short for its size is refused before
            anything is allocated; an array is allocated when the first of its words comes.
        TypeError: a dtype is not one of numbers.
    """
    kinds = [Kind.of(dtype) for _, _, dtype in specs]
    nbytes = [math.prod(shape) * dtype.itemsize for _, shape, dtype in specs]
    least = _least(sum(nbytes))
    if len(data) < least:
        raise MalformedMessage(
            f"the compressed model of {sum(nbytes)} bytes is {len(data)} bytes; expected at least {least}"
        )
    reader = Reader(data)
    if (version := reader.take(1)[0]) != _VERSION:
        raise MalformedMessage(f"the compressed model is of version {version}; this one reads version {_VERSION}")
    sizes = [count // kind.size for count, kind in zip(nbytes, kinds, strict=True)]
    forms, places = read_forms(reader, sizes, kinds)
    words: dict[int, Words] = {}
    for kind in dict.fromkeys(kinds):
        coded = coded_sizes(sizes, forms, kinds, kind)
        for pieces in blocks_of(coded):
            block = read_block(reader, sum(part.stop - part.start for _, part in pieces), kind)
            start = 0
            for number, part in pieces:
                if part.start == 0:
                    words[number] = np.empty(coded[number], kind.word)
                words[number][part] = block[start : start + part.stop - part.start]
                start += part.stop - part.start
    rest = bytes(reader.rest())
    if rest and (len(data) > least or rest.strip(b"\0")):
        raise MalformedMessage(f"{len(rest)} bytes follow the compressed model; expected none, or zeros as padding")
    for number, size in enumerate(sizes):
        if forms[number] == CONSTANT:
            words[number] = np.repeat(words[number], size)
        elif forms[number] == REPEATS:
            words[number] = words[places[number]].copy()
    return {spec[0]: _array_of(words.get(number), spec) for number, spec in enumerate(specs)}


def _least(nbytes: int) -> int:
    """Bytes of a message, at least."""
    return -(-nbytes // MAX_RATIO)


def _words_of(array: Array, kind: Kind) -> Words:
    """The bits of an array, shape (words,); a view where it is contiguous and little-endian."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(kind.word)


def _array_of(words: Words | None, spec: Spec) -> Array:
    name, shape, dtype = spec
    if words is None:
        return np.empty(shape, dtype.newbyteorder("="))
    if dtype.kind == "b" and words.max() > 1:
        raise MalformedMessage(f"the array '{name}' of booleans has a value that is neither true nor false")
    return words.view(dtype.newbyteorder("<")).astype(dtype.newbyteorder("="), copy=False).reshape(shape)
