"""The table of schemes that the command line knows: "dense", "surp:218"."""

from __future__ import annotations

from collections.abc import Callable

from surp_fl import STC, Dense, PaperSuRP, SuRP
from surp_fl.client import Scheme


def _dense(budget: int | None) -> Scheme:
    if budget is not None:
        raise ValueError(f"'dense:{budget}': dense has no budget, it sends everything; write 'dense'")
    return Dense()


def _needs(budget: int | None, name: str) -> int:
    if budget is None:
        raise ValueError(f"'{name}' needs a budget in bytes: write '{name}:218'")
    return budget


SCHEMES: dict[str, Callable[[int | None], Scheme]] = {
    "dense": _dense,
    "surp": lambda budget: SuRP(budget=_needs(budget, "surp")),
    "surp-paper": lambda budget: PaperSuRP(budget=_needs(budget, "surp-paper")),
    "stc": lambda budget: STC(budget=_needs(budget, "stc")),
}
WITHOUT_BUDGET = {"dense"}


def parse(text: str) -> tuple[str, int | None]:
    """Split "surp:218" into the scheme's name and its budget in bytes.

    Raises:
        ValueError: no scheme of this name, or a budget that is no number.
    """
    name, _, budget = text.partition(":")
    if name not in SCHEMES:
        raise ValueError(f"scheme '{name}'; there are: {', '.join(SCHEMES)}")
    if budget and not budget.isdigit():
        raise ValueError(f"budget '{budget}' in '{text}'; expected a number of bytes, as in 'surp:218'")
    return name, int(budget) if budget else None


def scheme_of(text: str) -> Scheme:
    """Make the scheme that "surp:218" stands for."""
    name, budget = parse(text)
    return SCHEMES[name](budget)
