"""A SuperLink and SuperNodes that are killed, paused and resumed: python -m tests.chaos.deployment --rounds 1000.

Everything runs in processes of Flower's on loopback. With --folder, a run that was stopped goes on from where it was.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from simulations.engines.processes import environment, free_ports
from tests.chaos.deployed_server import PID, saved
from tests.chaos.journal import Account, Round, read
from tests.chaos.models import plain, trained
from tests.chaos.processes import Running, listens, lives

ROOT = Path(__file__).resolve().parents[2]
TROUBLES = {
    "nothing": 76, "SuperNode killed": 8, "SuperNode paused": 8, "server killed": 5, "SuperLink killed": 3,
}  # fmt: skip
TIMEOUT = 60.0  # seconds that a round waits for replies; a client starts a process for each, two seconds on a free core
_PAUSE = 8.0  # seconds that a SuperNode stands still
_MOST_UNANSWERED = 3  # rounds in a row; troubles meet one client at a time
_STALLED = 600.0  # seconds without a round, after which something is wrong
_APP = """[project]
name = "chaos"
version = "1.0.0"
description = "."
license = "Apache-2.0"
dependencies = []
[tool.flwr.app]
publisher = "surp-fl"
[tool.flwr.app.components]
serverapp = "chaos_app.server:app"
clientapp = "chaos_app.client:app"
[tool.flwr.app.config]
journal = ""
rounds = 1
clients = 1
seed = 0
begin = 0
timeout = 1.0
troubles = true
"""


class Deployment:
    """Flower's processes, and what happens to them; use it as a context manager.

    Args:
        folder: for the journal, logs, and Flower's home.
        clients: how many SuperNodes.
        seed: of what happens.
        timeout: seconds that a round waits for replies.
    """

    def __init__(self, folder: Path, clients: int, seed: int, timeout: float = TIMEOUT) -> None:
        self._folder, self._clients, self._seed, self._timeout = folder, clients, seed, timeout
        self.journal = folder / "journal"
        self._env = environment(folder) | {"PYTHONPATH": f"{ROOT}", "OMP_NUM_THREADS": "1"}
        self._nodes: dict[int, Running] = {}
        self._port = self._env["FLWR_LOCAL_SUPERLINK_HTTP_API_PORT"]
        self._unanswered = 0  # rounds in a row
        self.happened: Counter[str] = Counter()

    def __enter__(self) -> Deployment:
        self.journal.mkdir(parents=True, exist_ok=True)
        app = self._folder / "app" / "chaos_app"
        app.mkdir(parents=True, exist_ok=True)
        (app.parent / "pyproject.toml").write_text(_APP)
        (app / "__init__.py").write_text("")
        for name in ("server", "client"):
            (app / f"{name}.py").write_text(f"from tests.chaos import deployed_{name}\n\napp = deployed_{name}.app\n")
        self.start_link()
        for client in range(self._clients):
            self.start_node(client)
        return self

    def __exit__(self, *fault: object) -> None:
        self.kill_server()
        for running in (*self._nodes.values(), self._link):
            running.kill()

    def start_link(self) -> None:
        """Start a SuperLink, or a new one on the same port after the last one was killed."""
        command = ["flower-superlink", "--insecure", "--isolation", "subprocess", "--host", "127.0.0.1"]
        log = self._folder / "superlink.log"
        self._link = Running([*command, "--port", self._port], self._env, log)
        began = time.monotonic()
        while time.monotonic() - began < _STALLED and not listens(int(self._port)):
            time.sleep(0.2)
        home = Path(self._env["FLWR_HOME"])
        home.mkdir(exist_ok=True)
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "127.0.0.1:{self._port}"\ninsecure = true\n'
        )

    def start_node(self, client: int) -> None:
        """Start a client's SuperNode; the one before is killed."""
        if client in self._nodes:
            self._nodes[client].kill()
        command = [
            "flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{self._port}", "--host", "127.0.0.1",
            "--port", str(free_ports(1)[0]), "--node-config", f"partition-id={client} num-partitions={self._clients}",
        ]  # fmt: skip
        self._nodes[client] = Running(command, self._env, self._folder / f"supernode{client}.log")

    def run(self, rounds: int, troubles: dict[str, int] | dict[int, str], seconds: float = 1e9) -> None:
        """Run until so many rounds are saved, or so many seconds have passed.

        Args:
            rounds: in all.
            troubles: weights by name, drawn after every round; or what happens after which round.
            seconds: from now on.
        """
        until, done = time.monotonic() + seconds, saved(self.journal)[1]
        while done < rounds and time.monotonic() < until:
            self._submit(rounds, done, bool(troubles))
            seen, last = time.monotonic(), done
            while done < rounds and time.monotonic() < until and self._server_lives(seen):
                time.sleep(0.2)
                done = saved(self.journal)[1]
                if done > last:
                    seen, last = time.monotonic(), done
                    self._say(done, rounds)
                    self._happen(done, troubles)
                if time.monotonic() - seen > _STALLED:
                    raise RuntimeError(f"no round in {_STALLED:.0f} s after round {done}: see {self._folder}")
        self.kill_server()

    def kill_server(self) -> None:
        """Kill the ServerApp's process without notice."""
        pid = self.journal / PID
        if pid.exists() and lives(int(pid.read_text())):
            os.kill(int(pid.read_text()), signal.SIGKILL)

    def kill_link(self) -> None:
        """Kill the SuperLink, and with it the ServerApp; start a new one, and new SuperNodes, as the ids are gone."""
        self.kill_server()
        self._link.kill()
        self.start_link()
        for client in range(self._clients):
            self.start_node(client)

    def _submit(self, rounds: int, done: int, troubles: bool) -> None:
        (self.journal / PID).unlink(missing_ok=True)
        config = (
            f'journal="{self.journal}" rounds={rounds} clients={self._clients} seed={self._seed} begin={done} '
            f"timeout={self._timeout} troubles={str(troubles).lower()}"
        )
        command = ["flwr", "run", str(self._folder / "app"), "here", "--run-config", config]
        found = subprocess.run(command, env=self._env, check=False, capture_output=True, text=True)
        if found.returncode:
            raise RuntimeError(f"flwr run returned {found.returncode}: {found.stdout}{found.stderr}")

    def _server_lives(self, since: float) -> bool:
        pid = self.journal / PID
        return lives(int(pid.read_text())) if pid.exists() and pid.read_text() else time.monotonic() - since < _STALLED

    def _happen(self, done: int, troubles: dict[str, int] | dict[int, str]) -> None:
        draw = random.Random(f"{self._seed} {done}")
        weights = {what: weight for what, weight in troubles.items() if isinstance(what, str)}
        what = draw.choices(list(weights), [int(each) for each in weights.values()])[0] if weights else ""
        what = what or str(troubles.get(done, "nothing"))  # type: ignore[call-overload]
        client = draw.randrange(self._clients)
        self.happened[what] += 1
        if what == "SuperNode killed":
            self.start_node(client)
        elif what == "SuperNode paused":
            self._nodes[client].signal(signal.SIGSTOP)
            time.sleep(_PAUSE)
            self._nodes[client].signal(signal.SIGCONT)
        elif what == "server killed":
            time.sleep(draw.uniform(0, 4))  # somewhere within the next round
            self.kill_server()
        elif what == "SuperLink killed":
            self.kill_link()
        if what != "nothing":
            print(f"  {what}, client {client}", flush=True)

    def _say(self, done: int, rounds: int) -> None:
        latest: Round = read(self.journal, Round, f"round-{done:06}.npz")[0]
        self._unanswered = 0 if latest.nodes else self._unanswered + 1
        if self._unanswered == _MOST_UNANSWERED:  # processes of clients that do not keep up pile up
            raise RuntimeError(f"{_MOST_UNANSWERED} rounds without a reply: this machine is too busy for --timeout")
        used = f"{len(latest.nodes)} replies used, {latest.failures} failed"
        print(f"round {done}/{rounds}: {latest.seconds:.1f} s, {used}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run rounds, and check the journal."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.deployment", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so many; go on with the same --folder")
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds that a round waits for replies")
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args(arguments)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="surp-fl-chaos-"))
    print(f"in {folder}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # Flower's processes are stopped on the way out
    began = time.monotonic()
    with Deployment(folder, options.clients, options.seed, options.timeout) as deployed:
        before = saved(deployed.journal)[1]
        deployed.run(options.rounds, TROUBLES, options.seconds)
    done, seconds = saved(deployed.journal)[1], time.monotonic() - began
    print(f"{done - before} rounds in {seconds:.0f} s, {seconds / max(done - before, 1):.1f} s a round")
    print(f"{dict(deployed.happened)}")
    print(Account.of(deployed.journal, trained(plain()).size))
    return 0


if __name__ == "__main__":
    sys.exit(main())
