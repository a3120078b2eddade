"""Flower's own processes on loopback, offline and quiet: a SuperLink, SuperNodes, `flwr run`; all stopped afterwards.

`flwr run` returns 0 for a run that failed, keeps a SuperLink alive on a fixed port, and installs the app's
dependencies anew: none of that happens here.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from simulations.app.datasets import data_root
from simulations.app.row import Row
from simulations.app.settings import Settings

APP = Path(__file__).resolve().parents[2]
_START_TIMEOUT = 60.0  # seconds
_STOP_TIMEOUT = 20.0


class FlowerRunFailed(RuntimeError):  # noqa: N818
    """A process of Flower did not start, or a run did not complete."""


def environment(folder: Path) -> dict[str, str]:
    """Flower quiet, offline, with a home and ports of its own, in the current Python environment."""
    http, control = free_ports(2)
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "FLWR_HOME": str(folder / "flwr"),
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(http),
        "FLWR_LOCAL_CONTROL_API_PORT": str(control),
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONUNBUFFERED": "1",
    }


def free_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for free in sockets:
        free.bind(("127.0.0.1", 0))
    ports = [free.getsockname()[1] for free in sockets]
    for free in sockets:
        free.close()
    return ports


@contextmanager
def superlink(env: dict[str, str], folder: Path, *options: str) -> Iterator[int]:
    """A SuperLink, from when it is healthy; gives its port."""
    port = env["FLWR_LOCAL_SUPERLINK_HTTP_API_PORT"]
    command = ["flower-superlink", "--insecure", "--isolation", "subprocess", "--host", "127.0.0.1", "--port", port]
    log = folder / "superlink.log"
    with process([*command, *options], env, log) as running:
        deadline = time.monotonic() + _START_TIMEOUT
        while not _healthy(port):
            if running.poll() is not None or time.monotonic() > deadline:
                raise FlowerRunFailed(f"flower-superlink did not start:\n{log.read_text()[-4000:]}")
            time.sleep(0.2)
        yield int(port)


@contextmanager
def process(command: list[str], env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose output goes into a file, until it is no longer needed."""
    with log.open("ab") as output:
        running = subprocess.Popen(command, env=env, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            running.kill()


def run_app(
    env: dict[str, str], settings: Settings, out: Path, options: list[str], on_line: Callable[[str], None]
) -> Row:
    """Run the app with `flwr run`.

    Args:
        env: of Flower's processes.
        settings: of the run; `out` is set here.
        out: file that the run's row is written to.
        options: of `flwr run`; where it runs, first.
        on_line: told of every line of the run's log.

    Raises:
        FlowerRunFailed: the run did not complete, or left no row.
    """
    config = replace(settings, out=str(out), data_root=str(data_root(settings.data_root))).to_run_config()
    given = " ".join(f"{key}={json.dumps(value)}" for key, value in config.items())
    flwr_run(env, APP, [*options, "--run-config", given], on_line)
    if not out.exists():
        raise FlowerRunFailed("the run completed, and left no row; the log is above")
    return Row.from_json(json.loads(out.read_text()))


def flwr_run(env: dict[str, str], app: Path, options: list[str], on_line: Callable[[str], None]) -> None:
    """Run any app with `flwr run`.

    Args:
        env: of Flower's processes.
        app: its folder, with a pyproject.toml.
        options: of `flwr run`; where it runs, first.
        on_line: told of every line of the run's log.

    Raises:
        FlowerRunFailed: the run did not complete.
    """
    command = ["flwr", "run", str(app), *options, "--stream"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            on_line(line.rstrip())
    status = _status(env)
    if running.returncode != 0 or status != "finished:completed":
        raise FlowerRunFailed(f"flwr run returned {running.returncode}, its run is '{status}'; the log is above")


def _healthy(port: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _status(env: dict[str, str]) -> str:
    command = ["flwr", "ls", "--format", "json"]
    listed = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
    try:
        runs: list[dict[str, Any]] = json.loads(listed.stdout)["runs"]
        return str(runs[0]["status"])
    except (ValueError, KeyError, IndexError):
        return f"unknown: {listed.stdout}{listed.stderr}"
