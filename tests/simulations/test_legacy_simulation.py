"""A legacy app through Flower's own simulation engine, with Ray."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulations.engines.processes import environment

pytestmark = [pytest.mark.xdist_group("servers"), pytest.mark.deployment, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]


def simulate(kind: str) -> dict[str, Any]:
    """Run 3 rounds with 4 clients; give the model's digest, the traffic, and what the clients' configs had in them."""
    from flwr.app import Context
    from flwr.common import ndarrays_to_parameters
    from flwr.server import ServerAppComponents, ServerConfig
    from flwr.server.strategy import Strategy
    from flwr.serverapp import ServerApp
    from flwr.simulation import run_simulation

    from surp_fl import CompressUpdates, Dense, SuRP
    from surp_fl.strategies.legacy import DecodeLegacyUpdates
    from tests.legacy_app import Keeping, LegacyApp, in_64ths, start_in_64ths

    inner = Keeping(initial_parameters=ndarrays_to_parameters(start_in_64ths()))
    kinds: dict[str, tuple[Strategy, list[Any]]] = {
        "plain": (inner, []),
        "dense": (DecodeLegacyUpdates(inner), [CompressUpdates(Dense())]),
        "surp": (DecodeLegacyUpdates(inner, downlink=SuRP(budget=500)), [CompressUpdates(SuRP(budget=300))]),
    }
    strategy, mods = kinds[kind]

    def server_fn(context: Context) -> ServerAppComponents:
        return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=3))

    app = LegacyApp(mods, in_64ths, examples=lambda node: 8)
    backend = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}, "init_args": {"num_cpus": 2}}
    run_simulation(ServerApp(server_fn=server_fn), app.client_app(), 4, backend_config=backend)  # type: ignore[arg-type]
    traffic = getattr(strategy, "traffic", [])
    return {
        "sha256": hashlib.sha256(b"".join(array.tobytes() for array in inner.models[-1])).hexdigest(),
        "models": len(inner.models),
        "up": [stats.payload_bytes_up for stats in traffic],
        "down": [stats.payload_bytes_down for stats in traffic],
        "failures": [stats.failures for stats in traffic],
    }


def simulated(kind: str, folder: Path) -> dict[str, Any]:
    """`simulate` in a process of its own: Ray and Flower leave threads and handlers behind."""
    env = environment(folder) | {"PYTHONPATH": str(ROOT)}
    code = f"import json; from {__name__} import simulate; print('RESULT', json.dumps(simulate({kind!r})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return result


def test_dense_messages_give_the_same_model_to_the_bit_as_the_app_without_us(tmp_path: Path) -> None:
    plain, dense = simulated("plain", tmp_path), simulated("dense", tmp_path)
    assert plain["models"] == dense["models"] == 4
    assert dense["sha256"] == plain["sha256"]
    assert dense["failures"] == [0, 0, 0]


def test_messages_both_ways_keep_to_their_budgets_from_the_second_round_on(tmp_path: Path) -> None:
    surp = simulated("surp", tmp_path)
    assert surp["failures"] == [0, 0, 0]
    assert [len(sizes) for sizes in surp["up"]] == [4, 4, 4]
    assert all(0 < size <= 300 for sizes in surp["up"] for size in sizes)
    assert all(size <= 500 for sizes in surp["down"][1:] for size in sizes)
    assert surp["models"] == 4
