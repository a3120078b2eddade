"""Which words of a model are coded, and in which blocks: what compression and decompression both walk.

An array of equal words is coded as one word; an array that equals an earlier one, as that one's number. The words of
all arrays of a kind, end to end, are cut into blocks. Does not know how a block is coded.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from surp_fl.errors import MalformedMessage
from surp_fl.lossless.blocks import Kind, Words
from surp_fl.lossless.planes import Reader, read_plane, write_plane

Piece = tuple[int, slice]  # number of an array, and some of its words

CODED, CONSTANT, REPEATS = range(3)

_BLOCK = 1 << 17  # words
_PROBE = 16  # words at either end of an array, which are compared first
_REPEAT_FROM = 64  # bytes of an array, above which an earlier one is searched that is the same


def forms_of(words: list[Words], kinds: list[Kind]) -> tuple[list[int], list[int]]:
    """The form of each array; and for each that repeats, in order, the number of the first that is the same.

    Bits are compared, so that NaN equals itself and the two zeros differ.
    """
    forms, places = [], []
    first: dict[tuple[Kind, int, bytes, bytes], int] = {}
    for number, (each, kind) in enumerate(zip(words, kinds, strict=True)):
        place = first.setdefault((kind, each.size, each[:_PROBE].tobytes(), each[-_PROBE:].tobytes()), number)
        if each.size > 1 and (each[:_PROBE] == each[-1]).all() and (each == each[-1]).all():
            forms.append(CONSTANT)
        elif place < number and each.nbytes > _REPEAT_FROM and np.array_equal(each, words[place]):
            forms.append(REPEATS)
            places.append(place)
        else:
            forms.append(CODED)
    return forms, places


def write_forms(forms: list[int], places: list[int]) -> bytes:
    """Encode the forms of all arrays, and which ones are repeated."""
    return write_plane(np.array(forms, np.uint8)) + write_plane(np.array(places, "<u4").view(np.uint8))


def read_forms(reader: Reader, sizes: list[int], kinds: list[Kind]) -> tuple[list[int], dict[int, int]]:
    """Decode the forms.

    Args:
        reader: of the message.
        sizes: words of each array.
        kinds: of each array.

    Returns:
        The form of each array; and of each that repeats, by its number, the number of the array that it equals.

    Raises:
        MalformedMessage: the bytes are no forms of such arrays.
    """
    forms: list[int] = read_plane(reader, len(sizes)).tolist()
    if max(forms, default=0) > REPEATS:
        raise MalformedMessage(f"an array of the compressed model has form {max(forms)}; this version knows 0 to 2")
    repeating = [number for number, form in enumerate(forms) if form == REPEATS]
    read = read_plane(reader, 4 * len(repeating)).view("<u4").tolist()
    for number, place in zip(repeating, read, strict=True):
        alike = place < number and (kinds[place], sizes[place]) == (kinds[number], sizes[number])
        if not alike or forms[place] == REPEATS:
            raise MalformedMessage(
                f"array {number} of the compressed model repeats array {place}, which is another one"
            )
    if any(form != CODED and not size for form, size in zip(forms, sizes, strict=True)):
        raise MalformedMessage("an array of the compressed model has no numbers, and is neither constant nor repeated")
    return forms, dict(zip(repeating, read, strict=True))


def coded_sizes(sizes: list[int], forms: list[int], kinds: list[Kind], wanted: Kind) -> list[int]:
    """How many words of each array are in the blocks of a kind."""
    return [
        {CODED: size, CONSTANT: 1, REPEATS: 0}[form] if kind == wanted else 0
        for size, form, kind in zip(sizes, forms, kinds, strict=True)
    ]


def blocks_of(sizes: list[int]) -> Iterator[list[Piece]]:
    """The pieces of arrays that make up each block; sizes: how many words of each are coded."""
    pieces: list[Piece] = []
    left = _BLOCK
    for number, size in enumerate(sizes):
        start = 0
        while start < size:
            stop = min(size, start + left)
            pieces.append((number, slice(start, stop)))
            left -= stop - start
            start = stop
            if not left:
                yield pieces
                pieces, left = [], _BLOCK
    if pieces:
        yield pieces
