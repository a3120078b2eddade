"""The app through `flwr run` and Ray: a SuperLink of its own, offline, stopped afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from simulations.app.row import Row
from simulations.app.settings import Settings
from simulations.engines.processes import environment, flwr_run, run_app, superlink


def through_flower(settings: Settings, cpus_per_client: int = 1) -> Row:
    """Run the app with `flwr run`, its log streamed to this process's output.

    Args:
        settings: of the run; `out` is set here.
        cpus_per_client: how many cores Ray gives a client.

    Raises:
        FlowerRunFailed: the run did not complete, or left no row.
    """
    with _superlink() as (env, folder):
        federation = _federation(settings.clients, cpus_per_client)
        return run_app(env, settings, folder / "row.json", federation, print)


def app_through_flower(app: Path, clients: int, on_line: Callable[[str], None]) -> None:
    """Run an app of another folder with `flwr run`.

    Args:
        app: the folder, with a pyproject.toml.
        clients: number of SuperNodes; two run at a time, where there are two cores.
        on_line: told of every line of the run's log.

    Raises:
        FlowerRunFailed: the run did not complete.
    """
    with _superlink() as (env, _):
        flwr_run(env, app, _federation(clients, 1), on_line)


@contextmanager
def _superlink() -> Iterator[tuple[dict[str, str], Path]]:
    """A SuperLink that simulates; gives the environment to talk to it, and a folder for the run."""
    with tempfile.TemporaryDirectory(prefix="surp-fl-") as name:
        folder = Path(name)
        env = environment(folder)
        control = f"127.0.0.1:{env['FLWR_LOCAL_CONTROL_API_PORT']}"
        with superlink(env, folder, "--simulation", "--control-api-address", control):
            yield env, folder


def _federation(clients: int, cpus_per_client: int) -> list[str]:
    return ["--federation-config", f"num-supernodes={clients} client-resources-num-cpus={cpus_per_client}"]
