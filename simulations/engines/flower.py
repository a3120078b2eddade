"""The app through `flwr run` and Ray: a SuperLink of its own, offline, stopped afterwards."""

from __future__ import annotations

import tempfile
from pathlib import Path

from simulations.app.row import Row
from simulations.app.settings import Settings
from simulations.engines.processes import environment, run_app, superlink


def through_flower(settings: Settings, cpus_per_client: int = 1) -> Row:
    """Run the app with `flwr run`, its log streamed to this process's output.

    Args:
        settings: of the run; `out` is set here.
        cpus_per_client: how many cores Ray gives a client.

    Raises:
        FlowerRunFailed: the run did not complete, or left no row.
    """
    with tempfile.TemporaryDirectory(prefix="surp-fl-") as name:
        folder = Path(name)
        env = environment(folder)
        control = f"127.0.0.1:{env['FLWR_LOCAL_CONTROL_API_PORT']}"
        federation = f"num-supernodes={settings.clients} client-resources-num-cpus={cpus_per_client}"
        with superlink(env, folder, "--simulation", "--control-api-address", control):
            return run_app(env, settings, folder / "row.json", ["--federation-config", federation], print)
