"""The targets in C: libFuzzer on the C reader and writer, with the sanitizers of addresses and of undefined behaviour.

Needs clang, with its runtime library; without it there are none. Any compiler can replay inputs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.conformance.testees import C

FOLDER = Path(__file__).parent / "c"
C_TARGETS = ("c_decode", "c_encode")
LONGEST = {"c_decode": 700, "c_encode": 520}  # bytes of an input
# Without hints from comparisons, which take two thirds of the time: no bytes of a range coder stand for a number.
_GUIDED = ("-fsanitize=fuzzer", "-fno-sanitize-coverage=trace-cmp,trace-div,trace-gep")
_SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
_FLAGS = ("-std=c99", "-O2", "-g", "-ffp-contract=off", f"-I{C}")


def clang() -> str | None:
    """The compiler that has libFuzzer; None if there is none."""
    named = os.environ.get("CLANG")
    return named or next(
        filter(None, map(shutil.which, ("clang", *(f"clang-{version}" for version in range(30, 10, -1))))), None
    )


def fuzzer(target: str, folder: Path) -> Path:
    """Build a target with libFuzzer.

    Raises:
        RuntimeError: clang fails.
    """
    found = clang()
    assert found is not None
    return _built(found, target, folder, (*_GUIDED, *_SANITIZED), ())


def replayer(target: str, folder: Path, compiler: str) -> Path:
    """Build a target that runs the files that it is given; with sanitizers, where the compiler has them.

    Raises:
        RuntimeError: the compiler fails without them, too.
    """
    main = (str(FOLDER / "replay.c"),)
    try:
        return _built(compiler, target, folder, _SANITIZED, main)
    except RuntimeError:
        return _built(compiler, target, folder, (), main)


def _built(compiler: str, target: str, folder: Path, flags: tuple[str, ...], more: tuple[str, ...]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / target
    sources = [str(FOLDER / f"{target}.c"), *more, *map(str, sorted(C.glob("*.c")))]
    command = [compiler, *_FLAGS, *flags, "-o", str(program), *sources, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{compiler} fails:\n{done.stderr}")
    return program
