"""A random rotation that both ends make from a seed: random signs, then the Walsh–Hadamard transform, block by block.

A block has a power of two of coordinates; the vector is cut into few blocks so that few zeros fill the last one. The
transform is not normalised: done twice, it multiplies by the size of the block. Its butterflies, (a + b, a − b) at
distances 1, 2, 4, …, are sums of two numbers in float64, so that every machine gives the same bits.

Source: Ailon, Chazelle 2009, "The fast Johnson–Lindenstrauss transform"; Steele, Lea, Flood 2014, "Fast splittable
pseudorandom number generators" (SplitMix64).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surp_fl.types import Floats, Signs

_FILLED = 16  # a rest of up to 1/16 of the vector is one block, filled with zeros
RUN = 1 << 14  # coordinates that are worked on at a time, so that a rotation takes little memory beside its vector
_COLUMNS = 64  # of a run that are contiguous, so that butterflies of short distances are worked on together
_GAMMA, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True)
class Block:
    """A part of the vector that is rotated by itself.

    Attributes:
        start: its first coordinate.
        stop: past its last coordinate.
        size: coordinates after the rotation, a power of two; not less than stop − start.
        first_word: number of random words that the blocks before it take.
    """

    start: int
    stop: int
    size: int
    first_word: int

    def signs(self, seed: int) -> Signs:
        """Which coordinates the rotation negates; shape (size,)."""
        words = np.empty(-(-self.size // 64), "<u8")
        for start in range(0, words.size, RUN):
            part = words[start : start + RUN]
            part[:] = _words(seed, self.first_word + start, part.size)
        return np.unpackbits(words.view(np.uint8), count=self.size, bitorder="little").view(np.bool_)

    def runs(self, seed: int) -> Iterator[tuple[slice, NDArray[np.uint32]]]:
        """Slices of up to RUN rotated coordinates, with a random number for each, which decides how well it is told."""
        first = self.first_word + -(-self.size // 64)
        for start in range(0, self.size, RUN):
            part = slice(start, min(start + RUN, self.size))
            words = _words(seed, first + start // 2, -(-(part.stop - start) // 2))
            yield part, words.view("<u4")[: part.stop - start].astype(np.uint32, copy=False)


def blocks_of(n: int) -> Iterator[Block]:
    """Cut a vector of n coordinates into blocks, the largest first.

    >>> [block.size for block in blocks_of(431_080)], [block.size for block in blocks_of(5)]
    ([262144, 131072, 32768, 8192], [4, 1])
    """
    start = word = 0
    while start < n:
        left = n - start
        size = 1 << (left.bit_length() - 1 if left * _FILLED > n else (left - 1).bit_length())
        yield Block(start, min(start + size, n), size, word)
        start, word = start + size, word + -(-size // 64) + -(-size // 2)


def hadamard(vector: Floats) -> Floats:
    """The Walsh–Hadamard transform, in place, of a float64 vector whose size is a power of two.

    >>> hadamard(np.array([1.0, 2.0, 3.0, 4.0])).tolist()
    [10.0, -2.0, -4.0, 0.0]
    """
    run = min(vector.size, RUN)
    columns = min(run, _COLUMNS)
    for start in range(0, vector.size, run):  # distances below a run, in the processor's cache
        part = vector[start : start + run].reshape(-1, columns)
        across = part.T.copy()
        _butterflies(across)
        part[:] = across.T
        _butterflies(part)
    distance = run
    while distance < vector.size:
        for start in range(0, vector.size, 2 * distance):
            for first in range(start, start + distance, run):
                second = first + distance
                _butterfly(vector[first : first + run], vector[second : second + run])
        distance *= 2
    return vector


def _butterflies(rows: Floats) -> None:
    """The transform of every column, in place."""
    distance = 1
    while distance < len(rows):
        pairs = rows.reshape(-1, 2, distance * rows.shape[1])
        _butterfly(pairs[:, 0], pairs[:, 1])
        distance *= 2


def _butterfly(low: Floats, high: Floats) -> None:
    """(a, b) → (a + b, a − b), in place."""
    total = low + high
    np.subtract(low, high, out=high)
    low[:] = total


def _words(seed: int, first: int, count: int) -> NDArray[np.uint64]:
    """Random words `first` to `first + count` of a seed: shape (count,)."""
    return words_at(seed, np.arange(first, first + count, dtype=np.uint64))


def words_at(seed: int, places: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The random words at some places of a seed's; SplitMix64, little-endian, of the shape of `places`."""
    with np.errstate(over="ignore"):
        words = np.uint64(seed) + _GAMMA * (places + np.uint64(1))
        words = (words ^ (words >> np.uint64(30))) * _FIRST
        words = (words ^ (words >> np.uint64(27))) * _SECOND
        return (words ^ (words >> np.uint64(31))).astype("<u8", copy=False)
