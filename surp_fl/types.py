"""The types that more than one room speaks of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]  # shape (n,): all trained arrays of a model, end to end
Integers = NDArray[np.int64]
Levels = NDArray[np.int16]  # of quantised values
Floats = NDArray[np.float64]
Signs = NDArray[np.bool_]  # true where negative
Flags = NDArray[np.uint8]  # 0 or 1
Sparse = tuple[Integers, Vector]  # ascending indices, and the value at each
Update = Sparse | Vector  # what a message decodes to, in whichever form is smaller
Array = NDArray[Any]
Arrays = dict[str, Array]  # a model: its arrays by name, in order
Reference = Vector | tuple[Vector, Vector] | None  # the model; or the model, and an earlier one
