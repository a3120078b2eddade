"""Copy the committed results between the marks of the READMEs: `python -m simulations.report.render`.

A mark names its file: `<!-- iid/summary.md -->` ... `<!-- end -->`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "simulations" / "results"
READMES = (ROOT / "README.md", RESULTS / "README.md")
_MARK, _END = re.compile(r"<!-- ([\w/]+\.md) -->"), "<!-- end -->"


def filled(text: str) -> str:
    """A README with every marked part replaced by its file.

    Raises:
        ValueError: a mark has no end, or an end no mark.
        FileNotFoundError: the results hold no file of that name.
    """
    opened, *parts = re.split(f"({_MARK.pattern})", text)
    ended = [opened]
    for mark, name, part in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        _, end, after = part.partition(_END)
        if not end:
            raise ValueError(f"after {mark} comes no {_END}")
        ended.append(f"{mark}\n\n{(RESULTS / name).read_text().strip()}\n\n{_END}{after}")
    if "".join(ended).count(_END) != len(ended) - 1:
        raise ValueError(f"a {_END} has no mark before it")
    return "".join(ended)


def main() -> int:
    """Rewrite both."""
    for readme in READMES:
        readme.write_text(filled(readme.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
