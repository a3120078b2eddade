"""Text of the other end, as it may be logged: cut, and without what a terminal would obey.

Knows text alone. Whatever the other end sent goes through here before it is logged, or put into an error.
"""

from __future__ import annotations

MOST = 400  # characters; the longest of our own reasons are shorter
NAME_MOST = 60


def printable(text: object, most: int = MOST) -> str:
    """The beginning and the end of a text, in one line.

    Args:
        text: anything; what is no string is turned into one.
        most: characters that are given at most; both ends of what is longer, two thirds of the beginning.

    Returns:
        The text itself where it is short and every character of it can be printed. Line breaks, control and escape
        characters, and those that change the direction of writing, come as Python's escapes, as "\\\\n" and "\\\\x1b".
    """
    whole = text if isinstance(text, str) else str(text)
    if len(whole) <= most and whole.isprintable():
        return whole
    begin, end = _escaped(whole[:most]), _escaped(whole[-most:])
    if len(whole) <= most and len(begin) <= most:
        return begin
    left = f" ... ({len(whole):,} characters) ... "
    room = max(0, most - len(left))
    tail = room // 3
    return (begin[: room - tail] + left + (end[-tail:] if tail else ""))[:most]


def name(text: object) -> str:
    """A name within a sentence, in quotes."""
    return f"'{printable(text, NAME_MOST)}'"


def is_name(text: str, most: int = 200) -> bool:
    """Whether a text may be a name that is handed on: it can be printed, and is not long."""
    return len(text) <= most and text.isprintable()


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
