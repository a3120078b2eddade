"""Markdown tables: the one place that writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_RULES = {"l": "---", "r": "---:", "c": ":---:"}


def table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    r"""Write a table; pipes in cells are escaped, so that they do not end a cell.

    Args:
        header: a heading for each column.
        rows: of cells, as many as there are headings.
        align: "l", "r" or "c" for each column; without it the first is aligned to the left and the others to the right.

    Returns:
        The lines, each ended.

    Raises:
        ValueError: a row or `align` is not as long as the header.

    >>> print(table(["what", "ms"], [["|v|", "0.20"]]), end="")
    | what | ms |
    | --- | ---: |
    | \|v\| | 0.20 |
    """
    align = align or "l" + "r" * (len(header) - 1)
    rule = [_RULES[each] for each in align]
    lines = [[_cell(text) for text in header], rule, *([_cell(text) for text in row] for row in rows)]
    for line in lines:
        if len(line) != len(header):
            raise ValueError(f"a line of {len(line)} cells under {len(header)} headings: {line}")
    return "".join("|" + "|".join(f" {text} " if text else " " for text in line) + "|\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
