"""A real deployment on loopback: a SuperLink, SuperNodes, the app; bytes counted on the wire.

    python -m simulations.experiments.deployment --schemes dense surp:218

Each SuperNode talks to the SuperLink through a proxy that counts the bytes of HTTP messages, so that three figures
stand side by side: the payload, Flower's own count of the reply, and what really went over the wire. `--kill ROUND`
kills a SuperNode in that round and starts a new one, which knows nothing of before.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from simulations.app.data import LOADERS, data_root, load
from simulations.app.schemes import parse
from simulations.app.settings import Settings
from simulations.engines.processes import FlowerRunFailed, environment, free_ports, process, run_app, superlink
from simulations.engines.proxy import CountingProxy, Wire
from simulations.report.rows import Row, text_of

_REPLY = ("push-messages", "push-object")
_BROADCAST = ("pull-messages", "pull-object", "confirm-message-received")
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


def account(row: Row, wires: list[Wire]) -> dict[str, Any]:
    """The three figures of a run, and where the other bytes of the wire go.

    Args:
        row: of the run.
        wires: of each round, all clients together.
    """
    whole = sum(wires, Wire())
    replies = whole.requests["/v1/fleet/push-messages"]
    turns = row["rounds"] * row["clients"]

    def share(counted: Counter[str], of: tuple[str, ...], by: int) -> float:
        return sum(counted[f"/v1/fleet/{path}"] for path in of) / by

    return {
        "scheme": row["scheme"],
        "budget": row["budget"],
        "downlink": row["downlink"],
        "evaluation": row["evaluation"],
        "rounds": row["rounds"],
        "clients": row["clients"],
        "replies": replies,
        "failures": row["failures"],
        "accuracy": row["accuracy"],
        "payload_bytes_up": row["payload_bytes_up_mean"],
        "payload_bytes_down_by_round": row["payload_bytes_down_by_round"],
        "record_bytes_up": row["record_bytes_up_mean"],
        "record_bytes_down_by_round": row["record_bytes_down_by_round"],
        "wire_bytes_reply_up": share(whole.up, _REPLY, replies),
        "wire_bytes_broadcast_up": share(whole.up, _BROADCAST, turns),
        "wire_bytes_broadcast_down": share(whole.down, _BROADCAST, turns),
        "wire_bytes_up_by_round": [wire.up.total() / row["clients"] for wire in wires],
        "wire_bytes_down_by_round": [wire.down.total() / row["clients"] for wire in wires],
    }


def table(accounts: list[dict[str, Any]]) -> str:
    """Show the accounts as a Markdown table, a run a column."""
    first = accounts[0]
    evaluating = f", of which {first['evaluation']:.0%} evaluate the model too" if first["evaluation"] else ""
    lines = [
        f"A SuperLink and {first['clients']} SuperNodes on loopback{evaluating}, {first['rounds']} rounds; bytes per "
        "client and round. On the wire: HTTP messages, heads and bodies, without TCP/IP headers and without TLS; *all* "
        "counts polling and heartbeats too.", "",
        "| | " + " | ".join(map(_label, accounts)) + " |", "| --- |" + " ---: |" * len(accounts),
    ]  # fmt: skip

    def show(what: str, name: str) -> None:
        lines.append(_line(what, [each[name] for each in accounts]))

    def show_rounds(what: str, name: str) -> None:
        lines.append(_line(f"{what}, round 1", [each[name][0] for each in accounts]))
        lines.append(_line(f"{what}, later", [_later(each[name]) for each in accounts]))

    show("payload up", "payload_bytes_up")
    show_rounds("payload down", "payload_bytes_down_by_round")
    show("reply record up", "record_bytes_up")
    show_rounds("records down", "record_bytes_down_by_round")
    turns = first["rounds"] * first["clients"]
    replies = [each["wire_bytes_reply_up"] * each["replies"] / turns for each in accounts]
    lines.append(_line("wire: replies, up", replies))
    show("wire: fetching messages, up", "wire_bytes_broadcast_up")
    show("wire: fetching messages, down", "wire_bytes_broadcast_down")
    show_rounds("wire: all up", "wire_bytes_up_by_round")
    show_rounds("wire: all down", "wire_bytes_down_by_round")
    both = [
        [up + down for up, down in zip(each["wire_bytes_up_by_round"], each["wire_bytes_down_by_round"], strict=True)]
        for each in accounts
    ]
    lines.append(_line("**wire: all, both ways, later**", list(map(_later, both)), compared=True))
    lines.append(_line(f"**wire: all, both ways, {first['rounds']} rounds**", list(map(sum, both)), compared=True))
    return "\n".join(lines) + "\n"


def _later(by_round: list[float]) -> float:
    """The mean of the rounds after the first, which brings the whole model."""
    return fmean(by_round[1:]) if len(by_round) > 1 else math.nan


def _line(what: str, sizes: list[float], compared: bool = False) -> str:
    """A line of the table; with how many times fewer bytes than the first one's they are."""
    fewer = [f" ({sizes[0] / size:,.3g}× fewer)" if compared and place else "" for place, size in enumerate(sizes)]
    return f"| {what} | " + " | ".join(f"{size:,.0f}{text}" for size, text in zip(sizes, fewer, strict=True)) + " |"


def _label(each: dict[str, Any]) -> str:
    down = f", down {text_of(*parse(each['downlink']))}" if each["downlink"] else ""
    return text_of(each["scheme"], each["budget"], {}) + down


def _runs(base: Settings, schemes: list[str], downlinks: list[str]) -> Iterator[Settings]:
    """Dense stands for FedAvg as it is, with whole models both ways."""
    for scheme in schemes:
        for downlink in ["none"] if scheme == "dense" else downlinks:
            yield replace(base, scheme=scheme, downlink="" if downlink == "none" else downlink)


def main(arguments: list[str] | None = None) -> int:
    """Deploy and run each scheme; write deployment.json and deployment.md."""
    parser = argparse.ArgumentParser(
        prog="python -m simulations.experiments.deployment", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--schemes", nargs="+", default=["dense", "surp:218"], help="with their budgets (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--clients", type=int, default=2, help="SuperNodes (%(default)s)")
    parser.add_argument("--local-steps", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--evaluation", type=float, default=0.0, help="share of clients that evaluate (%(default)s)")
    parser.add_argument(
        "--downlinks", nargs="+", default=["none"], help="how changes go down, as surp:2000; none for whole models"
    )
    parser.add_argument("--kill", type=int, default=0, metavar="ROUND", help="kill and replace a SuperNode in it")
    parser.add_argument("--dataset", choices=sorted(LOADERS), default="auto", help="default: %(default)s")
    parser.add_argument("--data-root", default="", help="folder of the datasets (SURP_FL_DATA, or data/)")
    parser.add_argument("--out", type=Path, default=Path("results"), help="output folder (%(default)s)")
    options = parser.parse_args(arguments)
    base = Settings(
        rounds=options.rounds, clients=options.clients, local_steps=options.local_steps, data_root=options.data_root,
        evaluation=options.evaluation,
        dataset=load(options.dataset, data_root(options.data_root)).name,
    )  # fmt: skip
    accounts = []
    for settings in _runs(base, options.schemes, options.downlinks):
        try:
            with Deployment(options.clients) as deployment:
                accounts.append(account(*deployment.run(settings, options.kill)))
        except FlowerRunFailed as fault:
            print(f"error: {fault}", file=sys.stderr)
            return 1
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "deployment.json").write_text(json.dumps(accounts, indent=1) + "\n")
    (options.out / "deployment.md").write_text(table(accounts))
    print("\n" + table(accounts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
