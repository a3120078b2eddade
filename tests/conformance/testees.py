"""Testees by name: the library, compiled and not, and the C reader and writer; and how each is started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

ROOT = Path(__file__).parents[2]
C = ROOT / "surp_fl" / "c"
NAMES = ("python", "python, uncompiled", "c")
_FLAGS = ("-std=c99", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Wpedantic")


class Testee:
    """A process that answers requests, one line each.

    Args:
        command: that starts it.
        environment: of the process.
    """

    __test__ = False  # no class of tests

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command, env=environment, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def answer_to(self, request: str) -> str:
        """Its answer.

        Raises:
            RuntimeError: it has ended.
        """
        to, found = self._pipes()
        to.write(request + "\n")
        to.flush()
        answer = found.readline()
        if not answer:
            raise RuntimeError(f"the testee ended with {self._process.wait()} at: {request[:200]}")
        return answer.strip()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout


@contextmanager
def started(name: str) -> Iterator[Testee]:
    """A testee of `NAMES`."""
    with TemporaryDirectory() as folder:
        environment = dict(os.environ)
        if name == "c":
            command = [str(built(Path(folder)))]
        else:
            command = [sys.executable, "-m", "tests.conformance.python_testee"]
            environment |= {"PYTHONPATH": os.pathsep.join((*filter(None, sys.path), str(ROOT)))}
            environment |= {"SURP_FL_PURE_PYTHON": "1"} if name == "python, uncompiled" else {}
        testee = Testee(command, environment)
        try:
            yield testee
        finally:
            testee.close()


def compiler() -> str | None:
    """The C compiler; None if there is none."""
    return os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def built(folder: Path, flags: tuple[str, ...] = _FLAGS) -> Path:
    """Build the C testee.

    Raises:
        RuntimeError: there is no compiler, or it fails.
    """
    found, program = compiler(), folder / "testee"
    if found is None:
        raise RuntimeError("there is no C compiler: install one, or name it in the environment's CC")
    sources = [str(ROOT / "tests" / "conformance" / "testee.c"), *map(str, sorted(C.glob("*.c")))]
    built = subprocess.run(
        [found, *flags, f"-I{C}", "-o", str(program), *sources, "-lm"], capture_output=True, text=True
    )
    if built.returncode:
        raise RuntimeError(f"{found} fails:\n{built.stderr}")
    return program
