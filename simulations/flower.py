"""The same app through `flwr run` and Ray: a SuperLink of its own, offline, stopped afterwards.

`flwr run` returns 0 for a run that failed, keeps a SuperLink alive on a fixed port, and installs the app's
dependencies anew: none of that happens here.

    python -m simulations.flower --scheme surp:218 --rounds 3

runs the app through Flower and through the in-process grid, shows both rows, and returns 1 where they differ.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from simulations.compare import in_process
from simulations.data import LOADERS, data_root, load
from simulations.results import Row
from simulations.settings import Settings
from simulations.tables import table

APP = Path(__file__).resolve().parent.parent
_START_TIMEOUT = 60.0  # seconds


class FlowerRunFailed(RuntimeError):  # noqa: N818
    """`flwr run` did not end with a completed run."""


def through_flower(settings: Settings, cpus_per_client: int = 1) -> Row:
    """Run the app with `flwr run`, its log streamed to this process's output.

    Args:
        settings: of the run; `out` is set here.
        cpus_per_client: how many cores Ray gives a client.

    Raises:
        FlowerRunFailed: the run did not complete, or left no row.
    """
    with tempfile.TemporaryDirectory(prefix="surp-fl-") as folder:
        out = Path(folder) / "row.json"
        config = replace(settings, out=str(out), data_root=str(data_root(settings.data_root))).to_run_config()
        environment = _environment(Path(folder))
        with _superlink(environment, Path(folder)):
            federation = f"num-supernodes={settings.clients} client-resources-num-cpus={cpus_per_client}"
            command = ["flwr", "run", str(APP), "--stream", "--federation-config", federation,
                       "--run-config", " ".join(f"{key}={_toml(value)}" for key, value in config.items())]  # fmt: skip
            code = subprocess.run(command, env=environment, check=False).returncode
            status = _status(environment)
        if code != 0 or status != "finished:completed" or not out.exists():
            raise FlowerRunFailed(f"flwr run returned {code}, its run is '{status}'; the log is above")
        return cast(Row, json.loads(out.read_text()))


def _environment(folder: Path) -> dict[str, str]:
    """Flower quiet, offline, with a home and ports of its own, in the current Python environment."""
    http, control = _free_ports(2)
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


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for free in sockets:
        free.bind(("127.0.0.1", 0))
    ports = [free.getsockname()[1] for free in sockets]
    for free in sockets:
        free.close()
    return ports


@contextmanager
def _superlink(environment: dict[str, str], folder: Path) -> Iterator[None]:
    """A SuperLink in simulation mode, where `flwr run` looks for its local one."""
    http = environment["FLWR_LOCAL_SUPERLINK_HTTP_API_PORT"]
    control = f"127.0.0.1:{environment['FLWR_LOCAL_CONTROL_API_PORT']}"
    log = folder / "superlink.log"
    command = ["flower-superlink", "--insecure", "--simulation", "--isolation", "subprocess",
               "--control-api-address", control, "--host", "127.0.0.1", "--port", http]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + _START_TIMEOUT
        while not _healthy(http):
            if process.poll() is not None or time.monotonic() > deadline:
                raise FlowerRunFailed(f"flower-superlink did not start:\n{log.read_text()[-4000:]}")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def _healthy(port: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _status(environment: dict[str, str]) -> str:
    command = ["flwr", "ls", "--format", "json"]
    listed = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    try:
        runs: list[dict[str, Any]] = json.loads(listed.stdout)["runs"]
        return str(runs[0]["status"])
    except (ValueError, KeyError, IndexError):
        return f"unknown: {listed.stdout}{listed.stderr}"


def _toml(value: str | int | float | bool) -> str:
    return json.dumps(value)


def _agree(same: bool) -> str:
    return "agree" if same else "DIFFER"


def main(arguments: list[str] | None = None) -> int:
    """Run both engines and compare their rows."""
    parser = argparse.ArgumentParser(prog="python -m simulations.flower", description=__doc__.split("\n")[0])
    parser.add_argument("--scheme", default="surp:218", help="dense, or a name and a budget in bytes (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--local-steps", type=int, default=30)
    parser.add_argument("--dataset", choices=sorted(LOADERS), default="auto")
    parser.add_argument("--data-root", default="", help="folder of the datasets (SURP_FL_DATA, or data/)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpus-per-client", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder to write flower.md into; none by default")
    given = vars(parser.parse_args(arguments))
    cpus, out = given.pop("cpus_per_client"), given.pop("out")
    settings = Settings(**given)
    settings = replace(settings, dataset=load(settings.dataset, data_root(settings.data_root)).name)
    try:
        flower = through_flower(settings, cpus)
    except FlowerRunFailed as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 1
    local = in_process(settings, lambda server_round, accuracy, traffic: None)
    same_sizes = flower["payload_bytes_up_by_round"] == local["payload_bytes_up_by_round"]
    same_model = flower["model_sha256"] == local["model_sha256"]
    verdict = f"payload sizes {_agree(same_sizes)}, final models {_agree(same_model)}"
    shown = f"First row: flwr run (Ray); second row: in-process grid.\n\n{table([flower, local])}\n{verdict}\n"
    print(f"\n{shown}")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "flower.md").write_text(shown)
    return 0 if same_sizes and same_model else 1


if __name__ == "__main__":
    sys.exit(main())
