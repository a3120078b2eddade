"""Makes text from the other end safe to log: truncated, with control characters escaped.

All text that came over the network goes through here before it is logged, or put into an error. Knows text alone.
"""

from __future__ import annotations

MAX_CHARACTERS = 400  # our own longest reasons are shorter
MAX_NAME = 60  # characters


def printable(text: object, most: int = MAX_CHARACTERS) -> str:
    r"""Make a text printable, in one line: of a long one, its beginning and its end.

    Args:
        text: anything; other objects than strings are converted by `str`.
        most: characters of the result, at most; a longer text is truncated in its middle, and two thirds of what is
            kept are from its beginning.

    Returns:
        The text itself if it is short and printable. Line breaks, control characters, and those that change the
        direction of writing are replaced by Python's escapes.

    >>> print(printable("one\nline\x1b[31m"))
    one\nline\x1b[31m
    """
    full = text if isinstance(text, str) else str(text)
    if len(full) <= most and full.isprintable():
        return full
    begin, end = _escaped(full[:most]), _escaped(full[-most:])
    if len(full) <= most and len(begin) <= most:
        return begin
    ellipsis = f" ... ({len(full):,} characters) ... "
    kept = max(0, most - len(ellipsis))
    tail = kept // 3
    return (begin[: kept - tail] + ellipsis + (end[-tail:] if tail else ""))[:most]


def name(text: object) -> str:
    """A name within a sentence: printable, truncated to 60 characters, in quotes.

    >>> name("accuracy")
    "'accuracy'"
    """
    return f"'{printable(text, MAX_NAME)}'"


def is_name(text: str, most: int = 200) -> bool:
    """Whether a text is accepted as a name: printable, and at most `most` characters long."""
    return len(text) <= most and text.isprintable()


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
