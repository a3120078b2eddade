"""The calls of this room: a model ↔ the bytes of a file."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from surp_fl.model_file.decoding import MAX_BYTES, model_of, opened
from surp_fl.model_file.encoding import Compressor, Options
from surp_fl.model_file.gains import BETWEEN, NO_GAIN
from surp_fl.model_file.model import Model
from surp_fl.statistics import Kinds
from surp_fl.types import Array, Arrays


def compress(
    model: Model | Mapping[str, Array],
    *,
    budget: int | None = None,
    ratio: float | None = None,
    weighting: str = "lamp",
    gain: str = BETWEEN,
    progressive: bool = False,
    exact: Collection[str] = (),
    kinds: Kinds | None = None,
) -> bytes:
    """Compress a trained model.

    Args:
        model: its arrays by name; or a `Model`, with dtypes that NumPy lacks and metadata.
        budget: bytes of the whole file; more bytes, less error.
        ratio: instead of a budget, how many times smaller than the model's arrays the file is.
        weighting: what the squared errors of an array are relative to: "lamp", the magnitude from which LAMP keeps its
            weights; "l2", its L2 norm; "l1", its L1 norm, as in the paper; "rms", its root mean square; "none",
            nothing.
        gain: how decoded arrays are scaled: "projection", so that what is left of an array, or of a row, has all of it
            as its projection; "norm", to its norm; "between", to a norm between these; "none", not at all, which has
            the least squared error.
        progressive: make a file that is cut to a quarter about as good as one made for that size, and those in between
            better. Costs up to a sixth of the bytes.
        exact: names of arrays to be coded without loss.
        kinds: which arrays are running statistics, and of which kind; None recognises them by their names.

    Returns:
        The file, of at most `budget` bytes.

    Raises:
        TypeError: an array has a dtype that cannot be stored.
        ValueError: not exactly one of budget and ratio is given; the budget does not hold what cannot be coarser; or an
            option is not one of those above.

    >>> import numpy as np
    >>> model = {"weight": np.random.default_rng(0).laplace(size=(50, 80)).astype(np.float32), "steps": np.array(7)}
    >>> file = compress(model, ratio=16)
    >>> len(file) <= (4 * 50 * 80 + 8) / 16, decompress(file)["steps"]
    (True, array(7))
    """
    options = Options(weighting, gain, progressive, exact, kinds)
    compressor = Compressor(model, options)
    return compressor.of_budget(budget_for(compressor.model.nbytes, budget, ratio))


def approximate(
    arrays: Mapping[str, Array], bits: float, exact: Collection[str] = (), kinds: Kinds | None = None
) -> bytes:
    """Compress arrays whose errors will be corrected later: with the same error in each, relative to its weights.

    Args:
        arrays: by name.
        bits: that a weight may take, beside what cannot be coarser.
        exact: names of arrays to be coded without loss.
        kinds: as for `compress`.

    Returns:
        A model file.

    Raises:
        TypeError: an array has a dtype that cannot be stored.
        ValueError: there are more arrays or longer names than a file can have.

    >>> import numpy as np
    >>> weight = np.random.default_rng(0).normal(size=(50, 80)).astype(np.float32)
    >>> file = approximate({"weight": weight}, 4)
    >>> len(file) < 2100, float(np.std(decompress(file)["weight"] - weight)) < 0.1
    (True, True)
    """
    compressor = Compressor(arrays, Options("rms", NO_GAIN, exact=exact, kinds=kinds))
    return compressor.of_budget(compressor.least_budget + math.ceil(bits * compressor.weights / 8))


def budget_for(nbytes: int, budget: int | None, ratio: float | None) -> int:
    """Bytes of a file for a model of so many bytes.

    Raises:
        ValueError: not exactly one of budget and ratio is given, or it is out of its range.
    """
    if (budget is None) == (ratio is None):
        raise ValueError(
            f"budget = {budget}, ratio = {ratio}; expected exactly one of them: give budget=20_000, bytes of the file, "
            "or ratio=50, a fiftieth of the model's bytes"
        )
    if budget is not None:
        return budget
    assert ratio is not None
    if not 1 <= ratio < float("inf"):
        raise ValueError(f"ratio = {ratio}; expected how many times smaller the file is: give 1 or more, such as 50")
    return int(nbytes / ratio)


def decompress(data: bytes, *, max_bytes: int = MAX_BYTES) -> Arrays:
    """Decompress a model file, whole or cut.

    Args:
        data: the file.
        max_bytes: that all arrays may take: a file of a few bytes may stand for any number of zeros.

    Returns:
        The arrays by name: with the names, order and shapes of the model, and its dtypes where NumPy has them (see
        `Model` for the others).

    Raises:
        MalformedMessage: it is no model file, damaged, cut within its header, or its arrays take more than `max_bytes`.
    """
    return decompress_model(data, max_bytes=max_bytes).arrays


def decompress_model(data: bytes, *, max_bytes: int = MAX_BYTES) -> Model:
    """As `decompress`, with the names of dtypes that NumPy lacks, and metadata."""
    return model_of(opened(data, max_bytes))
