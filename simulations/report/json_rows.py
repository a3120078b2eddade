"""Measured rows as JSON, one line a row: what version control shows the changes of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def text_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """A JSON list without needless blanks.

    >>> text_of([{"a": 1}, {"b": [2, 3]}])
    '[\\n{"a":1},\\n{"b":[2,3]}\\n]\\n'
    """
    return "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]\n"
