"""Ways to make few bytes of a trained model without retraining and without data; each decodes its own bytes."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import zstandard

from simulations.model_files.models import Kind
from simulations.model_files.uniform_quantiser import EXACT, dequantised, quantised, specs_of_quantised
from surp_fl import lossless
from surp_fl.codecs.surp.quantised_body import write_quantised
from surp_fl.layout import Layout
from surp_fl.model_file import compress, cut, decompress
from surp_fl.model_file.decoding import vector_of_body
from surp_fl.pruning import prune
from surp_fl.types import Array, Arrays

Coder = tuple[Callable[[float], bytes], Callable[[bytes], Arrays]]  # makes bytes for a setting; a model of them

_STEP = 1.06  # from one size or density to the next
_OTHERS_BITS = 8.0  # of a value of arrays that are not weights, where weights are pruned or quantised
_ZSTD_LEVEL = 19
_MAGNITUDE_LEVELS = 127  # of a weight that is kept: 8 bits with its sign
_EXACT_CODE = 0x7FFF  # of 16 bits


OURS, CUT, PROGRESSIVE = "model file", "model file, cut", "progressive model file, cut"
LAMP, INTEGERS = "LAMP, our index coder, 8-bit values", "quantised for each channel, zstd"
UNIFORM = "uniform quantiser, surp_fl.lossless"
METHODS = (OURS, CUT, PROGRESSIVE, LAMP, INTEGERS, UNIFORM)


@dataclass(frozen=True)
class Way:
    """A way to compress one model.

    Attributes:
        method: its name in tables.
        settings: what it can be set to, by rising bytes.
        compress: makes the bytes for a setting.
        decompress: makes the model of them.
    """

    method: str
    settings: Sequence[float]
    compress: Callable[[float], bytes]
    decompress: Callable[[bytes], Arrays]


def ways_for(arrays: Arrays, kind: Kind) -> Iterator[Way]:
    """All ways to compress a model that need no other environment, ours first."""
    nbytes = sum(array.nbytes for array in arrays.values())
    largest, smallest = kind.ratios
    budgets = geometric(nbytes / largest, nbytes / smallest)
    yield Way(OURS, budgets, lambda budget: compress(arrays, budget=int(budget)), decompress)
    for method, progressive in ((CUT, False), (PROGRESSIVE, True)):
        whole = compress(arrays, ratio=smallest, progressive=progressive)
        yield Way(method, budgets[:-1], partial(_cut, whole), decompress)
    yield Way(LAMP, geometric(0.004, 0.9), *_pruned(arrays))
    yield Way(INTEGERS, [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], *_integers(arrays))
    yield Way(UNIFORM, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0], *_uniform(arrays))


def geometric(smallest: float, largest: float) -> list[float]:
    """Settings from the smallest to the largest, each a few percent above the one before.

    >>> len(geometric(1, 2)), round(geometric(1, 2)[1], 2)
    (13, 1.06)
    """
    count = 1 + int(np.ceil(np.log(largest / smallest) / np.log(_STEP)))
    return [float(each) for each in np.geomspace(smallest, largest, count)]


def _cut(whole: bytes, budget: float) -> bytes:
    return cut(whole, int(budget))


def _apart(arrays: Arrays) -> tuple[Arrays, Arrays]:
    """Weights, which have two dimensions or more, and all else."""
    weights = {name: array for name, array in arrays.items() if array.ndim > 1 and array.dtype.kind == "f"}
    return weights, {name: array for name, array in arrays.items() if name not in weights}


def _pruned(arrays: Arrays) -> Coder:
    """The share of the weights that LAMP keeps: which and their signs as a SuRP message of one magnitude.

    Magnitudes are multiples of a 127th of their array's largest. They and all other arrays are coded without loss, the
    others after uniform quantisation to about 8 bits a value.
    """
    weights, others = _apart(arrays)
    layout, (code_others, decode_others) = Layout.of(weights), _uniform(others, others)

    def packed(kept: float) -> bytes:
        masks = prune(weights, 1 - kept, "lamp").masks
        units = [float(np.abs(array).max()) / _MAGNITUDE_LEVELS for array in weights.values()]
        levels = {
            name: np.rint(np.abs(array) * masks[name] / (unit or 1.0)).astype(np.uint8)
            for (name, array), unit in zip(weights.items(), units, strict=True)
        }
        signs = layout.flatten({name: np.sign(array) * (levels[name] > 0) for name, array in weights.items()})
        index = write_quantised(signs.astype(np.float32), layout, 16 + signs.size // 2)
        values = lossless.compress({name: each[each > 0] for name, each in levels.items()})
        scales = np.array(units, np.float32).tobytes()
        return b"".join(
            struct.pack("<I", len(each)) + each for each in (index, values, scales, code_others(_OTHERS_BITS))
        )

    def model(message: bytes) -> Arrays:
        parts = []
        while message:
            (length,) = struct.unpack_from("<I", message)
            parts.append(message[4 : 4 + length])
            message = message[4 + length :]
        index, values, scales, rest = parts
        signs = layout.unflatten(np.rint(vector_of_body(index, layout)))
        kept = {name: int(np.count_nonzero(each)) for name, each in signs.items()}
        levels = lossless.decompress(values, [(name, (count,), np.dtype(np.uint8)) for name, count in kept.items()])
        found = decode_others(rest)
        for (name, each), unit in zip(signs.items(), np.frombuffer(scales, np.float32), strict=True):
            array = np.zeros(each.shape, np.float32)
            array[each != 0] = levels[name] * unit * each[each != 0]
            found[name] = array
        return {name: found[name] for name in arrays}

    return packed, model


def _integers(arrays: Arrays) -> Coder:
    """Weights as integers of some bits, symmetric about 0, with a float16 scale for each output channel; then zstd.

    An integer takes a byte before zstd, which finds its entropy better so than in packed bits. All else goes as it is.
    """
    weights, others = _apart(arrays)

    def packed(bits: float) -> bytes:
        levels = (1 << int(bits) - 1) - 1
        parts = [b"".join(array.tobytes() for array in others.values())]
        for array in weights.values():
            largest = np.abs(array).max(axis=tuple(range(1, array.ndim)), keepdims=True)
            scale = (largest / levels).astype(np.float16)
            whole = np.rint(array / np.where(scale > 0, scale, 1).astype(np.float32))
            parts += [scale.tobytes(), np.clip(whole, -levels, levels).astype(np.int8).tobytes()]
        return zstandard.ZstdCompressor(_ZSTD_LEVEL).compress(b"".join(parts))

    def model(message: bytes) -> Arrays:
        data, found = zstandard.ZstdDecompressor().decompress(message), {}

        def next_as(dtype: np.dtype, shape: tuple[int, ...]) -> Array:
            nonlocal data
            count = math.prod(shape)
            array, data = np.frombuffer(data, dtype, count).reshape(shape), data[count * dtype.itemsize :]
            return array

        for name, array in others.items():
            found[name] = next_as(array.dtype, array.shape)
        for name, array in weights.items():
            scale = next_as(np.dtype(np.float16), (len(array), *([1] * (array.ndim - 1))))
            found[name] = next_as(np.dtype(np.int8), array.shape) * scale.astype(np.float32)
        return {name: found[name] for name in arrays}

    return packed, model


def _uniform(arrays: Arrays, names: Iterable[str] | None = None) -> Coder:
    """Weights, or the named arrays, as multiples of a power of two for about so many bits a value; all without loss."""
    specs = [(name, array.shape, array.dtype) for name, array in arrays.items()]

    def packed(bits: float) -> bytes:
        multiples, exponents = quantised(arrays, bits, _apart(arrays)[0] if names is None else names)
        return struct.pack(f"<{len(exponents)}h", *(min(each, _EXACT_CODE) for each in exponents)) + (
            lossless.compress(multiples)
        )

    def model(message: bytes) -> Arrays:
        coded = struct.unpack_from(f"<{len(specs)}h", message)
        exponents = [EXACT if each == _EXACT_CODE else each for each in coded]
        multiples = lossless.decompress(message[2 * len(specs) :], specs_of_quantised(specs, exponents))
        return dequantised(multiples, exponents, specs)

    return packed, model
