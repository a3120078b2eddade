"""The published setting of FedSLoP (arXiv 2604.24012): 10 of 50 clients a round, Dirichlet(0.1), a perceptron.

    python -m simulations.experiments.fedslop --out simulations/results/fedslop

As in its published code: one pass over a client's images in batches of 32, clients averaged as equals; FedAvg-M's own
hyperparameters are the first point of the grid. A partition in which a client holds no image is drawn again, where
theirs leaves that client out. A row that is there already is not run again.
"""

from __future__ import annotations

import sys

from simulations.experiments.comparison_command import run
from simulations.experiments.comparisons import FEDSLOP


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison."""
    return run(FEDSLOP, "simulations.experiments.fedslop", __doc__, "float32", arguments)


if __name__ == "__main__":
    sys.exit(main())
