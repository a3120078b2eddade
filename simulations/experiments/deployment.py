"""A deployment on loopback, and the bytes that it moves: payloads, Flower's own count, and what goes over the wire.

    python -m simulations.experiments.deployment --schemes dense surp:218

Each SuperNode talks to the SuperLink through a proxy that counts the bytes of HTTP messages. `--kill ROUND` kills a
SuperNode in that round and starts a new one, which knows nothing of before.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from simulations.app.row import Row
from simulations.app.settings import Settings
from simulations.engines.deployment import Deployment
from simulations.engines.processes import FlowerRunFailed
from simulations.engines.proxy import Wire
from simulations.experiments.command_line import add_out, add_settings, downlink_of, parsed, parser_of, settings_of
from simulations.report import files, json_rows

_REPLY = ("push-messages", "push-object")
_BROADCAST = ("pull-messages", "pull-object", "confirm-message-received")


def account(row: Row, wires: list[Wire]) -> dict[str, Any]:
    """The three figures of a run, and where the other bytes of the wire go.

    Args:
        row: of the run.
        wires: of each round, all clients together.
    """
    whole = sum(wires, Wire())
    replies = whole.requests["/v1/fleet/push-messages"]
    turns = row.settings.rounds * row.settings.clients

    def share(counted: Counter[str], of: tuple[str, ...], by: int) -> float:
        return sum(counted[f"/v1/fleet/{path}"] for path in of) / by

    return {
        "scheme": row.scheme,
        "budget": row.budget,
        "downlink": row.settings.downlink,
        "known_initial": row.settings.known_initial,
        "evaluate_with_train": row.settings.evaluate_with_train,
        "fraction_evaluate": row.settings.fraction_evaluate,
        "rounds": row.settings.rounds,
        "clients": row.settings.clients,
        "replies": replies,
        "failures": row.failures,
        "accuracy": row.accuracy,
        "payload_bytes_up": row.payload_bytes_up_mean,
        "payload_bytes_down_by_round": row.payload_bytes_down_by_round,
        "record_bytes_up": row.record_bytes_up_mean,
        "record_bytes_down_by_round": row.record_bytes_down_by_round,
        "wire_bytes_reply_up": share(whole.up, _REPLY, replies),
        "wire_bytes_broadcast_up": share(whole.up, _BROADCAST, turns),
        "wire_bytes_broadcast_down": share(whole.down, _BROADCAST, turns),
        "requests": {
            path.removeprefix("/v1/fleet/"): round(count / turns, 3) for path, count in sorted(whole.requests.items())
        },
        "wire_bytes_up_by_round": [wire.up.total() / row.settings.clients for wire in wires],
        "wire_bytes_down_by_round": [wire.down.total() / row.settings.clients for wire in wires],
    }


def runs_of(base: Settings, schemes: list[str], downlinks: list[str]) -> Iterator[Settings]:
    """Every scheme with every downlink; dense stands for FedAvg as it is, with whole models both ways.

    What is compressed both ways is run once more with all that surp-fl has to save bytes around the messages.
    """
    for scheme in schemes:
        for downlink in ["none"] if scheme == "dense" else downlinks:
            run = replace(base, scheme=scheme, downlink=downlink_of(downlink))
            yield run
            if run.downlink:
                yield replace(run, known_initial=True, evaluate_with_train=base.fraction_evaluate > 0)


def main(arguments: list[str] | None = None) -> int:
    """Deploy and run each scheme; write deployment.json and deployment.md."""
    parser = parser_of("simulations.experiments.deployment", __doc__)
    parser.add_argument("--schemes", nargs="+", default=["dense", "surp:218"], help="with their budgets (%(default)s)")
    parser.add_argument(
        "--downlinks", nargs="+", default=["none"], help="how changes go down, as surp:2000; none for whole models"
    )
    parser.add_argument("--kill", type=int, default=0, metavar="ROUND", help="kill and replace a SuperNode in it")
    names = ("rounds", "clients", "local_steps", "fraction_evaluate", "dataset", "data_root")
    add_settings(parser, names, rounds=3, clients=2)
    add_out(parser)
    options = parsed(parser, arguments)
    accounts = []
    for settings in runs_of(settings_of(options), options.schemes, options.downlinks):
        try:
            with Deployment(options.clients) as deployment:
                accounts.append(account(*deployment.run(settings, options.kill)))
        except FlowerRunFailed as fault:
            print(f"error: {fault}", file=sys.stderr)
            return 1
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "deployment.json").write_text(json_rows.text_of(accounts))
    files.write(files.deployment_in(options.out))
    print("\n" + (options.out / "deployment.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
