"""How a command fails: one line on standard error, and an exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

NOT_A_MESSAGE, BAD_INPUT = 1, 2  # exit codes

Content = TypeVar("Content")


class CommandError(Exception):
    """A line for standard error, and the exit code.

    Args:
        code: to exit with.
        about: a file, or a command, that it is about.
        fault: what happened.
    """

    def __init__(self, code: int, about: Path | str, fault: Exception) -> None:
        line = " ".join(f"surp-fl: {about}: {fault or type(fault).__name__}".split())
        super().__init__("".join(letter if letter.isprintable() else "?" for letter in line))
        self.code = code


def read(reader: Callable[[Path], Content], file: Path) -> Content:
    """What a reader gives for a file.

    Raises:
        CommandError: the file is not there, or is not what it should be.
    """
    try:
        return reader(file)
    except FileNotFoundError as fault:
        raise CommandError(NOT_A_MESSAGE, file, fault) from fault
    except (OSError, ValueError, MemoryError) as fault:
        raise CommandError(BAD_INPUT, file, fault) from fault
