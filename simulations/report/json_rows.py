"""Measured rows as JSON, one line a row: what version control shows the changes of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

_ALL, _ROWS = "all", "rows"


def text_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """A JSON list without needless blanks.

    >>> text_of([{"a": 1}, {"b": [2, 3]}])
    '[\\n{"a":1},\\n{"b":[2,3]}\\n]\\n'
    """
    return "[\n" + ",\n".join(map(_short, rows)) + "\n]\n"


def shared_text_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """A JSON object in which what all rows say alike is written once.

    >>> shared_text_of([{"a": 1, "b": 2}, {"a": 1, "b": 3}])
    '{"all":{"a":1},"rows":[\\n{"b":2},\\n{"b":3}\\n]}\\n'
    """
    found = list(rows)
    first, *others = found or [{}]
    shared = {key: value for key, value in first.items() if all(key in row and row[key] == value for row in others)}
    lines = (_short({key: value for key, value in row.items() if key not in shared}) for row in found)
    return f'{{"{_ALL}":{_short(shared)},"{_ROWS}":' + "[\n" + ",\n".join(lines) + "\n]}\n"


def rows_of(text: str) -> list[dict[str, Any]]:
    """Read what `text_of` or `shared_text_of` wrote.

    Raises:
        ValueError, KeyError, TypeError: neither wrote it.

    >>> rows_of('{"all": {"a": 1}, "rows": [{"b": 2}, {"b": 3}]}'), rows_of('[{"a": 1}]')
    ([{'a': 1, 'b': 2}, {'a': 1, 'b': 3}], [{'a': 1}])
    """
    found = json.loads(text)
    if isinstance(found, list):
        return found
    return [{**found[_ALL], **row} for row in found[_ROWS]]


def _short(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
