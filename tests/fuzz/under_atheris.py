"""One target under Atheris, in a process of its own: `guided.py` starts it.

    python -m tests.fuzz.under_atheris MODULE TARGET [FLAG OR FOLDER OF LIBFUZZER ...]

With SURP_FL_PURE_PYTHON=1 the loops run as Python, whose every branch guides the fuzzer; else it sees the branches of
the modules around them alone.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # its module is imported where it is instrumented
    from tests.fuzz.targets.target import Target


def _forget(package: str, kept: str) -> None:
    """Let a package be imported anew, without the module that chooses between its compiled and its Python form."""
    for name in [each for each in sys.modules if each.split(".")[0] == package and each != kept]:
        del sys.modules[name]


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    import atheris  # type: ignore[import-untyped]  # in the fuzzers' environment alone

    module, name, *arguments = sys.argv[1:]
    logging.disable()  # of what is refused
    if os.environ.get("SURP_FL_PURE_PYTHON") == "1":
        importlib.import_module("surp_fl")  # puts its finder of sources in front; Atheris' has to be in front of that
        _forget("surp_fl", kept="surp_fl._compiled")
    with atheris.instrument_imports(include=["surp_fl", "tests"]):
        found: tuple[Target, ...] = importlib.import_module(module).TARGETS
    target = next(each for each in found if each.name == name)
    again = f"{sys.executable} -m tests.fuzz.under_atheris {module} {name}"  # what libFuzzer starts in order to merge
    atheris.Setup([again, f"-max_len={target.longest}", *arguments], target.one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
