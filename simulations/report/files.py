"""Which files a folder of results has, and what each is made of: texts, and pictures that are drawn when asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from simulations.app.row import Row
from simulations.app.settings import Settings
from simulations.report import (
    bench_schemes,
    benchmarks,
    c_writer,
    cross_device,
    deployment,
    examples,
    fleet,
    gate,
    levers,
    messages,
    model_files,
    other_models,
    overview,
    plots,
    pruning,
    refinement,
    rows,
    tables,
    theory,
    theory_tables,
    update_rates,
    variance,
)

Made = dict[Path, str | Callable[[Path], None]]  # a text, or what draws a picture into a file


def write(made: Made) -> None:
    """Write all of it."""
    for file, content in made.items():
        if isinstance(content, str):
            file.write_text(content)
        else:
            content(file)


def comparison(folder: Path) -> Made:
    """The tables and plots of rows that share a protocol."""
    found = rows.load(folder)
    made: Made = {folder / "table.md": tables.table(found), folder / "summary.md": tables.summary(found)}
    if any(row.settings.downlink for row in found):
        made[folder / "both_ways.md"] = tables.both_ways(found)
    made[folder / f"{rows.metric_of(found)}_vs_bytes.png"] = partial(plots.score_vs_bytes, found)
    if tables.marks_of(found):
        made[folder / "bytes_to_accuracy.png"] = partial(plots.bytes_to_accuracy, found)
    return made


def comparison_without_marks(folder: Path) -> Made:
    """A comparison, but for the plot of the bytes that each scheme needs to a mark."""
    return {file: what for file, what in comparison(folder).items() if file.stem != "bytes_to_accuracy"}


def overview_of(parts: Mapping[str, list[Row]], folder: Path) -> Made:
    """The parts of the protocol side by side."""
    return {
        folder / "overview.md": overview.overview(parts),
        folder / "overview.png": partial(plots.accuracy_at_budgets, parts),
        folder / "fleet.md": fleet.table(parts),
        folder / "fleet.png": partial(plots.accuracy_at_fleet_bytes, parts),
    }


def other_models_in(folder: Path, budgets: Mapping[str, tuple[int, ...]]) -> Made:
    """Models that are not LeNet-5 on MNIST: each one's own tables, and all side by side.

    Args:
        folder: holds one for each model.
        budgets: bytes of a message, by the model's name.
    """
    found = {
        name: other_models.Measured(tuple(measured), budgets[name])
        for name in budgets
        if (measured := rows.load(folder / name))
    }
    made: Made = {}
    for name in found:
        made |= comparison(folder / name)
    if found:
        made[folder / "table.md"] = other_models.table(found)
        made[folder / "headline.md"] = other_models.headline(found)
    return made


def cross_device_in(folder: Path, names: Iterable[str]) -> Made:
    """Many clients that keep nothing: the tables and plots of each part, and all side by side."""
    found = {name: measured for name in names if (measured := rows.load(folder / name))}
    made: Made = {}
    for name in found:
        made |= comparison_without_marks(folder / name)
    if found:
        made[folder / "table.md"] = cross_device.table(found.values())
        made[folder / "overview.png"] = partial(plots.accuracy_at_budgets, found)
    return made


def levers_in(folder: Path, runs_of: Callable[[Settings, Iterable[int]], Mapping[str, list[Settings]]]) -> Made:
    """What single settings bring.

    Args:
        folder: of the rows.
        runs_of: gives the runs of each lever, for the settings of any row and for seeds.
    """
    found = rows.load(folder)
    named = runs_of(found[0].settings, sorted({row.settings.seed for row in found})) if found else {}
    return {folder / "table.md": levers.table(found, named)} if found else {}


def messages_in(folder: Path) -> Made:
    """Messages at equal bytes."""
    found = messages.load(folder)
    return {
        folder / "messages.md": messages.table(found),
        folder / "contents.png": partial(plots.contents_of_messages, found),
    }


def pruning_in(folder: Path) -> Made:
    """Pruned networks."""
    found = pruning.load(folder)
    if not found:
        return {}
    picture = partial(plots.error_at_sparsities, found)
    return {folder / "pruning.md": pruning.tables(found), folder / "pruning.png": picture}


def refinement_in(folder: Path) -> Made:
    """Algorithm 2 on trained networks."""
    found = refinement.load(folder)
    if not found.betas:
        return {}
    return {
        folder / "refinement.md": refinement.text(found),
        folder / "iterations.png": partial(plots.along_iterations, found.cycles),
        folder / "densities.png": partial(plots.fitted_densities, found.densities),
    }


def model_files_in(folder: Path) -> Made:
    """Trained models as few bytes."""
    found = model_files.load(folder)
    if not found:
        return {}
    return {
        folder / "equal_accuracy.md": model_files.equal_accuracy(found),
        folder / "headline.md": model_files.headline(found),
        folder / "accuracy.png": partial(plots.accuracy_at_bytes, found),
    }


def update_rates_in(folder: Path) -> Made:
    """NNCodec and SuRP on recorded updates."""
    found = update_rates.load(folder)
    if not found:
        return {}
    return {
        folder / "update_rates.md": update_rates.table(found),
        folder / "times.md": update_rates.times(found),
        folder / "update_rates.png": partial(plots.error_at_bits, found),
    }


def variance_in(folder: Path) -> Made:
    """The variance of unbiased schemes."""
    return {folder / "table.md": variance.table([variance.Measured(**row) for row in _json(folder / "variance.json")])}


def theory_in(folder: Path) -> Made:
    """The paper's theory beside what its algorithms do."""
    found = theory.load(folder)
    return {
        folder / "table.md": theory_tables.table(found),
        folder / "rates.png": partial(plots.distortion_against_rate, found),
        folder / "bounds.png": partial(plots.slopes_and_bounds, found),
    }


def gate_in(folder: Path, measured: Path) -> Made:
    """SuRP beside STC, with the errors of recorded updates that lie in another folder."""
    found, updates = rows.load(folder), messages.load(measured)
    return {
        folder / "gate.md": gate.table(found, updates),
        folder / "gate.png": partial(plots.surp_beside_stc, found, updates),
    }


def benchmarks_in(folder: Path) -> Made:
    """Speed of the codec and of the server; sizes and speed of lossless compression."""
    return {
        folder / "bench.md": benchmarks.codec_table(_json(folder / "bench.json")),
        folder / "bench_server.md": benchmarks.server_table(_json(folder / "bench_server.json")),
        folder / "bench_lossless.md": benchmarks.lossless_table(_json(folder / "bench_lossless.json")),
    }


def c_writer_in(folder: Path) -> Made:
    """The writer in C beside the library's encoder."""
    found = c_writer.load(folder)
    return {folder / "c_writer.md": c_writer.table(found)} if found else {}


def bench_schemes_in(folder: Path) -> Made:
    """All schemes on recorded updates."""
    found = bench_schemes.load(folder)
    if not found:
        return {}
    picture = partial(plots.error_at_bytes, found)
    return {folder / "bench_schemes.md": bench_schemes.table(found), folder / "bench_schemes.png": picture}


def deployment_in(folder: Path) -> Made:
    """What a deployment moved."""
    return {folder / "deployment.md": deployment.table(_json(folder / "deployment.json"))}


def examples_in(folder: Path) -> Made:
    """What the small example apps reach."""
    return {folder / "examples.md": examples.table(_json(folder / "examples.json"))}


def _json(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(file.read_text())
    return found
