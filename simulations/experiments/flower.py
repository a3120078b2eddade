"""The same app through `flwr run` and Ray: a SuperLink of its own, offline, stopped afterwards.

    python -m simulations.experiments.flower --scheme surp:218 --rounds 3

runs the app through Flower and through the in-process grid, shows both rows, and returns 1 where they differ.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from simulations.app.data import LOADERS, data_root, load
from simulations.app.settings import Settings
from simulations.engines.in_process import in_process
from simulations.engines.processes import FlowerRunFailed, environment, run_app, superlink
from simulations.report.rows import Row
from simulations.report.tables import table


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


def _agree(same: bool) -> str:
    return "agree" if same else "DIFFER"


def main(arguments: list[str] | None = None) -> int:
    """Run both engines and compare their rows."""
    parser = argparse.ArgumentParser(
        prog="python -m simulations.experiments.flower", description=__doc__.split("\n")[0]
    )
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
