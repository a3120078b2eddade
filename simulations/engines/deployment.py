"""A deployment on loopback: a SuperLink, and SuperNodes behind proxies that count the bytes of HTTP messages."""

from __future__ import annotations

import itertools
import re
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from simulations.app.row import Row
from simulations.app.settings import Settings
from simulations.engines.processes import environment, free_ports, process, run_app, superlink
from simulations.engines.proxy import CountingProxy, Wire

_HERE = "here"  # what the SuperLink is called


class Deployment:
    """A SuperLink, and a SuperNode for each client behind a proxy of its own; use it as a context manager."""

    def __init__(self, clients: int) -> None:
        self._clients = clients
        self._stack = ExitStack()
        self._nodes: list[ExitStack] = []
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self.proxies: list[CountingProxy] = []

    def __enter__(self) -> Deployment:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="surp-fl-")))
        self.env = environment(self.folder)
        port = self._stack.enter_context(superlink(self.env, self.folder))
        home = Path(self.env["FLWR_HOME"])
        home.mkdir(exist_ok=True)
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "{_HERE}"\n\n[superlink.{_HERE}]\naddress = "127.0.0.1:{port}"\ninsecure = true\n'
        )
        for client in range(self._clients):
            self.proxies.append(self._stack.enter_context(CountingProxy(port)))
            self._nodes.append(ExitStack())
            self._stack.callback(self._nodes[client].close)
            self._start(client)
        return self

    def __exit__(self, *fault: object) -> None:
        self._stack.close()

    def restart(self, client: int) -> None:
        """Kill a client's SuperNode without notice, and start a new one."""
        self._running[client].kill()
        self._nodes[client].close()
        self._start(client)

    def run(self, settings: Settings, kill_in_round: int = 0) -> tuple[Row, list[Wire]]:
        """Run the app; give its row, and what went over the wire of all clients together in each round.

        The first round is counted from the start of the run on: its messages may be fetched before the log says so.
        """
        passed = [self._so_far()]

        def on_line(line: str) -> None:
            print(line, flush=True)
            found = re.search(r"\[ROUND (\d+)/", line)
            begun = int(found[1]) if found else 0
            if begun > 1 or "Strategy execution finished" in line:
                passed.append(self._so_far())
            if begun and begun == kill_in_round:
                self.restart(self._clients - 1)

        row = run_app(self.env, settings, self.folder / f"{settings.scheme}.json", [_HERE], on_line)
        return row, [after - before for before, after in itertools.pairwise(passed)]

    def _so_far(self) -> Wire:
        return sum((proxy.so_far() for proxy in self.proxies), Wire())

    def _start(self, client: int) -> None:
        command = [
            "flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{self.proxies[client].port}",
            "--host", "127.0.0.1", "--port", str(free_ports(1)[0]),
            "--node-config", f"partition-id={client} num-partitions={self._clients}",
        ]  # fmt: skip
        log = self.folder / f"supernode{client}.log"
        self._running[client] = self._nodes[client].enter_context(process(command, self.env, log))
