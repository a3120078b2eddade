"""The small apps of simulations/apps through `flwr run`, as they are and compressed; their final results side by side.

    python -m simulations.experiments.examples --apps pytorch-cnn torch-lora

The compressed variant is a copy of the app with its compressed.diff applied.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from simulations.engines.flower import app_through_flower
from simulations.engines.processes import FlowerRunFailed
from simulations.experiments.command_line import add_out, parser_of
from simulations.report import files

FOLDER = Path(__file__).resolve().parents[1] / "apps"
APPS = ("pytorch-cnn", "sklearn-digits", "torch-lora", "numpy-client")
DIFF = "compressed.diff"
CLIENTS = 4

_TESTED = re.compile(r"round \d+: loss (\S+), accuracy (\S+)")
_MEASURED = re.compile(r"'surp-fl/(payload_bytes_up_mean|compression_ratio)': (?:\[\(1, |')?([0-9.e+]+)")


@dataclass(frozen=True)
class Outcome:
    """One run of an app.

    Attributes:
        app: its folder's name.
        compressed: whether its diff was applied.
        ratio: that the diff asks for.
        loss: of the final model, on the server's test data.
        accuracy: of the same.
        rounds: of training.
        payload_bytes_up: of a client's reply in a round, as the log has it last; None without compression.
        model_bytes: of the model's arrays; None without compression.
    """

    app: str
    compressed: bool
    ratio: float
    loss: float
    accuracy: float
    rounds: int
    payload_bytes_up: float | None
    model_bytes: int | None


def copied(app: str, folder: Path, compressed: bool) -> Path:
    """Copy an app into a folder, and apply its diff if it shall be compressed; give the copy's path.

    Raises:
        subprocess.CalledProcessError: the diff does not fit.
    """
    made = folder / app
    shutil.copytree(FOLDER / app, made, ignore=shutil.ignore_patterns("__pycache__"))
    if compressed:
        subprocess.run(["git", "apply", DIFF], cwd=made, check=True, capture_output=True)
    return made


def outcome_of(app: str, compressed: bool, on_line: Callable[[str], None] = print) -> Outcome:
    """Run an app with `flwr run`, and read the last test and the messages' sizes off its log.

    Args:
        app: the name of its folder.
        compressed: whether to apply its diff.
        on_line: told of every line of the log.

    Raises:
        FlowerRunFailed: the run did not complete, or its log has no result.
    """
    lines: list[str] = []

    def keep(line: str) -> None:
        on_line(line)
        lines.append(line)

    with tempfile.TemporaryDirectory(prefix="surp-fl-") as folder:
        app_through_flower(copied(app, Path(folder), compressed), CLIENTS, keep)
    return read_log(app, compressed, "\n".join(lines))


def read_log(app: str, compressed: bool, log: str) -> Outcome:
    """Read the last test and the messages' sizes off the log of a run.

    Raises:
        FlowerRunFailed: the log has no test.
    """
    tested = _TESTED.findall(log)
    if not tested:
        raise FlowerRunFailed(f"the log of {app} has no line 'round ...: loss ..., accuracy ...': see its evaluate()")
    measured = {name: float(figure) for name, figure in _MEASURED.findall(log)}
    payload = measured.get("payload_bytes_up_mean")
    return Outcome(
        app=app,
        compressed=compressed,
        ratio=ratio_of(app),
        loss=float(tested[-1][0]),
        accuracy=float(tested[-1][1]),
        rounds=len(tested) - 1,
        payload_bytes_up=payload,
        model_bytes=None if payload is None else round(payload * measured["compression_ratio"]),
    )


def ratio_of(app: str) -> float:
    """The ratio that an app's diff gives to SuRP."""
    found = re.search(r"^\+.*SuRP\(ratio=([0-9.]+)\)", (FOLDER / app / DIFF).read_text(), re.MULTILINE)
    assert found is not None
    return float(found[1])


def main(arguments: list[str] | None = None) -> int:
    """Run each app both ways; write examples.json, in which apps that are not run stay, and examples.md."""
    parser = parser_of("simulations.experiments.examples", __doc__)
    parser.add_argument("--apps", nargs="+", default=list(APPS), choices=APPS, help="to run (all)")
    add_out(parser)
    options = parser.parse_args(arguments)
    for app in options.apps:
        try:
            add([outcome_of(app, compressed) for compressed in (False, True)], options.out)
        except FlowerRunFailed as fault:
            print(f"error: {fault}", file=sys.stderr)
            return 1
    print("\n" + (options.out / "examples.md").read_text())
    return 0


def add(outcomes: list[Outcome], out: Path) -> None:
    """Write the outcomes of an app into a folder's examples.json, in place of older ones, and examples.md anew."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "examples.json"
    older = json.loads(file.read_text()) if file.exists() else []
    rows = [row for row in older if row["app"] != outcomes[0].app] + [asdict(each) for each in outcomes]
    rows.sort(key=lambda row: (APPS.index(row["app"]), row["compressed"]))
    file.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    files.write(files.examples_in(out))


if __name__ == "__main__":
    sys.exit(main())
