"""Many clients that keep nothing: 10 of 1,000 a round, each with 60 images, every scheme without a memory.

    python -m simulations.experiments.cross_device --out simulations/results/cross_device

MNIST and Fashion-MNIST, IID and with skewed labels; every scheme tuned as in experiments.other_models. A row that is
there already is not run again.
"""

from __future__ import annotations

import sys

from simulations.experiments.command_line import parsed
from simulations.experiments.comparisons import CROSS_DEVICE
from simulations.experiments.other_models import parser_for, run


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison."""
    run(
        CROSS_DEVICE,
        parsed(parser_for("simulations.experiments.cross_device", __doc__, CROSS_DEVICE, "bfloat16"), arguments),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
