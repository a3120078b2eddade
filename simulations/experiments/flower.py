"""The same app through `flwr run` with Ray and through the in-process grid, side by side.

    python -m simulations.experiments.flower --scheme surp:218 --rounds 3

Shows both rows, and returns 1 where their payload sizes or final models differ.
"""

from __future__ import annotations

import sys
from pathlib import Path

from simulations.engines.flower import through_flower
from simulations.engines.in_process import in_process
from simulations.engines.processes import FlowerRunFailed
from simulations.experiments.command_line import add_settings, parsed, parser_of, settings_of
from simulations.report.tables import table


def main(arguments: list[str] | None = None) -> int:
    """Run both engines and compare their rows."""
    parser = parser_of("simulations.experiments.flower", __doc__)
    names = ("scheme", "rounds", "clients", "local_steps", "dataset", "data_root", "seed")
    add_settings(parser, names, rounds=3)
    parser.add_argument("--cpus-per-client", type=int, default=1, help="cores that Ray gives a client (%(default)s)")
    parser.add_argument("--out", type=Path, help="folder to write flower.md into; none by default")
    options = parsed(parser, arguments)
    settings = settings_of(options)
    try:
        flower = through_flower(settings, options.cpus_per_client)
    except FlowerRunFailed as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 1
    local = in_process(settings, lambda server_round, accuracy, traffic: None)
    same_sizes = (flower.payload_bytes_up_by_round, flower.payload_bytes_up, flower.payload_bytes_up_max) == (
        local.payload_bytes_up_by_round,
        local.payload_bytes_up,
        local.payload_bytes_up_max,
    )
    same_model = flower.model_sha256 == local.model_sha256
    verdict = f"payload sizes {_agree(same_sizes)}, final models {_agree(same_model)}"
    shown = f"First row: flwr run (Ray); second row: in-process grid.\n\n{table([flower, local])}\n{verdict}\n"
    print(f"\n{shown}")
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "flower.md").write_text(shown)
    return 0 if same_sizes and same_model else 1


def _agree(same: bool) -> str:
    return "agree" if same else "DIFFER"


if __name__ == "__main__":
    sys.exit(main())
