"""Whether the loops run compiled, or as the Python that they are written in.

Compiled modules lie beside their sources and are preferred by Python's import. Where the build had no C compiler there
are none; SURP_FL_PURE_PYTHON=1 passes over them. Both give the same bytes.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from types import ModuleType

PURE_PYTHON = os.environ.get("SURP_FL_PURE_PYTHON") == "1"


class _SourceFinder:
    """Finds this package's sources alone."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if path is None or not name.startswith("surp_fl."):
            return None
        found = (FileFinder(each, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(name) for each in path)
        return next((spec for spec in found if spec is not None), None)


if PURE_PYTHON:
    sys.meta_path.insert(0, _SourceFinder)


def is_compiled(module: ModuleType) -> bool:
    """Whether a module of loops was loaded in its compiled form."""
    return not str(module.__file__).endswith(".py")


def warn_unless_compiled(module: ModuleType) -> None:
    """Warn, once a process, that the loops were not compiled, unless that was asked for."""
    if not PURE_PYTHON and not is_compiled(module):
        warnings.warn(
            "surp-fl was installed without its compiled loops, and runs them in Python, ten to a hundred times slower: "
            "install a C compiler (on Debian: apt install gcc python3-dev), then reinstall surp-fl",
            stacklevel=3,
        )
