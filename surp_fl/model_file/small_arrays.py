"""Small arrays and running statistics of batch normalization: multiples of a step, adaptively coded.

A coordinate of a bias or of a normalization acts on a whole channel, so that each costs a few bits and none becomes
zero. In one range coder:

    precision  4 bits    p, 1 to 15
    arrays               of each small array and variance, in the model's order: exponent and offset (of a variance the
                         offset alone), then a multiple for each coordinate; then the multiples of each mean

A small array is (offset + multiple)·2^exponent. A variance is an octave (`statistics.py`) of (offset +
multiple)·2^(3 − p). A mean is multiple·2^(2 − p) deviations of the variances, as decoded. Numbers are zigzag, in
adaptive models (`entropy/adaptive_integer.py`): one of depth 2 for exponents and offsets, one of depth 6 for the
multiples of each role. Knows roles. Does not know layouts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from surp_fl.bit_patterns import unzigzag, zigzag
from surp_fl.entropy.adaptive_integer import AdaptiveInteger
from surp_fl.entropy.integers import decode_bits, encode_bits
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.errors import MalformedMessage
from surp_fl.model_file.manifest import Entry, Role
from surp_fl.model_file.small_units import Steps, from_units, in_units
from surp_fl.types import Array, Arrays, Floats, Integers

PRECISIONS = range(5, 9)  # that a writer chooses from; measured in docs/models.md
MAX_SMALL = 1 << 22  # coordinates in a file
_PRECISION_BITS = 4
_NORMAL = math.log2(math.sqrt(2 * math.pi * math.e))  # bits of a normal value of deviation 1 in steps of 1
_FEW, _FEW_PRECISION = 16, 14  # arrays of fewer coordinates, and the precision of these
_FLATTEST = 1 / 16  # least deviation that counts, as a share of the root mean square
_MULTIPLE_DEPTH, _HEAD_DEPTH = 6, 2  # bits with probabilities of their own
_CAPACITY_EACH, _CAPACITY = 10, 64  # bytes a coordinate and an array: more than any needs
_MOST = 1 << 29  # multiples of the largest coordinate: an adaptive model has 33 bits
_EXPONENTS = range(-1100, 1100)
_TURNS = ((Role.SMALL, Role.VARIANCE), (Role.MEAN,))  # a mean's unit is a deviation


def write_small(entries: Sequence[Entry], arrays: Mapping[str, Array], precision: int) -> bytes:
    """Encode small arrays and statistics.

    Args:
        entries: in the model's order; of roles SMALL, MEAN and VARIANCE.
        arrays: of these names, finite.
        precision: bits of a coordinate of a normally distributed array, about; 4 to 15.

    Returns:
        The section; empty if there are no such arrays.
    """
    if not entries:
        return b""
    encoder = RangeEncoder(sum(_CAPACITY_EACH * entry.size + _CAPACITY for entry in entries))
    encode_bits(encoder, precision, _PRECISION_BITS)
    heads, models = _models()
    decoded: Arrays = {}
    for roles in _TURNS:
        steps: Steps = {}
        values = in_units(entries, arrays, decoded, roles)
        for entry in (entry for entry in entries if entry.role in roles):
            exponent = _exponent_for(entry, values[entry.name], precision)
            multiples = np.rint(np.ldexp(values[entry.name], -exponent)).astype(np.int64)
            offset = 0 if entry.role == Role.MEAN else round(float(multiples.mean()))
            for number in _head(entry, exponent, offset):
                heads.encode(encoder, number)
            for number in zigzag(multiples - offset).tolist():
                models[entry.role].encode(encoder, number)
            steps[entry.name] = multiples, exponent
        decoded |= from_units(entries, steps, decoded, roles)
    return encoder.finish()


def read_small(section: bytes, entries: Sequence[Entry]) -> Arrays:
    """Decode small arrays and statistics.

    Args:
        section: as it came.
        entries: as the writer was given; with at most MAX_SMALL coordinates.

    Returns:
        New arrays by name.

    Raises:
        MalformedMessage: the section is not valid.
    """
    if not entries:
        if section:
            raise MalformedMessage("the model file has a section of small arrays, and no such arrays")
        return {}
    decoder = RangeDecoder(section)
    precision = decode_bits(decoder, _PRECISION_BITS)
    heads, models = _models()
    decoded: Arrays = {}
    for roles in _TURNS:
        steps: Steps = {}
        for entry in (entry for entry in entries if entry.role in roles):
            exponent = _fixed_exponent(entry, precision)
            if exponent is None:
                exponent = _unzigzag(heads.decode(decoder))
            offset = 0 if entry.role == Role.MEAN else _unzigzag(heads.decode(decoder))
            multiples = offset + unzigzag(read_numbers(decoder, models[entry.role], entry.size, "small arrays"))
            if exponent not in _EXPONENTS:
                raise MalformedMessage(f"a small array of the model file has a step of 2 to the power of {exponent}")
            steps[entry.name] = multiples, exponent
        decoded |= from_units(entries, steps, decoded, roles)
    if not decoder.fully_consumed():
        raise MalformedMessage("something follows the small arrays of the model file")
    return decoded


def read_numbers(decoder: RangeDecoder, model: AdaptiveInteger, count: int, what: str) -> Integers:
    """Decode so many numbers of a section; `what` they are of, for errors.

    Raises:
        MalformedMessage: the section ends too early.
    """
    numbers: list[int] = []
    while len(numbers) < count and not decoder.exhausted():
        numbers.append(int(model.decode(decoder)))
    if decoder.exhausted():
        raise MalformedMessage(f"the {what} of the model file end too early")
    return np.array(numbers, np.int64)


def _models() -> tuple[AdaptiveInteger, dict[Role, AdaptiveInteger]]:
    """Of exponents and offsets, and of the multiples of each role."""
    return AdaptiveInteger(_HEAD_DEPTH), {role: AdaptiveInteger(_MULTIPLE_DEPTH) for turn in _TURNS for role in turn}


def _fixed_exponent(entry: Entry, precision: int) -> int | None:
    return {Role.VARIANCE: 3 - precision, Role.MEAN: 2 - precision}.get(entry.role)


def _exponent_for(entry: Entry, values: Floats, precision: int) -> int:
    """The exponent of the step: of a small array such that a normal one costs `precision` bits a coordinate."""
    fixed = _fixed_exponent(entry, precision)
    if fixed is not None:
        return fixed
    largest = float(np.abs(values).max())
    size = largest * math.sqrt(float(np.mean((values / largest) ** 2))) if largest else 0.0
    scale = max(float(np.std(values)), _FLATTEST * size) if values.size >= _FEW else size
    if not scale:
        return 0
    bits = precision if values.size >= _FEW else _FEW_PRECISION
    exponent = max(round(math.log2(scale) + _NORMAL - bits), math.ceil(math.log2(largest) - math.log2(_MOST)))
    return max(exponent, _EXPONENTS.start)


def _head(entry: Entry, exponent: int, offset: int) -> list[int]:
    """What is sent in front of the multiples."""
    numbers = {Role.SMALL: [exponent, offset], Role.VARIANCE: [offset], Role.MEAN: []}[entry.role]
    return [2 * number if number >= 0 else -2 * number - 1 for number in numbers]


def _unzigzag(number: int) -> int:
    return -(number + 1) // 2 if number & 1 else number // 2
