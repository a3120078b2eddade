"""What all pictures share: the colours and markers of schemes, their order in legends, and how files are written."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
from PIL import Image

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from simulations.app.row import Row
from simulations.app.schemes import known

_BOTH_WAYS = " both ways"
_STYLE_BOTH_WAYS = ("C9", "D")
_DOTS_PER_INCH, _COLOURS = 100, 128


def family_of(row: Row) -> str:
    """Name a scheme at all its budgets, apart from itself with the way down compressed."""
    return row.scheme + (_BOTH_WAYS if row.settings.downlink else "")


def style_of(family: str) -> tuple[str, str]:
    """Its colour and marker, the same in all pictures."""
    row = known().get(family)
    return _STYLE_BOTH_WAYS if row is None else (row.colour, row.marker)


def in_order(families: Iterable[str]) -> list[str]:
    """Put families into the order of legends: that of the table of schemes, each before itself both ways."""
    order = list(known())
    return sorted(families, key=lambda family: (order.index(family.removesuffix(_BOTH_WAYS)), family))


def save(figure: Figure, file: Path) -> None:
    """Write a PNG of few colours, all near to those drawn, which takes a third of the bytes; and close the figure."""
    drawn = BytesIO()
    figure.savefig(drawn, dpi=_DOTS_PER_INCH)
    plt.close(figure)
    image = Image.open(drawn).convert("RGB")
    few = image.quantize(_COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(file, optimize=True)
