"""Arrays that take minutes to make, kept in a folder of the user's."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np

from surp_fl.types import Arrays


def kept_arrays(name: str, recipe: str, make: Callable[[], Arrays]) -> Arrays:
    """Load what was made by this recipe; make it the first time.

    Args:
        name: begins the file's name.
        recipe: all that the arrays depend on.
        make: makes them.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", "") or Path.home() / ".cache") / "surp-fl"
    file = cache / f"{name}-{zlib.crc32(recipe.encode()):08x}.npz"
    if not file.exists():
        made: dict[str, Any] = make()
        cache.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=cache, suffix=".npz", delete=False) as whole:
            np.savez(whole, **made)
        Path(whole.name).replace(file)
    with np.load(file, allow_pickle=False) as kept:
        return {each: kept[each] for each in kept.files}
