"""Evaluates a model by a command of the user's: it is given a file, and its last printed number is the accuracy."""

from __future__ import annotations

import math
import re
import shlex
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from surp_fl.cli.failures import BAD_INPUT, CommandError
from surp_fl.cli.models import write_model
from surp_fl.model_file import Model

_PLACE = "{model}"
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?(?![\w])|(?<!\w)(?:nan|NaN)(?!\w)")
_SHOWN = 200  # characters of what a command printed


class EvaluationError(ValueError):
    """A command did not say how accurate a model is."""


class Evaluation:
    """A command that evaluates models.

    Args:
        command: as in a shell, without its special characters; `{model}` stands for the model's file.
        suffix: of that file, which is its format.

    Raises:
        CommandError: the command names no file.
    """

    def __init__(self, command: str, suffix: str) -> None:
        self._command, self._suffix = command, suffix
        try:
            self._words = shlex.split(command)
        except ValueError as fault:
            raise CommandError(BAD_INPUT, "--evaluate", fault) from fault
        if not any(_PLACE in word for word in self._words):
            unplaced = EvaluationError(f"{command!r} does not say where the model's file goes: write {_PLACE} there")
            raise CommandError(BAD_INPUT, "--evaluate", unplaced)

    def accuracy_of(self, model: Model) -> float:
        """Run the command; what it prints to standard error is shown as it is.

        Returns:
            The last number on its standard output; NaN if that says so.

        Raises:
            CommandError: the command fails, or prints no number.
        """
        with TemporaryDirectory(prefix="surp-fl-") as folder:
            file = Path(folder) / f"model{self._suffix}"
            write_model(model, file)
            words = [word.replace(_PLACE, str(file)) for word in self._words]
            try:
                done = subprocess.run(words, stdout=subprocess.PIPE, text=True, errors="replace", check=False)
            except OSError as fault:
                raise CommandError(BAD_INPUT, self._command, fault) from fault
        numbers = _NUMBER.findall(done.stdout)
        if done.returncode or not numbers:
            found = "no number on its standard output" if not done.returncode else f"exit code {done.returncode}"
            ending = f", which ends with {done.stdout[-_SHOWN:]!r}" if done.stdout else ""
            unknown = EvaluationError(f"{found}{ending}; expected the accuracy as the last number that it prints")
            raise CommandError(BAD_INPUT, self._command, unknown)
        return math.nan if numbers[-1].lower() == "nan" else float(numbers[-1])
