"""Copy the committed results into the README, between its marks: `python -m simulations.readme`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "simulations" / "results"
FILES = {
    "table.md": RESULTS / "quickstart" / "table.md",
    "gate.md": RESULTS / "gate" / "gate.md",
    "tuning.md": RESULTS / "iid" / "tuning" / "tuning.md",
    "summary.md": RESULTS / "iid" / "summary.md",
    "both_ways.md": RESULTS / "iid" / "both_ways.md",
    "messages.md": RESULTS / "messages" / "messages.md",
    "flower.md": RESULTS / "quickstart" / "flower.md",
    "deployment.md": RESULTS / "deployment" / "deployment.md",
    "bench_server.md": RESULTS / "bench" / "bench_server.md",
    "bench.md": RESULTS / "bench" / "bench.md",
}


def filled(readme: str) -> str:
    """The README with every marked part replaced by its file."""
    for name, file in FILES.items():
        start, end = f"<!-- {name} -->", "<!-- end -->"
        before, found, rest = readme.partition(start)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"the README has no {start} ... {end} to put {file.name} in")
        readme = f"{before}{start}\n\n{file.read_text().strip()}\n\n{end}{after}"
    return readme


def main() -> int:
    """Rewrite the README."""
    readme = ROOT / "README.md"
    readme.write_text(filled(readme.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
