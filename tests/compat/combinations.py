"""Which versions of Flower, Python and NumPy are tried together: the one place that states them.

Flower moves names that surp-fl uses in 1.31, 1.32 and 1.38 (see surp_fl/flower/versions.py): 1.27 is before them,
1.37 between, and the newest after them. tests/compat/test_combinations.py compares the list with pyproject.toml and
the pages.
"""

from __future__ import annotations

from dataclasses import dataclass

OLDEST = "1.22"  # pyproject.toml's lower bound
NEWEST = "newest"  # that pip finds below 2
ANY = "any"  # NumPy as pip chooses it


@dataclass(frozen=True)
class Combination:
    """Versions that are tried together.

    Attributes:
        flower: a minor version, as "1.22", or `NEWEST`.
        python: a minor version, as "3.11".
        numpy: a minor version, as "1.26", or `ANY`.
    """

    flower: str
    python: str
    numpy: str = ANY

    def __str__(self) -> str:
        """A name for the environment's folder."""
        return f"flower-{self.flower}-python-{self.python}-numpy-{self.numpy}"

    @property
    def requirements(self) -> list[str]:
        """What pip installs beside the library, whose own requirements hold too."""
        flower = "flwr" if self.flower == NEWEST else f"flwr=={self.flower}.*"
        return [flower, *([] if self.numpy == ANY else [f"numpy=={self.numpy}.*"])]


COMBINATIONS = (  # `make test` tries the newest of all on one Python
    Combination(OLDEST, "3.11", "1.26"),
    Combination(OLDEST, "3.13"),
    Combination("1.27", "3.12"),
    Combination("1.37", "3.12", "1.26"),
    Combination(NEWEST, "3.13"),
)


def short(python: str) -> Combination:
    """The oldest of everything that runs on one Python; `make test` tries the newest."""
    return Combination(OLDEST, python, "1.26" if python in {"3.11", "3.12"} else ANY)  # NumPy 1.26 ends with 3.12
