"""How good messages are at equal bytes, on updates recorded from federated training.

    python -m simulations.experiments.messages --dataset mnist --out simulations/results/messages

Updates are recorded early and late, with error feedback (SuRP at 218 and 1,000 bytes, STC at 218) and without (dense).
Each is coded by STC and by SuRP against what both ends hold: nothing, the model, the model and the one before it. Shown
are the relative error ‖v − decoded‖ / ‖v‖, how many bytes STC needs for SuRP's error, what a cut message loses, and
what the bits of messages say.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from simulations.app import client_app, server_app
from simulations.app.schemes import last_scheme_of
from simulations.app.settings import Settings
from simulations.engines.in_process import quiet
from simulations.experiments.command_line import add_out, add_settings, parsed, parser_of, settings_of
from simulations.report import files
from simulations.report.messages import BUDGETS, CUTS, STC_TRIED, WAYS, Contents, Measured, save
from surp_fl import STC, CompressUpdates, Layout, SuRP, truncate
from surp_fl.codecs import Codec
from surp_fl.codecs.codec import Scheme
from surp_fl.memory import Memory
from surp_fl.testing import InProcessGrid, as_server
from surp_fl.types import Reference

Vector = NDArray[np.float32]

ROUNDS = (1, 2, 5, 10, 15, 20)
CLIENTS = (0, 5)
CONTENTS_OF = ("surp:218", "surp:1000", "stc:218", "stc:1000", "surp-paper:218", "top-k:2050", "rtop-k:2050:ratio=2")
SOURCES = ("dense", "surp:218", "surp:1000", "stc:218")


@dataclass(frozen=True)
class Recorded:
    """One client's update as it went into the encoder, and what the server held then."""

    source: str
    server_round: int
    client: int
    layout: Layout
    vector: Vector
    delta: Vector
    model: Vector
    before: Vector


@dataclass
class Recorder:
    """A scheme that keeps some of what it encodes: of some rounds, and of some clients by their place in a round."""

    source: str
    clients: int
    rounds: Collection[int]
    places: Collection[int]
    kept: list[Recorded] = field(default_factory=list)
    _encoded: int = 0
    _client: int = 0

    def note_client(
        self, message: Message, context: Context, call_next: Callable[[Message, Context], Message]
    ) -> Message:
        """Note whose update is encoded next: a mod of the app."""
        self._client = int(context.node_config["partition-id"])
        return call_next(message, context)

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
        return Codec(replace(self.scheme.codec.reader, contextual=True), self.scheme.codec.write, self._write)

    def _write(
        self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference, *, delta: Vector | None
    ) -> bytes:
        server_round, place = self._encoded // self.clients + 1, self._encoded % self.clients
        self._encoded += 1
        model, before = reference if isinstance(reference, tuple) else (reference, reference)
        if server_round in self.rounds and place in self.places and model is not None and before is not None:
            own = vector if delta is None else delta
            kept = Recorded(self.source, server_round, self._client, layout, vector.copy(), own.copy(), model, before)
            self.kept.append(kept)
        return self.scheme.codec.body(vector, layout, rng, reference, delta)


def record(settings: Settings, rounds: Collection[int] = ROUNDS, places: Collection[int] = CLIENTS) -> list[Recorded]:
    """Train over the in-process grid and keep updates of some rounds, and of some of the clients in each."""
    quiet()
    recorder = Recorder(settings.scheme, settings.taking_part, rounds, places)
    app = ClientApp(mods=[recorder.note_client, CompressUpdates(recorder, seed=settings.seed)])
    app.train()(client_app.train)
    with as_server():
        grid = InProcessGrid(app, settings.clients, settings.to_run_config())
        server_app.federate(grid, settings, lambda server_round, accuracy, traffic: None)
    return recorder.kept


def error_of(update: Recorded, message: bytes, codec: Codec, reference: Reference = None) -> float:
    """‖v − decoded‖ / ‖v‖."""
    difference = update.vector - codec.decode(message, update.layout, reference=reference)
    return float(np.linalg.norm(difference) / np.linalg.norm(update.vector))


def _bytes_for(error: float, error_at: Callable[[int], float], low: int, high: int) -> int:
    """The fewest bytes at which a scheme's error is no more than this, by bisection."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if error_at(middle) <= error else (middle + 1, high)
    return low


def measure(update: Recorded, settings: Settings) -> Measured:
    """Code one update at all budgets, cut it at all lengths, and look at what messages of several schemes say."""
    rng, layout = np.random.default_rng(0), update.layout
    contexts: dict[str, Reference] = {
        "none": None, "model": update.model, "history": (update.model, update.before),
    }  # fmt: skip
    history = contexts["history"]

    def coded(scheme: Scheme, reference: Reference = None) -> bytes:
        return scheme.codec.encode(update.vector, layout, rng=rng, reference=reference, delta=update.delta)

    def stc_error(budget: int) -> float:
        return error_of(update, coded(STC(budget)), STC(budget).codec)

    def surp_error(budget: int, reference: Reference = history) -> float:
        return error_of(update, coded(SuRP(budget), reference), SuRP(budget).codec, reference)

    def made(cut: int, progressive: bool) -> int:
        message = truncate(coded(SuRP(2000, progressive=progressive), history), cut)
        return _bytes_for(error_of(update, message, SuRP(2000).codec, history), surp_error, 17, 2 * cut)

    def contents(name: str) -> Contents:
        codec = last_scheme_of(name).codec
        reference = history if codec.reader.contextual else None
        message = codec.encode(update.vector, layout, rng=rng, reference=reference, delta=update.delta)
        sent = int(np.count_nonzero(codec.decode(message, layout, reference=reference)))
        bits = codec.reader.bit_breakdown(message, layout, reference=reference)._asdict()
        return Contents(
            coordinates=sent,
            bytes=len(message),
            indices=round(bits["indices"], 1),
            signs=round(bits["signs"], 1),
            magnitudes=round(bits["magnitudes"], 1),
        )

    errors = {name: [surp_error(budget, held) for budget in BUDGETS] for name, held in contexts.items()}
    return Measured(
        workload=settings.workload,
        dataset=settings.dataset,
        source=update.source,
        round=update.server_round,
        stc_error=_rounded(map(stc_error, BUDGETS)),
        surp_error={name: _rounded(found) for name, found in errors.items()},
        stc_bytes={
            name: [_bytes_for(e, stc_error, b // 2, STC_TRIED * b) for e, b in zip(found, BUDGETS, strict=True)]
            for name, found in errors.items()
        },
        made={way: [made(cut, way == "progressive") for cut in CUTS] for way in WAYS},
        contents={name: contents(name) for name in CONTENTS_OF},
    )


def _rounded(errors: Iterable[float]) -> list[float]:
    return [round(error, 6) for error in errors]


def main(arguments: list[str] | None = None) -> int:
    """Record, measure, and write messages.json, messages.md and contents.png."""
    parser = parser_of("simulations.experiments.messages", __doc__)
    add_settings(parser, ("workload", "dataset", "data_root", "rounds", "clients", "local_steps"), rounds=max(ROUNDS))
    parser.add_argument(
        "--sources", nargs="+", default=SOURCES, help="schemes of the runs that are recorded (%(default)s)"
    )
    add_out(parser)
    options = parsed(parser, arguments)
    base = settings_of(options)
    rows: list[Measured] = []
    for source in options.sources:
        print(f"recording {source}: {base.rounds} rounds ...", flush=True)
        for update in record(replace(base, scheme=source)):
            rows.append(measure(update, base))
            print(f"  measured round {update.server_round}", flush=True)
    save(rows, options.out)
    files.write(files.messages_in(options.out))
    print("\n" + (options.out / "messages.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
