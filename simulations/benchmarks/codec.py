"""Speed of the codec beside its peers: one process, one thread, the same vectors, in turn.

    python -m simulations.benchmarks.codec

Each row is the median of several runs taken in turn with its peers, so that a machine that slows down slows all of
them; the ratios are what to compare between machines. The plain reference of the paper's algorithm costs one pass a
step; a few steps are timed and the row says that it is extrapolated from them.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
import zstandard
from numpy.typing import NDArray

from simulations.experiments.command_line import add_out, parser_of
from simulations.report.benchmarks import codec_table, write
from surp_fl import Layout, PaperSuRP, SuRP
from surp_fl.immutable import immutable

Vector = NDArray[np.float32]
Row = dict[str, Any]

FLOOR = "floor: numpy.abs(v).sum()"
TOP_K = "torch.topk of |v|"
_STEPS_TIMED = 5


def vector_of(n: int) -> tuple[Layout, Vector, Vector, Vector]:
    """A heavy-tailed update over layers of 1,000 columns, the model, and the model before it."""
    rng = np.random.default_rng(n)
    columns = 1000 if n >= 10_000_000 else 40
    rows = n // columns
    spread = rng.lognormal(0, 1, size=(rows, 1)).astype(np.float32)
    vector = (rng.standard_exponential((rows, columns), dtype=np.float32) * spread).reshape(-1)
    vector *= np.where(rng.integers(0, 2, vector.size, dtype=np.int8) == 0, np.float32(-1e-3), np.float32(1e-3))
    layers = np.array_split(np.arange(rows), max(1, n // 2_000_000))
    layout = Layout.of({f"layer{i}": np.broadcast_to(np.float32(0), (len(r), columns)) for i, r in enumerate(layers)})
    model = np.repeat(spread.reshape(-1), columns)
    before = model.copy()
    before[:: max(1, vector.size // 2000)] += 1
    return layout, vector, immutable(model), immutable(before)


def contenders(layout: Layout, vector: Vector, model: Vector, before: Vector) -> dict[str, Callable[[], object]]:
    """What is timed on a vector; ours first."""
    rng = np.random.default_rng(0)
    tensor = torch.from_numpy(vector)
    timed: dict[str, Callable[[], object]] = {}
    for budget in (218, 2000):
        codec = SuRP(budget=budget).codec
        bare = codec.encode(vector, layout, rng=rng)
        timed |= {
            f"SuRP encode, {budget:,} B": lambda c=codec: c.encode(vector, layout, rng=rng),  # type: ignore[misc]
            f"SuRP encode, {budget:,} B, model and history, read before": lambda c=codec: c.encode(  # type: ignore[misc]
                vector, layout, rng=rng, reference=(model, before)
            ),
            f"SuRP decode, {budget:,} B": lambda c=codec, m=bare: c.decode(m, layout),  # type: ignore[misc]
            f"SuRP decode to pairs, {budget:,} B": lambda c=codec, m=bare: c.decode_sparse(m, layout),  # type: ignore[misc]
        }
    fresh = model.copy()  # may be written to, so that its context is not kept

    surp = SuRP(budget=218).codec

    def encode_with_fresh_model() -> bytes:
        return surp.encode(vector, layout, rng=rng, reference=fresh)

    paper = PaperSuRP(budget=218).codec
    k = int(
        SuRP(budget=218).codec.decode_sparse(SuRP(budget=218).codec.encode(vector, layout, rng=rng), layout)[0].size
    )
    timed |= {
        "SuRP encode, 218 B, model, read anew": encode_with_fresh_model,
        "SuRP as published, encode, 218 B": lambda: paper.encode(vector, layout, rng=np.random.default_rng(0)),
        f"{TOP_K}, k = {k}": lambda: torch.topk(tensor.abs(), k),
        "threshold and nonzero": lambda: np.flatnonzero(np.abs(vector) >= np.float32(0.05)),
        "DGC's sampled threshold": lambda: _dgc(vector, k),
        "int8 of ternary + zstd": lambda: _ternary_zstd(vector),
        FLOOR: lambda: np.abs(vector).sum(),
    }
    return timed


def _dgc(vector: Vector, k: int) -> NDArray[np.int64]:
    """Lin et al. 2018: the threshold of a sample of 1 %, then the coordinates above it."""
    sample = np.abs(vector[:: max(1, vector.size // max(1000, vector.size // 100))])
    rank = max(1, int(sample.size * k / vector.size))
    threshold = np.partition(sample, sample.size - rank)[sample.size - rank]
    return np.flatnonzero(np.abs(vector) >= threshold)


def _ternary_zstd(vector: Vector) -> bytes:
    ternary = np.where(np.abs(vector) >= np.float32(0.05), np.sign(vector), 0).astype(np.int8)
    return zstandard.ZstdCompressor().compress(ternary.tobytes())


def _plain_surp(vector: Vector) -> float:
    """Seconds of the paper's loop with numpy, per step: find the candidates, pick one, subtract."""
    u = np.abs(vector)
    rng = np.random.default_rng(0)
    threshold = np.float32(10 * u.mean())
    began = time.perf_counter()
    for _ in range(_STEPS_TIMED):
        candidates = np.flatnonzero(u >= threshold)
        u[rng.choice(candidates)] -= threshold
    return (time.perf_counter() - began) / _STEPS_TIMED


def measure(n: int, repeats: int) -> list[Row]:
    """Time every contender on a vector of about n coordinates, in turn; and the memory of one encode."""
    layout, vector, model, before = vector_of(n)
    timed = contenders(layout, vector, model, before)
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for turn in range(repeats + 1):
        for name, call in timed.items():
            began = time.perf_counter()
            call()
            if turn > 0:  # the first turn compiles and warms up
                seconds[name].append(time.perf_counter() - began)
    medians = {name: median(taken) for name, taken in seconds.items()}
    steps = PaperSuRP(budget=218).codec
    message = steps.encode(vector, layout, rng=np.random.default_rng(0))
    medians["plain SuRP in numpy, 80 steps (extrapolated from 5)"] = 80 * _plain_surp(vector)
    assert len(message) <= 218
    tracemalloc.start()
    SuRP(budget=218).codec.encode(vector, layout, rng=np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1] / vector.nbytes
    tracemalloc.stop()
    topk = next(taken for name, taken in medians.items() if name.startswith(TOP_K))
    return [
        {
            "n": vector.size, "what": name, "ms": 1000 * taken, "to_topk": taken / topk,
            "to_floor": taken / medians[FLOOR], "repeats": repeats,
            "encode_memory_in_vectors": peak if name.startswith("SuRP encode, 218") else None,
        }
        for name, taken in medians.items()
    ]  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Time all sizes; write bench.json and bench.md."""
    parser = parser_of("simulations.benchmarks.codec", __doc__)
    parser.add_argument("--sizes", nargs="+", type=int, default=[431_080, 25_600_000, 124_000_000], help="coordinates")
    parser.add_argument("--repeats", type=int, default=5, help="counted runs of each (%(default)s)")
    add_out(parser)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows: list[Row] = []
    for n in options.sizes:
        print(f"timing n = {n:,} ...", flush=True)
        rows += measure(n, options.repeats)
    write(rows, codec_table, options.out / "bench.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
