"""The comparison on models that are not LeNet-5 on MNIST: each scheme as it was tuned, at shares of the model's size.

    python -m simulations.experiments.other_models --out simulations/results/other_models

For each model, every scheme is tuned on examples held out of the training ones, with the same small grid for each, and
then run with what it was best with. A row that is there already is not run again.
"""

from __future__ import annotations

import sys

from simulations.experiments.comparison_command import run
from simulations.experiments.comparisons import OTHER_MODELS


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison."""
    return run(OTHER_MODELS, "simulations.experiments.other_models", __doc__, "float32", arguments)


if __name__ == "__main__":
    sys.exit(main())
