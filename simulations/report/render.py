"""Make every committed table, plot and block of a page anew from the committed rows: `make render`.

    python -m simulations.report.render

A page's block lies between marks that name its file: `<!-- iid/summary.md -->` ... `<!-- end -->`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from simulations.experiments import levers, peers
from simulations.experiments.comparisons import CROSS_DEVICE, FEDSLOP, OTHER_MODELS
from simulations.experiments.protocol import GRIDS, PARTS, TUNED_ON, Grid, before_trial, tuned_in
from simulations.report import files, overview, rows, tuning

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "simulations" / "results"
READMES = (ROOT / "README.md", RESULTS / "README.md", ROOT / "docs" / "examples.md", ROOT / "docs" / "models.md")
_MARK, _END = re.compile(r"<!-- ([\w/-]+\.md) -->"), "<!-- end -->"


def everything(results: Path = RESULTS) -> files.Made:
    """All tables and plots, by their files; `quickstart/flower.md` has none of its rows kept, and is left as it is."""
    made = files.comparison(results / "quickstart") | files.comparison(results / "batch_norm")
    for part in PARTS:
        made |= files.comparison(results / part)
        if part not in TUNED_ON:
            made |= tuning_of(results / part / "tuning", GRIDS[part], tuned_in(part))
    made |= files.comparison_without_marks(results / "peers")
    made |= tuning_of(results / "peers" / "tuning", GRIDS["iid"], list(peers.SCHEMES))
    parts = {part: rows.load(results / part) for part in PARTS}
    made |= files.overview_of(parts, results)
    made[results / "headline.md"] = overview.headline(parts)
    for kind, comparisons in (("other_models", OTHER_MODELS), ("cross_device", CROSS_DEVICE), ("fedslop", FEDSLOP)):
        for name, model in comparisons.items():
            folder = results / kind / name / "tuning"
            if rows.load(folder):
                made |= tuning_of(folder, model.grid, model.tuned, more_seeds=0)
    made |= files.other_models_in(
        results / "other_models", {name: model.budgets for name, model in OTHER_MODELS.items()}
    )
    made |= files.cross_device_in(results / "cross_device", CROSS_DEVICE)
    made |= files.levers_in(results / "levers", levers.runs_of)
    for name in FEDSLOP:
        if rows.load(results / "fedslop" / name):
            made |= files.comparison(results / "fedslop" / name)
    for folder in (results / "messages", *(each.parent for each in results.glob("messages/*/messages.json"))):
        made |= files.messages_in(folder)
    made |= files.pruning_in(results / "pruning")
    made |= files.refinement_in(results / "refinement")
    made |= files.model_files_in(results / "model_files")
    made |= files.update_rates_in(results / "update_rates")
    made |= files.variance_in(results / "variance")
    made |= files.theory_in(results / "theory")
    made |= files.gate_in(results / "gate", results / "messages")
    made |= files.benchmarks_in(results / "bench")
    made |= files.bench_schemes_in(results / "bench")
    made |= files.c_writer_in(results / "c_writer")
    made |= files.deployment_in(results / "deployment")
    made |= files.examples_in(results / "examples")
    return made


def tuning_of(folder: Path, grid: Grid, schemes: list[str], more_seeds: int = tuning.MORE_SEEDS) -> files.Made:
    """How schemes were tuned, those whose trials were all run: the table, and what was chosen."""
    found = rows.load(folder)
    rounds = sorted({row.settings.rounds for row in found})  # of the tuning; of the full-length check
    base = before_trial(next(row.settings for row in found if row.settings.rounds == rounds[0]), grid)
    chosen = tuning.Tuning(tuple(found), base, grid, rounds[1] if len(rounds) > 1 else 0, more_seeds)
    complete = chosen.complete(schemes)
    best = {scheme: chosen.best(scheme) for scheme in complete}
    return {folder / "tuning.md": chosen.table(complete), folder / "chosen.json": json.dumps(best, indent=1) + "\n"}


def filled(text: str, results: Path = RESULTS) -> str:
    """A page with every marked part replaced by its file.

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
        ended.append(f"{mark}\n\n{(results / name).read_text().strip()}\n\n{_END}{after}")
    if "".join(ended).count(_END) != len(ended) - 1:
        raise ValueError(f"a {_END} has no mark before it")
    return "".join(ended)


def main() -> int:
    """Rewrite all files, and then the pages with blocks of them."""
    files.write(everything())
    for readme in READMES:
        readme.write_text(filled(readme.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
