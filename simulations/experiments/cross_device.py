"""Many clients that keep nothing: 10 of 1,000 a round, each with 60 images, every scheme without a memory.

    python -m simulations.experiments.cross_device --out simulations/results/cross_device

MNIST and Fashion-MNIST, IID and with skewed labels; every scheme tuned as in experiments.other_models. A row that is
there already is not run again.
"""

from __future__ import annotations

import sys

from simulations.experiments.comparison_command import run
from simulations.experiments.comparisons import CROSS_DEVICE


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison."""
    return run(CROSS_DEVICE, "simulations.experiments.cross_device", __doc__, "bfloat16", arguments)


if __name__ == "__main__":
    sys.exit(main())
