"""Shows the examples in docstrings as code: a griffe extension of the site's build."""

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\n).+)*", re.MULTILINE)  # up to the next empty line


class Doctests(griffe.Extension):
    """Puts examples between fences; as they are, Markdown takes `>>>` for quotations and lists for references."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(docstring: str) -> str:
    r"""The docstring with its examples between fences.

    >>> fenced("Sum.\n\n>>> 1 + 1\n2\n\nMore.")
    'Sum.\n\n```pycon\n>>> 1 + 1\n2\n```\n\nMore.'
    """
    return _EXAMPLE.sub(lambda found: f"```pycon\n{found.group()}\n```", docstring)
