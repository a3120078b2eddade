"""How good messages are at equal bytes, on updates recorded from federated training.

    python -m simulations.experiments.messages --dataset mnist --out simulations/results/messages

Updates are recorded early and late, with error feedback (SuRP at 218 and 1,000 bytes, STC at 218) and without (dense).
Each is coded by STC and by SuRP against what both ends hold: nothing, the model, the model and the one before it. Shown
are the relative error ‖v − decoded‖ / ‖v‖, how many bytes STC needs for SuRP's error, what a cut message loses, and
what the bits of messages say.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

import numpy as np
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from simulations.app import client_app, server_app
from simulations.app.data import LOADERS, data_root, load
from simulations.app.models import initial_arrays
from simulations.app.schemes import last_scheme_of
from simulations.app.settings import Settings
from simulations.engine import InProcessGrid, as_server
from simulations.engines.in_process import quiet
from surp_fl import STC, CompressUpdates, Layout, SuRP, truncate
from surp_fl.codecs import Codec
from surp_fl.codecs.codec import Scheme
from surp_fl.context import Reference
from surp_fl.memory import Memory

Vector = NDArray[np.float32]

BUDGETS = (50, 100, 218, 436, 1000, 2000)  # bytes
CUTS = (100, 218, 500, 1000, 2000)  # bytes, of a message of 2,000
ROUNDS = (1, 2, 5, 10, 15, 20)
CLIENTS = (0, 5)
ANATOMY = ("surp:218", "surp:1000", "stc:218", "stc:1000", "surp-paper:218", "top-k:2050", "rtop-k:2050:ratio=2")
SOURCES = ("dense", "surp:218", "surp:1000", "stc:218")


@dataclass(frozen=True)
class Recorded:
    """One client's update as it went into the encoder, and what the server held then."""

    source: str
    server_round: int
    vector: Vector
    model: Vector
    before: Vector


@dataclass
class Recorder:
    """A scheme that keeps some of what it encodes."""

    source: str
    clients: int
    kept: list[Recorded] = field(default_factory=list)
    _encoded: int = 0

    @property
    def scheme(self) -> Scheme:
        """The scheme that is recorded."""
        return last_scheme_of(self.source)

    @property
    def memory(self) -> Memory:
        """The scheme's own."""
        return self.scheme.memory

    @property
    def codec(self) -> Codec:
        """The scheme's own, which is told what the server holds even where it has no use for it."""
        return Codec(replace(self.scheme.codec.reader, contextual=True), self._write)

    def _write(self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        server_round, client = self._encoded // self.clients + 1, self._encoded % self.clients
        self._encoded += 1
        model, before = reference if isinstance(reference, tuple) else (reference, reference)
        if server_round in ROUNDS and client in CLIENTS and model is not None and before is not None:
            self.kept.append(Recorded(self.source, server_round, vector.copy(), model, before))
        return self.scheme.codec.write(vector=vector, layout=layout, rng=rng, reference=reference)


def record(settings: Settings) -> list[Recorded]:
    """Train over the in-process grid and keep updates of some rounds and clients."""
    quiet()
    recorder = Recorder(settings.scheme, settings.clients)
    app = ClientApp(mods=[CompressUpdates(recorder, seed=settings.seed)])
    app.train()(client_app.train)
    with as_server():
        grid = InProcessGrid(app, settings.clients, settings.to_run_config())
        server_app.federate(grid, settings, lambda server_round, accuracy, traffic: None)
    return recorder.kept


def error_of(update: Recorded, message: bytes, codec: Codec, layout: Layout, reference: Reference = None) -> float:
    """‖v − decoded‖ / ‖v‖."""
    difference = update.vector - codec.decode(message, layout, reference=reference)
    return float(np.linalg.norm(difference) / np.linalg.norm(update.vector))


def _bytes_for(error: float, error_at: Callable[[int], float], low: int, high: int) -> int:
    """The fewest bytes at which a scheme's error is no more than this, by bisection."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if error_at(middle) <= error else (middle + 1, high)
    return low


def measure(update: Recorded, layout: Layout) -> list[dict[str, object]]:
    """All budgets, and all cuts, for one update."""
    rng = np.random.default_rng(0)
    contexts: dict[str, Reference] = {
        "none": None, "model": update.model, "history": (update.model, update.before),
    }  # fmt: skip

    def coded(scheme: Scheme, reference: Reference = None) -> bytes:
        return scheme.codec.encode(update.vector, layout, rng=rng, reference=reference)

    def stc_error(budget: int) -> float:
        return error_of(update, coded(STC(budget)), STC(budget).codec, layout)

    def surp_error(budget: int) -> float:
        scheme = SuRP(budget)
        return error_of(update, coded(scheme, contexts["history"]), scheme.codec, layout, contexts["history"])

    def contents(name: str) -> dict[str, object]:
        codec = last_scheme_of(name).codec
        reference = contexts["history"] if codec.reader.contextual else None
        message = codec.encode(update.vector, layout, rng=rng, reference=reference)
        parts = codec.reader.anatomy(message, layout, reference=reference)
        sent = codec.decode_sparse(message, layout, reference=reference)[0].size
        return {"contents_of": name, "coordinates": sent, "bytes": len(message), **parts._asdict()}

    rows: list[dict[str, object]] = []
    base = {"source": update.source, "round": update.server_round}
    for budget in BUDGETS:
        rows.append(base | {"scheme": "stc", "context": "none", "budget": budget, "error": stc_error(budget)})
        for name, reference in contexts.items():
            message = coded(SuRP(budget), reference)
            error = error_of(update, message, SuRP(budget).codec, layout, reference)
            needs = _bytes_for(error, stc_error, budget // 2, 5 * budget)
            coded_as = {"scheme": "surp", "context": name, "budget": budget, "bytes": len(message)}
            rows.append(base | coded_as | {"error": error, "stc_bytes": needs})
    for progressive in (False, True):
        message = coded(SuRP(2000, progressive=progressive), contexts["history"])
        for cut in CUTS:
            error = error_of(update, truncate(message, cut), SuRP(2000).codec, layout, contexts["history"])
            made = _bytes_for(error, surp_error, 17, 2 * cut)
            rows.append(
                base | {"scheme": "cut", "progressive": progressive, "bytes": cut, "error": error, "made": made}
            )
    return rows + [base | contents(name) for name in ANATOMY]


def table(rows: list[dict[str, object]], dataset: str) -> str:
    """Show means over the recorded updates, and the worst of them."""

    def mean(name: str, **wanted: object) -> list[float]:
        return [float(row[name]) for row in rows if all(row.get(key) == value for key, value in wanted.items())]  # type: ignore[arg-type]

    count = len(mean("error", scheme="stc", budget=BUDGETS[0]))
    lines = [
        f"{count} updates of LeNet-5-Caffe on **{dataset}**, rounds {', '.join(map(str, ROUNDS))}; "
        f"from {', '.join(SOURCES)}. Means; in brackets the worst update.", "",
        "| bytes | error, STC | SuRP, no context | SuRP, model | SuRP, model and history | "
        "STC's bytes for SuRP's error: no context | model | model and history |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    for budget in BUDGETS:
        stc = fmean(mean("error", scheme="stc", budget=budget))
        cells = [f"{budget:,}", f"{stc:.4f}"]
        names = ("none", "model", "history")
        cells += [f"{fmean(mean('error', scheme='surp', context=name, budget=budget)):.4f}" for name in names]
        for name in names:
            ratios = [needs / budget for needs in mean("stc_bytes", scheme="surp", context=name, budget=budget)]
            cells.append(f"×{fmean(ratios):.2f} (×{min(ratios):.2f})")
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Bytes lost by cutting a message of 2,000 bytes, against a default one made for the length "
              "(negative: gained):", "", "| cut to | default | progressive |", "| ---: | ---: | ---: |"]  # fmt: skip
    for cut in CUTS:
        losses = [
            [1 - made / cut for made in mean("made", scheme="cut", progressive=p, bytes=cut)] for p in (False, True)
        ]
        lines.append(f"| {cut:,} | " + " | ".join(f"{fmean(loss):.1%} ({max(loss):.1%})" for loss in losses) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Record, measure, and write messages.json, messages.md and contents.png."""
    parser = argparse.ArgumentParser(
        prog="python -m simulations.experiments.messages", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--dataset", choices=sorted(LOADERS), default="auto")
    parser.add_argument("--data-root", default="", help="folder of the datasets (SURP_FL_DATA, or data/)")
    parser.add_argument("--rounds", type=int, default=max(ROUNDS))
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--local-steps", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("results"), help="output folder (%(default)s)")
    options = parser.parse_args(arguments)
    dataset = load(options.dataset, data_root(options.data_root)).name
    layout = Layout.of(initial_arrays(0))
    rows: list[dict[str, object]] = []
    for source in SOURCES:
        print(f"recording {source}: {options.rounds} rounds ...", flush=True)
        settings = Settings(
            scheme=source, rounds=options.rounds, clients=options.clients, dataset=dataset,
            data_root=options.data_root, local_steps=options.local_steps,
        )  # fmt: skip
        for update in record(settings):
            rows += [row | {"dataset": dataset} for row in measure(update, layout)]
            print(f"  measured round {update.server_round}", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "messages.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    (options.out / "messages.md").write_text(table(rows, dataset))
    from simulations.report.plots import contents_of_messages

    contents_of_messages(rows, options.out / "contents.png")
    print("\n" + table(rows, dataset))
    return 0


if __name__ == "__main__":
    sys.exit(main())
